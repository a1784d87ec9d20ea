"""A front before the simulated exchange that can refuse or hold requests."""

from __future__ import annotations

import http.server
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from support.running import DEADLINE_S

# Kraken's own list comes by its stream: by REST it is asked for where that is polled.
VENUES = ("binance", "binance-us", "kraken", "kraken-v1", "coinbase", "coinbase-exchange", "mock")


# Where each has its list, and an answer that names no instrument.
LISTS = {
    "exchangeInfo": '{"symbols":[]}',
    "AssetPairs": '{"error":[],"result":{}}',
    "market/products": '{"products":[]}',
    "products": "[]",
    "instruments": '{"instruments":[]}',
}


class Front(http.server.BaseHTTPRequestHandler):
    """Passes on what the simulated exchange answers by REST, but for the lists."""

    protocol_version = "HTTP/1.1"
    upstream: int
    trouble: Sequence[tuple[int, str]]

    def do_GET(self) -> None:
        status, body = self._listed() or self._passed()
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _listed(self) -> tuple[int, str] | None:
        path = self.path.partition("?")[0]
        name = next((name for name in LISTS if path.endswith(f"/{name}")), None)
        if name is None or not self.trouble:
            return None
        status, body = self.trouble[0]
        return status, body or LISTS[name]

    def _passed(self) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.upstream}{self.path}"
        try:
            with urllib.request.urlopen(url, timeout=DEADLINE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def log_message(self, *_: Any) -> None:
        pass


class Quiet(http.server.ThreadingHTTPServer):
    """A server whose clients may leave at any time."""

    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        pass


@contextmanager
def fronting(
    upstream: int = 0, trouble: Sequence[tuple[int, str]] = (), front: type[Front] = Front
) -> Iterator[int]:
    """Serve a front before the simulated exchange; yield its port.

    While `trouble` holds an answer (status, body), the lists are answered with that.
    """
    handler = type("Chosen", (front,), {"upstream": upstream, "trouble": trouble})
    with Quiet(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="front")
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
