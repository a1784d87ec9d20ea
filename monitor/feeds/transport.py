"""The WebSocket transport: websocket-client opens the connection, its socket is read in chunks."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import websocket

from monitor import __version__

CHUNK_BYTES = 1 << 16
OPEN_TIMEOUT_S = 10
READ_TIMEOUT_S = 0.1
# Venues ask that a client says what it is.
HEADERS = {"User-Agent": f"monitor/{__version__}"}

# What a connection attempt, a read or a write may raise when the venue or the line is at fault.
LINE_ERRORS = (OSError, ssl.SSLError, websocket.WebSocketException, ValueError)


class Line:
    """An open WebSocket connection: raw bytes in, texts and control frames out."""

    def __init__(self, ws: Any) -> None:
        self._ws = ws
        self._sock = ws.sock
        self._sock.settimeout(READ_TIMEOUT_S)

    def read(self) -> bytes | None:
        """Return the bytes that came, b"" at the end of the stream, None if there were none."""
        try:
            return bytes(self._sock.recv(CHUNK_BYTES))
        except (TimeoutError, ssl.SSLWantReadError):
            return None

    def send(self, text: str) -> None:
        self._ws.send(text)

    def ping(self) -> None:
        self._ws.ping()

    def pong(self, payload: bytes) -> None:
        self._ws.pong(payload)


@contextmanager
def connect(url: str) -> Iterator[Line]:
    """Open a WebSocket, TLS and proxies as the environment says, and close it at the end."""
    ws = websocket.create_connection(
        url,
        timeout=OPEN_TIMEOUT_S,
        header=HEADERS,
        enable_multithread=False,
        skip_utf8_validation=True,
    )
    try:
        yield Line(ws)
    finally:
        ws.shutdown()


def address(url: str) -> str:
    """Return scheme, host and path of `url`: what may be shown, without query and credentials."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"
