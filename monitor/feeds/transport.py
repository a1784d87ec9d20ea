"""The WebSocket transport: websocket-client connects, then the socket is read in chunks."""

from __future__ import annotations

import email.utils
import select
import socket
import ssl
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import python_socks
import websocket

from monitor import __version__
from monitor.feeds.reachability import place, proxy
from monitor.processes import is_usable

CHUNK_BYTES = 1 << 16
OPEN_TIMEOUT_S = 10
# The whole answer to the opening handshake: headers, and the page that may come with a refusal.
HANDSHAKE_BYTES = 1 << 16
READ_TIMEOUT_S = 0.1
# The time that a venue has to end the stream after the closing frames.
CLOSE_WAIT_S = 1.0
# The part of an answer's first line that is shown.
SHOWN_BYTES = 80
# No venue's ban lasts longer.
PAUSE_CAP_S = 3 * 86_400.0
# Venues ask clients to identify themselves.
HEADERS = {"User-Agent": f"monitor/{__version__}"}

# The code of a normal closure (RFC 6455, 7.4.1).
NORMAL = 1000
# A name that no host has.
NOBODY = "-"
# Headers that a server must not send unless the client requested them (RFC 6455, 4.1).
UNASKED = ("sec-websocket-extensions", "sec-websocket-protocol")

# Errors of a connection attempt, a read or a write when the venue or the line is at fault.
LINE_ERRORS = (
    *(OSError, ssl.SSLError, ValueError),
    *(websocket.WebSocketException, python_socks.ProxyError),
)

# Python's errors without a free thread or memory: the next attempt may succeed.
OUT_OF_RESOURCES = (RuntimeError, MemoryError)


class RefusedError(OSError):
    """The venue answered the opening handshake with an HTTP status instead of a WebSocket."""

    def __init__(self, status_code: int, why: str, pause_s: float | None) -> None:
        super().__init__(why)
        self.status_code = status_code
        # The pause in s that the venue requests, if any.
        self.pause_s = pause_s


class Line:
    """An open WebSocket connection: raw bytes in, texts and control frames out."""

    def __init__(self, ws: Any) -> None:
        self._ws = ws
        self._sock = ws.sock.unbounded if _is_answer_bounded(ws) else ws.sock
        self._sock.settimeout(READ_TIMEOUT_S)
        self._wait_s = READ_TIMEOUT_S

    def read(self, wait_s: float = READ_TIMEOUT_S) -> bytes | None:
        """Return received bytes, b"" at the end of the stream, None if there are none."""
        if wait_s != self._wait_s:
            self._sock.settimeout(wait_s)
            self._wait_s = wait_s
        try:
            return bytes(self._sock.recv(CHUNK_BYTES))
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            return None

    @property
    def is_readable(self) -> bool:
        """Whether bytes are at hand that the socket no longer shows: TLS opens whole records."""
        return isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0

    def fileno(self) -> int:
        return int(self._sock.fileno())

    def send(self, text: str) -> None:
        self._ws.send(text)

    def ping(self) -> None:
        self._ws.ping()

    def pong(self, payload: bytes) -> None:
        self._ws.pong(payload)

    def close(self, code: int | None) -> None:
        """Send a closing frame and wait for the end of the stream, though not for long.

        The venue ends the stream first (RFC 6455, 7.1.1). To close with bytes unread would reset
        the connection, and the closing frame might be lost with it.
        """
        deadline_s = time.monotonic() + CLOSE_WAIT_S
        # The line may be what is wrong: it is left in any case.
        with suppress(*LINE_ERRORS):
            payload = b"" if code is None else struct.pack("!H", code)
            self._ws.send(payload, websocket.ABNF.OPCODE_CLOSE)
            self._sock.shutdown(socket.SHUT_WR)
            while (left_s := deadline_s - time.monotonic()) > 0:
                self._sock.settimeout(left_s)
                if not self._sock.recv(CHUNK_BYTES):
                    break


