"""`/health` and `/metrics` on the page's port: the collector's, plus counts of the page."""

from __future__ import annotations

import contextlib
import functools
import json
from pathlib import Path
from typing import Any

from tornado.ioloop import IOLoop
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from monitor.hub import Hub
from monitor.page.layouts import Shared
from monitor.processes import collector_client, locks
from monitor.state import UP

PATHS = ("/health", "/metrics")
# A hung collector does not answer; clients of this page wait longer than this.
ANSWER_S = 2.0
METRICS = "text/plain; version=0.0.4; charset=utf-8"


class Passing(RequestHandler):
    """Forwards the collector's answer, with facts of the page process."""

    def initialize(self, shared: Shared) -> None:
        self._shared = shared

    async def head(self) -> None:
        await self.get()

    async def get(self) -> None:
        path = self.request.path
        ask = functools.partial(_ask, self._shared.folder, path, self._shared.hub)
        status, kind, body = await IOLoop.current().run_in_executor(None, ask)
        self.set_status(status)
        self.set_header("Content-Type", kind)
        if path == "/metrics":
            application: Any = self.application
            (page,) = application.app_paths
            body += _metrics(application.get_sessions(page), len(self._shared.documents)).encode()
        # The client left before the answer: no fault of this server.
        with contextlib.suppress(StreamClosedError):
            await self.finish(body)


def routes(shared: Shared) -> list[tuple[Any, ...]]:
    return [(path, Passing, {"shared": shared}) for path in PATHS]


def _metrics(sessions: list[Any], documents: int) -> str:
    viewers = sum(session.connection_count > 0 for session in sessions)
    gauges = [
        ("viewers", "Browsers that are connected", viewers),
        ("sessions", "Pages that are kept, those of closed tabs for a while", len(sessions)),
        ("documents", "Pages that are in memory, until it is cleaned up", documents),
    ]
    return "".join(
        f"# HELP monitor_page_{name} {told}\n# TYPE monitor_page_{name} gauge\n"
        f"monitor_page_{name} {value}\n"
        for name, told, value in gauges
    )


def _ask(folder: Path, path: str, hub: Hub) -> tuple[int, str, bytes]:
    """Return the collector's answer, or the page's own if there is none."""
    held = locks.holder(folder)
    if held is not None:
        with contextlib.suppress(*collector_client.ERRORS):
            answer = collector_client.request(held, "GET", path, timeout_s=ANSWER_S)
            return answer.status_code, answer.headers["Content-Type"], answer.content
    if path == "/metrics":
        # The page's own counts follow.
        return 503, METRICS, b""
    found = "none that answers" if held else "none"
    sources = [
        {
            "venue": source.venue,
            "symbol": source.symbol,
            "state": "stale" if source.state in UP else source.state,
            "age_ms": source.age_ms,
            "updates": source.updates,
            "error": f"expected a running collector, found {found}",
        }
        for source in hub.sources()
    ]
    recorder = {"state": "failed", "lag_ms": None, "unrecorded_rows": None}
    report = {"status": "failed", "sources": sources, "recorder": recorder}
    return 503, "application/json", json.dumps(report).encode()
