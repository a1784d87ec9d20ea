"""An HTTP server that bounds idle connections and closes the oldest for new ones."""

from __future__ import annotations

import logging
import resource
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast

from tornado.http1connection import HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream
from tornado.netutil import add_accept_handler

from monitor.processes import is_usable

# Limits for a request's head, from the connection's start or last answer, and for its body.
IDLE_S, BODY_S = 30.0, 30.0
# Share of the process's descriptors: files and venues need the rest.
SHARE, FEWEST, MOST = 3, 8, 1024
PAUSE_S, TELL_EVERY_S = 1.0, 60.0
TORNADO_PARTS = ("_sockets", "_handlers", "_handle_connection", "_stopped", "_connections")

log = logging.getLogger(__name__)


class Server(HTTPServer):
    """Limits its connections: above the limit it closes the one that has been idle longest.

    WebSockets do not count.
    """

    def initialize(self, *arguments: Any, **options: Any) -> None:
        options |= {"idle_connection_timeout": IDLE_S, "body_timeout": BODY_S}
        super().initialize(*arguments, **options)
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        allowed = MOST * SHARE if soft == resource.RLIM_INFINITY else soft
        self._most = max(FEWEST, min(MOST, allowed // SHARE))
        # Connections that wait for a request, the longest wait first.
        self._idle: dict[IOStream, None] = {}
        self._told_s = -TELL_EVERY_S
        self._is_bounded = is_usable(
            "the connections and listening sockets that Tornado's HTTPServer keeps",
            all(hasattr(self, name) for name in TORNADO_PARTS),
            "idle connections end after a while, but are not bounded",
        )

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        if not self._is_bounded:
            super().add_sockets(sockets)
            return
        for sock in sockets:
            self._sockets[sock.fileno()] = sock
            self._accept(_Listening(sock, self._pause))

    def _accept(self, listening: _Listening) -> None:
        remove = add_accept_handler(listening, self._handle_connection)  # type: ignore[arg-type]
        self._handlers[listening.fileno()] = remove

    def _pause(self, listening: _Listening, error: OSError) -> None:
        """Stop accepting for a moment: the loop would retry the same connection at once."""
        loop, number = IOLoop.current(), listening.fileno()
        self._handlers[number]()
        # `stop` would remove it a second time.
        self._handlers[number] = lambda: None
        loop.call_later(PAUSE_S, self._resume, listening)
        if time.monotonic() - self._told_s >= TELL_EVERY_S:
            self._told_s = time.monotonic()
            log.warning("expected to take a connection, found: %s", error.strerror)

    def _resume(self, listening: _Listening) -> None:
        if not self._stopped:
            self._accept(listening)

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        if not self._is_bounded:
            super().handle_stream(stream, address)
            return
        if sum(not one.stream.closed() for one in self._connections) >= self._most:
            if not self._idle:
                stream.close()
                return
            longest = next(iter(self._idle))
            del self._idle[longest]
            longest.close()
        self._idle[stream] = None
        super().handle_stream(stream, address)

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        if not self._is_bounded:
            return super().start_request(server_conn, request_conn)
        stream = cast(HTTP1ServerConnection, server_conn).stream
        # After those that have waited longer.
        self._idle.pop(stream, None)
        if not stream.closed():
            self._idle[stream] = None
        delegate = super().start_request(server_conn, request_conn)
        return _Noticing(delegate, lambda: self._idle.pop(stream, None))

    def on_close(self, server_conn: object) -> None:
        if self._is_bounded:
            self._idle.pop(cast(HTTP1ServerConnection, server_conn).stream, None)
        super().on_close(server_conn)


class _Listening:
    """A listening socket that hides its errors from Tornado's loop."""

    def __init__(
        self, sock: socket.socket, on_error: Callable[[_Listening, OSError], None]
    ) -> None:
        self._socket, self._on_error = sock, on_error

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def accept(self) -> tuple[socket.socket, Any]:
        try:
            return self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            raise
        except OSError as error:
            self._on_error(self, error)
            raise BlockingIOError from error


class _Noticing(HTTPMessageDelegate):
    """Reports when the head of a request has arrived."""

    def __init__(self, delegate: HTTPMessageDelegate, on_head: Callable[[], object]) -> None:
        self._delegate, self._on_head = delegate, on_head

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._on_head()
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._delegate.data_received(chunk)

    def finish(self) -> None:
        self._delegate.finish()

    def on_connection_close(self) -> None:
        self._delegate.on_connection_close()
