"""What `panel serve monitor/app.py` runs for each viewer; all viewers share one follower."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import holoviews as hv
import panel as pn
import requests
from panel.io.resources import LOCAL_DIST

from monitor import lock, plain_serve, role
from monitor.archive import Archive
from monitor.batches import Batch
from monitor.beat import Arrivals
from monitor.config import HookSettings
from monitor.exposure import Finding
from monitor.follower import Follower
from monitor.hub import Hub
from monitor.page import Page
from monitor.pipeline import Graph
from monitor.stages import Stage
from monitor.turns import Turns
from monitor.views import style

FOLDER_VARIABLE = "MONITOR_RECORDINGS"
ABOUT_EVERY_S = 1.0
TIMEOUT_S = 10.0
# What is older when it comes was not carried here just now.
OLD_NS = 5_000_000_000
SERVICE_UNAVAILABLE = 503
# Adding a source takes a look at its venue's list.
CONTROL_TIMEOUT_S = 60.0
REFUSED = 400
DONE = {"start": "started", "stop": "stopped", "add": "added", "remove": "removed"}


class Shared:
    """The page process's one follower, its hub, and what the collector last said of itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.archive = Archive(folder)
        # What the server is open to; it says so when it begins to serve.
        self.findings: list[Finding] = []
        # Why nobody may act on the pages of a server that `monitor serve` did not start; empty if
        # they may, and None until that is known.
        self.restricted: str | None = None
        # Of every page that is not yet gone from memory.
        self.documents: weakref.WeakSet[Any] = weakref.WeakSet()
        self.hub = Hub()
        self.arrivals = Arrivals()
        self.turns = Turns()
        self.carried = Stage()
        self._graph = Graph({"hub": self.hub}, [])
        self._about: dict[str, Any] = {}
        self._closing = threading.Event()
        self._follower = Follower(self._locate, self._take, self._attach)
        self._follower.start()
        self._asker = threading.Thread(target=self._ask, name="about", daemon=True)
        self._asker.start()

    @property
    def attached(self) -> bool:
        return self._follower.state == "connected"

    def about(self) -> dict[str, Any]:
        return self._about

    @property
    def settings(self) -> HookSettings:
        """The hooks' parameters as the collector has them."""
        return HookSettings(**self._about.get("hooks", {}))

    def control(self, action: str, sources: Sequence[dict[str, Any]] = ()) -> str:
        """Have the collector start or stop, add or remove; return what to tell the viewer."""
        try:
            body = {"action": action, "sources": list(sources)}
            self._about |= self._call("POST", "/sources", body)
        except (requests.RequestException, ConnectionError, ValueError) as error:
            return f"{action} failed: {error}"
        note = self._about.get("note")
        names = "".join(f"{source['source']} " for source in sources)
        return f"{names}{DONE[action]} for every viewer" + (f"; {note}" if note else "")

    def alert(self, wanted: dict[str, Any]) -> str:
        """Have the collector do something about alerts; return what went wrong, if anything."""
        try:
            self._about |= {"rules": self._call("POST", "/alerts", wanted)["rules"]}
        except (requests.RequestException, ConnectionError, ValueError) as error:
            return f"{wanted['action']} failed: {error}"
        return ""

    def close(self) -> None:
        self._closing.set()
        self.archive.close()
        self._follower.close()
        self._asker.join(TIMEOUT_S)

    def _locate(self) -> lock.Held | None:
        return lock.holder(self.folder)

    def _attach(self, _: lock.Held) -> None:
        """Begin anew, with what is active since before the rows that are still to be had."""
        self.hub.reset()
        with contextlib.suppress(requests.RequestException, ConnectionError):
            self.hub.alerts.seed(self._call("GET", "/alerts"))

    def _take(self, batch: Batch) -> None:
        self._graph.emit(batch)
        now_ns, first_ns = time.time_ns(), batch.first_ns
        # At first come minutes of before.
        if first_ns is not None and now_ns - first_ns < OLD_NS:
            self.carried.add(now_ns, (now_ns - first_ns) / 1e6)
        self.arrivals.tell()

    def _ask(self) -> None:
        asked_s, rows = time.monotonic(), 0
        while not self._closing.is_set():
            names = [path.parent.name for path in self.folder.glob("*/*.duckdb*")]
            told: dict[str, Any] = {"recordings": sorted(set(names), reverse=True)}
            try:
                told |= self._call("GET", "/sources")
                told["recorder"] = self._call("GET", "/health")["recorder"]
                before, rows = rows, int(told.get("rows", 0))
                then_s, asked_s = asked_s, time.monotonic()
                # Another collector counts from nothing, and one of an older build does not.
                if 0 < before <= rows:
                    told["rows_s"] = (rows - before) / (asked_s - then_s)
            except (requests.RequestException, ConnectionError):
                told["running"] = False
            self._about = told
            self._closing.wait(ABOUT_EVERY_S)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        held = self._locate()
        if held is None:
            raise ConnectionError(f"expected a running collector on {self.folder}, found none")
        answer = requests.request(
            method,
            f"http://{held.address}{path}",
            json=body,
            headers={"Authorization": f"Bearer {held.token}"},
            timeout=TIMEOUT_S if body is None else CONTROL_TIMEOUT_S,
        )
        if answer.status_code == REFUSED:
            raise ValueError(answer.json()["error"])
        # Of what is unwell the health says so by its status, and answers all the same.
        if answer.status_code != SERVICE_UNAVAILABLE:
            answer.raise_for_status()
        return dict(answer.json())


def shared() -> Shared:
    """Return the process's one follower, made for the first viewer or by `monitor serve`."""
    if "shared" not in pn.state.cache:
        pn.state.cache["shared"] = Shared(Path(os.environ.get(FOLDER_VARIABLE, "recordings")))
    made: Shared = pn.state.cache["shared"]
    return made


def build() -> None:
    """Make the page of the viewer that is being served."""
    document = pn.state.curdoc
    if not role.is_judged() and plain_serve.prepare(document, shared()):
        return
    pn.extension(raw_css=[style.look().css])
    if "bokeh" not in hv.Store.loaded_backends():
        hv.extension("bokeh")
    # Where a browser has no GPU, WebGL took two thirds of its time; thinned rows do not need it.
    hv.renderer("bokeh").webgl = False
    # The page has a banner of its own for a lost server.
    document.config.notify_connection_status = False
    # Style sheets come from this server, whichever way the page was asked for.
    document.template_variables["dist_url"] = LOCAL_DIST
    # A layout that fills the screen says so itself; what it stands in must not grow with it.
    pn.config.respect_explicit_sizing = True
    shared().documents.add(document)
    # Bokeh would go through all models anew after each that is made.
    with document.models.freeze():
        page = Page(shared())
        page.view.servable(title="monitor")
    page.start()


if pn.state.served:
    build()
