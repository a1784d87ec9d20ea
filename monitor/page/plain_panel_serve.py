"""Set up a server that plain `panel serve` started, at its first request.

`monitor serve` puts the gate in front, answers at once and knows who may act before it listens.
Panel runs the page's file with the first request only: that request prepares the server, and its
answer has the browser ask again. So no page is created for a request that the gate did not check.
"""

from __future__ import annotations

import gc
from contextlib import suppress
from pathlib import Path
from typing import Any

from bokeh.server.auth_provider import NullAuth
from bokeh.server.server import Server
from jinja2 import Template
from tornado.httputil import HTTPServerRequest

from monitor.access import HEADERS, Exposure, Gate, Users, check, guard
from monitor.page import forwarded_endpoints, opening_page
from monitor.page.layouts import Shared
from monitor.processes import attach_for_good, is_usable
from monitor.settings import is_loopback

SERVER_PARTS = ("_tornado", "_http", "_address", "_port")
ASK_AGAIN = '<!DOCTYPE html><title>monitor</title><meta http-equiv="refresh" content="0">'
HOW = "for Recordings, SQL and Settings use monitor serve, or panel serve without other options"


def prepare(document: Any, shared: Shared) -> bool:
    """Prepare the server of a request that no gate has checked; return whether to repeat it.

    A server that other machines can reach gets pages on which nobody may act, and
    `shared.restricted` says why.
    """
    is_first = shared.restricted is None
    if is_first:
        # A folder that is missing or read-only has no page that could stop anything.
        with suppress(OSError):
            attach_for_good(shared.folder)
        shared.restricted = _take_over(_server_of(document), shared)
    if is_first or not shared.restricted:
        document.template = Template(ASK_AGAIN)
        return True
    return False


class Near(Gate):
    """The gate of a server for this machine, wherever it listens."""

    def _judge(self, request: HTTPServerRequest) -> tuple[int, str, str]:
        if not is_loopback(str(request.remote_ip)):
            return 403, "expected a browser on this machine (or panel serve --address …)", ""
        return super()._judge(request)


def _server_of(document: Any) -> Any:
    """Find the server of a document, which Bokeh does not offer; None if it cannot be found."""
    context = document.session_context.server_context.application_context
    servers = [one for one in gc.get_objects() if isinstance(one, Server)]
    is_known = is_usable(
        "_tornado, _http, _address and _port of Bokeh's Server",
        all(hasattr(one, name) for one in servers for name in SERVER_PARTS),
        "nobody may act on the pages of plain `panel serve`",
    )
    found = (one for one in servers if is_known and context in one._tornado.applications.values())
    return next(found, None)


def _take_over(server: Any, shared: Shared) -> str:
    """Set up a server as far as possible; return why nobody may act on its pages, if so."""
    if server is None:
        return f"this version of Bokeh does not say which server this is: {HOW}"
    application, http = server._tornado, server._http
    if not isinstance(application.auth_provider, NullAuth):
        return f"Panel's own login does not say who may act: {HOW}"
    if len(application.app_paths) > 1:
        return f"this server has other pages beside this one: {HOW}"
    opening_page.replace(application)
    opening_page.queue(application, shared.turns)
    # Without an address Panel listens everywhere: other machines are then refused.
    address = server._address or "127.0.0.1"
    if server._port is None or http.xheaders:
        return f"this server is for a proxy, by which other machines may reach it: {HOW}"
    if not is_loopback(address):
        return f"other machines can reach this server, which listens on {address}: {HOW}"
    certificate = (Path(), Path()) if http.ssl_options else None
    exposure = Exposure(address, server._port, frozenset(), {}, None, certificate, False)
    shared.findings = check(exposure, HEADERS)
    guard(application, Near(exposure, Users({})))
    # Bokeh would accept only `localhost`; the gate requires the page's own origin.
    application.websocket_origins.add(f"{exposure.host}:{exposure.port}")
    application.add_handlers(r".*", forwarded_endpoints.routes(shared))
    return ""
