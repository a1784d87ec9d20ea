"""An HTTP server that receives alerts and can stall, fail or hang up."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class Receiver(ThreadingHTTPServer):
    """An HTTP server that does as `mood` says: `well`, `fails`, `refuses`, `hangs up`, `stalls`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.mood = "well"
        self.taken: list[tuple[str, dict[str, str], Any]] = []
        self.asked = 0
        self.released = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/in/token-in-the-path"

    @property
    def texts(self) -> list[str]:
        return [body["text"] for _, _, body in self.taken if body]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.asked += 1
        match self.server.mood:
            case "hangs up":
                self.close_connection = True
            case "stalls":
                self.server.released.wait(60)
            case "fails" | "refuses":
                self.send_error(500 if self.server.mood == "fails" else 404)
            case "well":
                self.server.taken.append((self.path, dict(self.headers), body))
                self.send_response(204)
                self.end_headers()

    do_GET = do_POST  # noqa: N815

    def log_message(self, *words: Any) -> None:
        """Say nothing: the tests look at what was taken."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()
