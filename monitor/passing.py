"""Answers `/health` and `/metrics` on the page's port: the collector's, and counts of the page."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sized
from pathlib import Path
from typing import Any

import requests
from tornado.ioloop import IOLoop
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from monitor import lock

PATHS = ("/health", "/metrics")
ASK_S = 4.5


class Passing(RequestHandler):
    """Passes the collector's answer on; `documents` are the pages that are in memory."""

    def initialize(self, folder: Path, documents: Sized) -> None:
        self._folder, self._documents = folder, documents

    async def get(self) -> None:
        path = self.request.path
        status, kind, body = await IOLoop.current().run_in_executor(None, _ask, self._folder, path)
        self.set_status(status)
        self.set_header("Content-Type", kind)
        if path == "/metrics":
            application: Any = self.application
            (page,) = application.app_paths
            body += _metrics(application.get_sessions(page), len(self._documents)).encode()
        # A client that did not wait for the answer is no fault of this server.
        with contextlib.suppress(StreamClosedError):
            await self.finish(body)


def routes(folder: Path, documents: Sized) -> list[tuple[Any, ...]]:
    return [(path, Passing, {"folder": folder, "documents": documents}) for path in PATHS]


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


def _ask(folder: Path, path: str) -> tuple[int, str, bytes]:
    held = lock.holder(folder)
    if held is not None:
        with contextlib.suppress(requests.RequestException):
            answer = requests.get(f"http://{held.address}{path}", timeout=ASK_S)
            return answer.status_code, answer.headers["Content-Type"], answer.content
    recorder = {"state": "failed", "lag_ms": None, "unrecorded_rows": None}
    report = {"status": "failed", "sources": [], "recorder": recorder}
    return 503, "application/json", json.dumps(report).encode()