def readable(lines: Sequence[Line], wait_s: float = READ_TIMEOUT_S) -> list[Line]:
    """Return the lines with bytes to read, after waiting up to a limit."""
    ready = [line for line in lines if line.is_readable]
    return ready or select.select(lines, [], [], wait_s)[0]


@contextmanager
def connect(url: str) -> Iterator[Line]:
    """Open a WebSocket, with TLS and the environment's proxies, and close it at the end."""
    try:
        ws = websocket.create_connection(
            url,
            timeout=OPEN_TIMEOUT_S,
            class_=_WebSocket,
            header=HEADERS,
            enable_multithread=False,
            skip_utf8_validation=True,
            **_way(url),
        )
    except websocket.WebSocketBadStatusException as error:
        # Its own text holds all headers and the body.
        found = f"{error.status_code} {error.status_message or ''}".rstrip()
        pause_s = retry_after_s((error.resp_headers or {}).get("retry-after", ""))
        why = f"expected HTTP 101, found {found}"
        raise RefusedError(error.status_code, why, pause_s) from None
    try:
        for name in UNASKED:
            if name in ws.getheaders():
                raise OSError(f"expected no {name}, found {ws.getheaders()[name]!r}")
        yield Line(ws)
    finally:
        ws.shutdown()


def _way(url: str) -> dict[str, Any]:
    """Return the library's proxy options: it would read the environment differently."""
    at = place(url)
    by = proxy(at)
    if by is None:
        # The library reads the exceptions only if a proxy is named.
        return {"http_proxy_host": at.host, "http_no_proxy": [at.host]}
    return {
        "http_proxy_host": by.host,
        "http_proxy_port": by.port,
        "http_proxy_auth": by.login,
        "http_proxy_timeout": OPEN_TIMEOUT_S,
        "proxy_type": by.scheme,
        # With an empty list it would read the environment's.
        "http_no_proxy": [NOBODY],
    }


class _WebSocket(websocket.WebSocket):  # type: ignore[misc]
    """A WebSocket that reads the answer to its handshake from a bounded socket.

    websocket-client reads header lines byte by byte without a limit.
    """

    @property
    def sock(self) -> _Bounded | None:
        return self._bounded

    @sock.setter
    def sock(self, sock: socket.socket | None) -> None:
        self._bounded = _Bounded(sock) if sock else None


def _is_answer_bounded(ws: Any) -> bool:
    return is_usable(
        "websocket-client's WebSocket.sock, which it sets",
        isinstance(ws.sock, _Bounded),
        "a venue's answer to the opening handshake is not bounded",
    )


class _Bounded:
    """A socket with a limit of bytes and of time."""

    def __init__(self, unbounded: socket.socket) -> None:
        self.unbounded = unbounded
        self._deadline_s = time.monotonic() + OPEN_TIMEOUT_S
        self._answer = bytearray()

    def recv(self, size: int) -> bytes:
        if len(self._answer) >= HANDSHAKE_BYTES:
            raise OSError(
                f"expected an answer to the opening handshake of at most {HANDSHAKE_BYTES} bytes, "
                f"found more after {self._first_line()}"
            )
        if (left_s := self._deadline_s - time.monotonic()) > 0:
            self.unbounded.settimeout(left_s)
            with suppress(TimeoutError):
                data = self.unbounded.recv(size)
                self._answer += data
                return data
        raise OSError(
            f"expected the answer to the opening handshake within {OPEN_TIMEOUT_S:g} s, "
            f"found no more than {len(self._answer)} bytes of it"
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unbounded, name)

    def _first_line(self) -> str:
        line = bytes(self._answer[:SHOWN_BYTES]).split(b"\r\n")[0]
        return repr(line.decode("latin-1"))


def retry_after_s(text: str) -> float | None:
    """Parse a Retry-After header, seconds or a date; None if it is neither."""
    if text.isdecimal():
        return min(float(text), PAUSE_CAP_S)
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return min(max(0.0, date.timestamp() - time.time()), PAUSE_CAP_S)


def address(url: str) -> str:
    """Return scheme, host and path of `url`: what may be shown, without query and credentials."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"
