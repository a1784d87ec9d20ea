"""The collector process: wire feeds, graph, recorder and publisher; run until stopped."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.compute as pc
import tornado.ioloop
import tornado.netutil

from monitor._rust_feed import Digest
from monitor.alerting import Alerting, Delivery
from monitor.collector import bounded_server, http_server
from monitor.collector.health import Health
from monitor.collector.metrics import Metrics
from monitor.collector.publisher import CHUNK_EVERY_S, Publisher
from monitor.feeds import Feeds
from monitor.graph import Graph, Sink
from monitor.hooks import AlertRules, Apart, builtin, user_hooks
from monitor.processes import end_signals, event_loop, locks
from monitor.recordings import Recorder, Upkeep, new_id, recovery
from monitor.rows import Batch, sources
from monitor.settings import Endpoint, Settings, asked_for, simulated
from monitor.state import Present

DRAIN_WAIT_MS = 200
# Long enough to batch rows that arrive together, too short to notice.
DRAIN_LINGER_MS = 45
TICK_MS, LOCK_MS = 100, 500
DRAIN_REST_S = 2.0
HOOKS_REST_S = 1.0
# Status kinds that are printed on the terminal.
TOLD_KINDS = (
    *("refused", "disconnected", "half_open", "no_data", "silent", "overflow", "unrecorded"),
    *("rate_limited", "geo_blocked", "auth_failed", "fallback", "handback", "overlap"),
    *("hook_failed", "hook_disabled", "hooks_loaded", "delivery_failed", "delivery_recovered"),
    *("acknowledged", "muted", "unmuted", "mutes_unread", "rules_changed", "rules_unread"),
    "collector_restarted",
)
TOLD_PER_S = 10

log = logging.getLogger(__name__)


class Options(NamedTuple):
    """Options of a collector; with `seconds` None it runs until a signal."""

    folder: Path
    sources: list[sources.Source]
    endpoints: dict[str, Endpoint]
    settings: Settings
    record: bool = True
    raw: bool = False
    seconds: float | None = None
    started_by: str = "user"
    # Starts the simulated exchange for venues without a real one, and returns their addresses.
    simulate: Callable[[Collection[str]], dict[str, Endpoint]] | None = None


class UnrecordedError(OSError):
    """Some rows were not recorded; `digest` is that of the recorded ones."""

    def __init__(self, rows: int, digest: str) -> None:
        super().__init__(f"expected all rows recorded, found {rows:,} that were not")
        self.digest = digest


class Collector:
    """The running parts of a collector; implements what its HTTP port needs."""

    def __init__(self, options: Options) -> None:
        self.token = secrets.token_urlsafe(32)
        self.publisher = Publisher()
        self.rows = 0
        self._options = options
        self._health, self._metrics = Health(Present()), Metrics()
        self._feeds = Feeds(
            options.sources, options.endpoints, options.settings.venues, raw=options.raw
        )
        self._digest = Digest()
        self._recorder: Recorder | None = None
        sinks: dict[str, Sink] = {}
        if options.record:
            name = new_id(options.folder, time.time_ns())
            written = [str(source) for source in options.sources]
            self._recorder = Recorder(
                options.folder / name, written, self._on_recorder, options.settings.recorder
            )
            sinks["recorder"] = self._recorder
        self.alerting = Alerting(options.folder, self._tell, options.settings.alerts)
        self._delivery = Delivery(
            options.settings.delivery,
            os.environ,
            self._tell,
            lambda: bool(self.health()["status"] != "failed"),
            self.alerting.alerts.unmuted,
        )
        sinks |= {"publisher": self.publisher, "health": self._health}
        sinks |= {"metrics": self._metrics, "terminal": Terminal(), "delivery": self._delivery}
        sinks["alerting"] = self.alerting.alerts.take_signals
        built_in = builtin.load(options.settings.hooks, "recorded", self.alerting.rules)
        (watching,) = [hook for hook in built_in if isinstance(hook, AlertRules)]
        self.alerting.on_rules = watching.change
        self._graph = Graph(sinks, built_in, self._disabled)
        self._reloading = threading.Lock()
        self._own_hooks: list[Apart] = []
        self._load_own_hooks()
        self._announced = 1
        self._upkeep = Upkeep(options.folder, options.settings.retention)
        self._draining = threading.Event()
        self._pump = threading.Thread(target=self._drain, name="pump", daemon=True)

    @property
    def recording(self) -> str:
        return self._recorder.folder.name if self._recorder else ""

    def start(self) -> None:
        """Start the recorder, then the feeds."""
        if self._recorder:
            self._recorder.start()
        self._delivery.start()
        self._pump.start()
        self.alerting.restore(time.time_ns())
        self._feeds.start()

    def restarted(self, died: locks.Held) -> None:
        """Record that this collector was started in place of one that died."""
        found = f"the one before (PID {died.pid}, recording {died.recording or 'nothing'}) died"
        self._tell("collector_restarted", found)

    def close(self) -> str:
        """Close the feeds, drain the buffer, seal; return the recording's digest."""
        self._upkeep.close()
        self._feeds.close()
        self._draining.set()
        self._pump.join(DRAIN_REST_S)
        try:
            if self._recorder:
                self._recorder.close()
        finally:
            self._delivery.close()
        if self._recorder is None:
            return Digest().hexdigest()
        if rows := self._recorder.unrecorded_rows:
            raise UnrecordedError(rows, self._recorder.digest)
        return self._recorder.digest

    def tick(self) -> None:
        """Every 100 ms: write the clock row, and the instrument rows of a new segment."""
        self._feeds.tick(self._recorder.lag_ms if self._recorder else 0.0)
        self._upkeep.tick()
        if self._recorder and self._recorder.segment_number != self._announced:
            self._announced = self._recorder.segment_number
            self._feeds.announce()

    def health(self) -> dict[str, Any]:
        recorder = self._recorder
        if recorder is None:
            return self._health.report("off", 0.0, 0)
        return self._health.report(recorder.state, recorder.lag_ms, recorder.unrecorded_rows)

    def metrics(self) -> bytes:
        recorder = self._recorder
        gauges: dict[str, float] = {"followers": self.publisher.followers}
        if recorder:
            gauges |= {
                "recorder_lag_ms": recorder.lag_ms,
                "recorder_commit_ms": recorder.commit_ms,
                "unrecorded_rows": recorder.unrecorded_rows,
            }
        return self._metrics.text(self._health.ages_ms(), gauges, self._graph.counters())

    def about(self) -> dict[str, Any]:
        return {
            "running": self._feeds.running,
            "sources": [str(source) for source in self._feeds.sources],
            "followed": [
                {"source": str(source), "mode": way.mode, "interval_s": way.interval_s}
                for source, way in self._feeds.ways()
            ],
            "simulated": simulated(self._options.endpoints),
            "recording": self.recording,
            "rows": self.rows,
            "free_mb": self._recorder.space.free_mb if self._recorder else None,
            "trouble": self._trouble(),
            "rules": self.alerting.described(),
            "hooks": self._hook_settings(),
            "nodes": {name: count._asdict() for name, count in self._graph.counters().items()},
        }

    def control(self, action: str, given: list[Any]) -> str:
        """Start or stop all feeds, or add or remove sources; ValueError for anything else.

        A source is a text, or a table with mode and interval. Return a note for the user.
        """
        parsed = asked_for(given)
        actions: dict[str, Callable[[], str | None]] = {
            "start": self._feeds.start,
            "stop": self._feeds.stop,
            "add": lambda: self._add(parsed),
            "remove": lambda: self._remove(parsed),
        }
        if action not in actions:
            raise ValueError(f"expected one of {', '.join(actions)}, found {action!r}")
        return actions[action]() or ""

    def _add(self, parsed: list[sources.Source]) -> str:
        """Follow all of these sources, or none if one of them cannot be followed."""
        for venue in {source.venue for source in parsed}:
            if not self._feeds.has_address(venue) and self._options.simulate:
                # The feeds read their addresses here too.
                self._options.endpoints.update(self._options.simulate([venue]))
        notes = dict.fromkeys(self._feeds.check(source, parsed) for source in parsed)
        for source in parsed:
            self._feeds.add(source)
        return "; ".join(filter(None, notes))

    def _remove(self, parsed: list[sources.Source]) -> None:
        for source in parsed:
            self._feeds.remove(source)

    def _hook_settings(self) -> dict[str, Any]:
        """Return the hooks' parameters for another process, with absolute paths."""
        settings = self._options.settings.hooks
        folder = settings.folder and settings.folder.resolve()
        return settings.model_copy(update={"folder": folder}).model_dump(mode="json")

    def reload_hooks(self) -> dict[str, Any]:
        """Load the user's hooks again, each from its start; return which run and which failed."""
        with self._reloading:
            for hook in self._own_hooks:
                self._graph.remove(hook.name)
                hook.close()
            troubles = self._load_own_hooks()
            names = [hook.name for hook in self._own_hooks]
        self._tell("hooks_loaded", ", ".join(names) or "none", len(names))
        return {"hooks": names, "troubles": troubles}

    def _load_own_hooks(self) -> list[str]:
        own = user_hooks.load(self._options.settings.hooks.folder, "recorded")
        self._own_hooks = [Apart(hook) for hook in own.hooks]
        for hook in self._own_hooks:
            self._graph.add(hook)
        for trouble in own.troubles:
            self._tell("hook_failed", trouble)
        return own.troubles

    def _disabled(self, name: str, why: str) -> None:
        self._tell("hook_disabled", f"{name}: {why}")

    def _tell(self, kind: str, detail: str, count: int | None = None) -> None:
        self._feeds.status("feed", "connected", kind, detail, count)

    def snapshot(self) -> str:
        if self._recorder is None:
            raise FileNotFoundError("expected a recorder, found none (--no-record)")
        return str(self._recorder.snapshot().resolve())

    def _trouble(self) -> str:
        """Describe a fault of the recorder for a banner."""
        recorder = self._recorder
        if recorder is None:
            return ""
        if recorder.state == "failed":
            return f"NOT RECORDING: {recorder.trouble} ({recorder.unrecorded_rows:,} rows lost)"
        if recorder.space.is_low:
            return "DISK SPACE IS LOW"
        if recorder.unrecorded_rows:
            return f"{recorder.unrecorded_rows:,} ROWS WERE NOT RECORDED"
        return ""

    def _drain(self) -> None:
        while True:
            closing = self._draining.is_set()
            batch = self._feeds.drain(DRAIN_WAIT_MS, DRAIN_LINGER_MS)
            if batch is not None:
                self.rows += batch.row_count
                self._graph.emit(batch)
            elif closing:
                self._rest_hooks()
                return

    def _rest_hooks(self) -> None:
        """Record the signals of the user's hooks for the last rows."""
        until_s = time.monotonic() + HOOKS_REST_S
        for hook in self._own_hooks:
            if signals := hook.rest(until_s):
                self._graph.emit(Batch({"signal": signals}))
            hook.close()

    def _on_recorder(self, state: str, kind: str, detail: str, count: int | None) -> None:
        self._feeds.status("recorder", state, kind, detail, count)


