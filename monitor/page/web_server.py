"""The web server of the page: Bokeh's application on sockets that are bound first."""

from __future__ import annotations

import hmac
import socket
import ssl
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from bokeh.core.validation import silence
from bokeh.core.validation.warnings import EMPTY_LAYOUT
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from panel.io.application import build_applications
from panel.io.resources import DIST_DIR
from panel.io.server import INDEX_HTML, get_static_routes
from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.ioloop import IOLoop

from monitor.access import COOKIE, Exposure
from monitor.collector import bounded_server

# Interval of the search for unused sessions, and how long one may be unused: a slow browser takes
# its time from the page to the connection.
CLEAN_EVERY_MS, UNUSED_MS = 2_000, 15_000
# nginx and others cut a connection that is idle for 60 s. A browser that does not answer a ping
# before the next one has gone; a busy server may read the answer late.
PING_EVERY_S = 45.0
# Nothing is uploaded; the login form is a few lines.
MAX_BODY_BYTES = 64 << 10
# monitor/docs/operations.md has proxies set X-Forwarded-For and -Proto. They pass these on as the
# client sent them, and Tornado would prefer them.
OF_THE_CLIENT = ("X-Real-Ip", "X-Scheme")


def make(
    page: Path,
    exposure: Exposure,
    sockets: list[socket.socket],
    tls: ssl.SSLContext | None,
    routes: list[tuple[Any, ...]],
) -> tuple[BaseServer, BokehTornado, HTTPServer]:
    """Create the server of a page's file; it answers once it is started and the loop runs.

    Return its application and its HTTP server too.

    Bokeh's own `Server` binds the port itself, after the page's libraries were loaded for seconds.
    """
    silence(EMPTY_LAYOUT, True)
    application = BokehTornado(
        build_applications({"/": str(page)}, title="monitor"),
        # Bokeh accepts any origin: the gate before it requires the page's own.
        extra_websocket_origins=["*"],
        extra_patterns=[*routes, *get_static_routes({})],
        index=INDEX_HTML,
        ico_path=str(DIST_DIR / "images" / "favicon.ico"),
        **_options(exposure),
    )
    http = _Server(
        application,
        xheaders=exposure.is_behind_proxy,
        ssl_options=tls,
        max_body_size=MAX_BODY_BYTES,
    )
    http.add_sockets(sockets)
    return BaseServer(IOLoop.current(), application, http), application, http


class _Server(bounded_server.Server):
    """Reads the client's address and protocol from headers that the proxy itself sets."""

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        return _WithoutHeaders(super().start_request(server_conn, request_conn))


class _WithoutHeaders(HTTPMessageDelegate):
    def __init__(self, delegate: HTTPMessageDelegate) -> None:
        self._delegate = delegate

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        for name in OF_THE_CLIENT:
            headers.pop(name, None)
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._delegate.data_received(chunk)

    def finish(self) -> None:
        self._delegate.finish()

    def on_connection_close(self) -> None:
        self._delegate.on_connection_close()


def _options(exposure: Exposure) -> dict[str, Any]:
    """Return the options of Bokeh and Tornado other than addresses."""
    options: dict[str, Any] = {
        "check_unused_sessions_milliseconds": CLEAN_EVERY_MS,
        "unused_session_lifetime_milliseconds": UNUSED_MS,
        # Tornado's pings, which wait for an answer, instead of Bokeh's, which trip over a
        # connection that is being closed.
        "keep_alive_milliseconds": 0,
        "websocket_ping_interval": PING_EVERY_S,
        "websocket_ping_timeout": PING_EVERY_S,
        # Bokeh writes the others into the page, where scripts can read them.
        "exclude_cookies": [COOKIE, "_xsrf"],
        "exclude_headers": ["Cookie"],
    }
    if exposure.cookie_secret:
        # Not the key of the cookies: a signature of one must be invalid for the other.
        key = hmac.digest(exposure.cookie_secret.encode(), b"sessions", "sha256")
        options |= {"secret_key": key, "sign_sessions": True}
        options["cookie_secret"] = exposure.cookie_secret
        options["xsrf_cookie_kwargs"] = {"httponly": True, "samesite": "Strict"}
    return options
