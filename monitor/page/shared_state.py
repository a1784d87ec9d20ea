"""What all viewers of a page share: one follower, its hub, and requests to the collector."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import panel as pn

from monitor.access import Finding
from monitor.collector import Follower
from monitor.graph import Graph
from monitor.hub import Hub, Live
from monitor.jobs import Archive
from monitor.page.collector_link import Seen, Standing, judge
from monitor.page.refresh_timing import Arrivals
from monitor.page.turns import Turns
from monitor.processes import collector_client, locks
from monitor.rows import Batch
from monitor.settings import HookSettings
from monitor.state import TICK_S, Present, Stage

FOLDER_VARIABLE = "MONITOR_RECORDINGS"
ABOUT_EVERY_S = 1.0
TIMEOUT_S = 10.0
# The collector answers at once, or hangs.
ANSWER_S = 2.0
# Older answers are no longer shown: a new one is requested every second.
KNOWN_S = 4.0
SERVICE_UNAVAILABLE = 503
# Adding a source fetches its venue's list.
CONTROL_TIMEOUT_S = 60.0
REFUSED = 400
log = logging.getLogger(__name__)
DONE = {"start": "started", "stop": "stopped", "add": "added", "remove": "removed"}


class Shared:
    """The page process's one follower, its hub, and the collector's last report."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.archive = Archive(folder)
        # Who can reach the server; printed when it starts.
        self.findings: list[Finding] = []
        # Why nobody may act on the pages of a server that `monitor serve` did not start: empty if
        # they may, None until that is known.
        self.restricted: str | None = None
        # Every page that is still in memory.
        self.documents: weakref.WeakSet[Any] = weakref.WeakSet()
        self.present = Present()
        self._live = Live(folder, self.present)
        self.arrivals = Arrivals()
        self.turns = Turns()
        self.carried = Stage()
        self._graph = Graph({"hub": self._live.take}, [])
        self._about: dict[str, Any] = {}
        self._held: locks.Held | None = None
        self._attached_ns = 0
        self._answered_s, self._answered_awake_s = time.monotonic(), self.present.awake_s()
        self._closing = threading.Event()
        self._follower = Follower(self._locate, self._take, self._attach, leads_to_now=True)
        self._follower.start()
        self._asker = threading.Thread(target=self._ask, name="about", daemon=True)
        self._asker.start()
        self._ticker = threading.Thread(target=self._run_ticks, name="awake", daemon=True)
        self._ticker.start()

    @property
    def hub(self) -> Hub:
        return self._live.hub

    def standing(self) -> Standing | None:
        """Return why the page does not show the present; None if it does."""
        held = self._held
        unanswered_ms = (self.present.awake_s() - self._answered_awake_s) * 1e3
        waited_ms = self.present.waited_s() * 1e3
        pid = held.pid if held else None
        seen = Seen(pid, self.hub.silence_ms, waited_ms, unanswered_ms, self._live.is_attaching)
        return judge(seen)

    def about(self) -> dict[str, Any]:
        """Return the collector's last report, without values that may have changed since."""
        about = self._about
        if time.monotonic() - self._answered_s <= KNOWN_S:
            return about
        return {name: told for name, told in about.items() if name not in ("recorder", "rows_s")}

    @property
    def settings(self) -> HookSettings:
        """The hooks' parameters as the collector has them."""
        return HookSettings(**self._about.get("hooks", {}))

    def control(self, action: str, sources: Sequence[dict[str, Any]] = ()) -> str:
        """Let the collector start, stop, add or remove sources; return a note for the viewer."""
        try:
            body = {"action": action, "sources": list(sources)}
            self._about |= self._call("POST", "/sources", body)
        except (*collector_client.ERRORS, ConnectionError, ValueError) as error:
            return f"{action} failed: {error}"
        note = self._about.get("note")
        names = "".join(f"{source['source']} " for source in sources) or "all sources "
        return f"{names}{DONE[action]} for every viewer" + (f"; {note}" if note else "")

    def alert(self, wanted: dict[str, Any]) -> str:
        """Send an action on alerts to the collector; return an error text, if any."""
        try:
            self._about |= {"rules": self._call("POST", "/alerts", wanted)["rules"]}
        except (*collector_client.ERRORS, ConnectionError, ValueError) as error:
            return f"{wanted['action']} failed: {error}"
        return ""

    def close(self, by_s: float) -> None:
        """End all threads, at the latest by `by_s` (monotonic seconds) if a collector hangs."""

        def left_s() -> float:
            return max(0.0, by_s - time.monotonic())

        self._closing.set()
        self.archive.close()
        self._follower.close(left_s())
        self._live.close(left_s())
        self._asker.join(left_s())
        self._ticker.join(left_s())

    def _locate(self) -> locks.Held | None:
        return locks.holder(self.folder)

    def _attach(self, held: locks.Held, in_force: Batch) -> None:
        """Begin again, with the alerts that are already active."""
        alerts: dict[str, Any] = {}
        with contextlib.suppress(*collector_client.ERRORS, ConnectionError):
            alerts = self._call("GET", "/alerts", timeout_s=TIMEOUT_S)
        self._live.attach(held, alerts, in_force)
        self._attached_ns = time.time_ns()

    def _take(self, batch: Batch) -> None:
        self._graph.emit(batch)
        now_ns, first_ns = time.time_ns(), batch.first_ns
        # The first batches are minutes old.
        if first_ns is not None and first_ns > self._attached_ns:
            self.carried.add(now_ns, (now_ns - first_ns) / 1e6)
        self.arrivals.tell()

    def _run_ticks(self) -> None:
        while not self._closing.wait(TICK_S):
            self.present.tick()

    def _ask(self) -> None:
        while not self._closing.is_set():
            before, self._held = self._held, self._locate()
            if before and self._held is None:
                log.warning("the collector (PID %d) has ended", before.pid)
            names = [path.parent.name for path in self.folder.glob("*/*.duckdb*")]
            told: dict[str, Any] = {"recordings": sorted(set(names), reverse=True)}
            if self._held is None:
                self._about = told
            else:
                with contextlib.suppress(*collector_client.ERRORS, ConnectionError):
                    told |= self._answer()
                # Without an answer the previous one stays, until it is too old.
                self._about = {**self._about, **told}
            self._closing.wait(ABOUT_EVERY_S)

    def _answer(self) -> dict[str, Any]:
        told = self._call("GET", "/sources", timeout_s=ANSWER_S)
        told["recorder"] = self._call("GET", "/health", timeout_s=ANSWER_S)["recorder"]
        before, rows = int(self._about.get("rows", 0)), int(told.get("rows", 0))
        then_s, self._answered_s = self._answered_s, time.monotonic()
        self._answered_awake_s = self.present.awake_s()
        # Another collector counts from 0; an older build sends no count.
        if 0 < before <= rows:
            told["rows_s"] = (rows - before) / (self._answered_s - then_s)
        return told

    def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        timeout_s: float = CONTROL_TIMEOUT_S,
    ) -> dict[str, Any]:
        held = self._locate()
        if held is None:
            raise ConnectionError(f"expected a running collector on {self.folder}, found none")
        answer = collector_client.request(held, method, path, body, timeout_s)
        if answer.status_code == REFUSED:
            raise ValueError(answer.json()["error"])
        # An unhealthy collector answers with this status and a body.
        if answer.status_code != SERVICE_UNAVAILABLE:
            answer.raise_for_status()
        return dict(answer.json())


def shared() -> Shared:
    """Return the process's one follower, made for the first viewer or by `monitor serve`."""
    if "shared" not in pn.state.cache:
        pn.state.cache["shared"] = Shared(Path(os.environ.get(FOLDER_VARIABLE, "recordings")))
    made: Shared = pn.state.cache["shared"]
    return made