class Terminal:
    """A sink that prints faults on standard error, at a bounded number of lines a second."""

    def __init__(self) -> None:
        self._second, self._told = 0, 0

    def __call__(self, batch: Batch) -> None:
        if "status" not in batch:
            return
        rows = batch["status"]
        wanted = rows.filter(pc.is_in(rows["kind"], pc.pa.array(TOLD_KINDS)))
        for row in wanted.filter(pc.not_equal(wanted["scope"], "channel")).to_pylist():
            second = int(time.monotonic())
            if second != self._second:
                self._second, self._told = second, 0
            self._told += 1
            if self._told <= TOLD_PER_S and (row["symbol"] is None or row["kind"] == "refused"):
                where = ":".join(part for part in (row["venue"], row["symbol"]) if part)
                print(
                    f"{where}: {row['kind']}: {row['detail']}",
                    file=sys.stderr,
                    flush=True,
                )


def _keep(held: locks.Lock) -> None:
    if told := held.keep():
        log.warning("%s", told)


def run(options: Options, on_progress: Callable[[Collector], None] | None = None) -> str:
    """Collect until a signal, or for `seconds`; return the digest of the recording.

    Raises lock.LockedError if another collector works on the folder, UnrecordedError in the end if
    rows were not recorded.
    """
    with locks.hold(options.folder) as held, contextlib.ExitStack() as stack:
        loop = event_loop.steady()
        # First: a signal during the start must still seal the recording.
        for number in end_signals.signals():
            before = signal.signal(number, lambda *_: loop.add_callback_from_signal(loop.stop))
            stack.callback(signal.signal, number, before)
        for line in recovery.recover_all(options.folder):
            print(line, file=sys.stderr)
        collector = Collector(options)
        (sock,) = tornado.netutil.bind_sockets(0, "127.0.0.1")
        server = bounded_server.Server(http_server.application(collector))
        server.add_socket(sock)
        publisher = collector.publisher
        publisher.wake = functools.partial(loop.add_callback, publisher.pack)
        address = f"127.0.0.1:{sock.getsockname()[1]}"
        collector.start()
        if held.died and held.died.started_by == options.started_by == "serve":
            collector.restarted(held.died)
        held.tell(
            locks.Held(
                os.getpid(), address, collector.token, options.started_by, collector.recording
            )
        )
        if options.seconds is not None:
            loop.call_later(options.seconds, loop.stop)
        periodic = [
            tornado.ioloop.PeriodicCallback(collector.tick, TICK_MS),
            tornado.ioloop.PeriodicCallback(publisher.pack, CHUNK_EVERY_S * 1000),
            tornado.ioloop.PeriodicCallback(lambda: _keep(held), LOCK_MS),
        ]
        if on_progress is not None:
            show = on_progress
            periodic.append(tornado.ioloop.PeriodicCallback(lambda: show(collector), 500))
        for callback in periodic:
            callback.start()
        loop.start()
        for callback in periodic:
            callback.stop()
        server.stop()
        try:
            return collector.close()
        finally:
            # It ended on request: no page must restart it.
            held.clear()
