"""The first answer to a browser: load the scripts while the session is created."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any

from bokeh.application.handlers import Handler
from bokeh.embed.elements import html_page_for_render_items
from bokeh.embed.util import RenderItem
from bokeh.server.tornado import BokehTornado
from bokeh.server.urls import per_app_patterns
from bokeh.util.token import generate_jwt_token, generate_session_id
from panel.io import location
from panel.io.resources import bundle_resources
from panel.io.server import DocHandler
from tornado.httputil import split_host_and_port
from tornado.ioloop import IOLoop
from tornado.web import RequestHandler

from monitor.page.turns import MOST, Turns, waits_for
from monitor.page.views import style
from monitor.processes import is_usable

# By then the browser has requested the scripts: creating a session blocks the loop.
SCRIPTS_S = 0.25
# Above this number of unconnected sessions no more are created until one connects: a client that
# requests pages and never connects costs next to nothing.
MOST_UNCONNECTED = 20
ELEMENT = "page"
SCRIPT = Path(__file__).with_suffix(".js").read_text()
WAITS = Path(__file__).with_name("opening_page_waits.js").read_text()
PATH, TURNS = "/opening", "turns"
EMBEDDING = "/autoload.js"
# The text stands until something is drawn. Scripts come last, so that they delay nothing.
TEMPLATE = """
{% block preamble %}
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="favicon.ico">
{% endblock %}
{% block css_resources %}
<style>{{ look }}
#page:not(:empty) + .opening { display: none; }
.opening { padding: 4px 0; color: var(--muted); }
.opening b { color: var(--strong); font-size: 17px; margin-right: 14px; }
</style>
{% endblock css_resources %}
{% block js_resources %}{% endblock %}
{% block contents %}
<div id="page"></div>
<div class="opening"><b>monitor</b>Opening … <span class="waits" role="status"
 data-ask="{{ ask }}"></span></div>
<script>{{ waits }}</script>
{{ bokeh_js }}
<script>{{ script }}</script>
{% endblock %}
"""


class Opening(DocHandler):  # type: ignore[misc]  # Panel tells no types.
    """Answers at once, with a token for the session that the scripts will connect to."""

    async def head(self, *_: Any, **__: Any) -> None:
        await self.get()

    async def get(self, *_: Any, **__: Any) -> None:
        application: Any = self.application
        if self.settings[TURNS].is_full:
            self.set_status(503)
            await self.finish(f"expected at most {MOST} pages to be opened at once, found more\n")
            return
        session_id = generate_session_id(application.secret_key, application.sign_sessions)
        # Panel decodes them as text and would fail on other bytes.
        arguments = {
            name: [value.decode(errors="replace").encode() for value in values]
            for name, values in self.request.arguments.items()
        }
        token = generate_jwt_token(
            session_id,
            secret_key=application.secret_key,
            signed=application.sign_sessions,
            expiration=application.session_token_expiration,
            # The page needs no more of the request, and scripts can read what is in here.
            extra_payload={"headers": {}, "cookies": {}, "arguments": arguments},
        )
        look = style.look_of(arguments)
        item = RenderItem(token=token, elementid=ELEMENT)
        page = html_page_for_render_items(
            bundle_resources([], application.resources()),
            {},
            [item],
            "monitor",
            TEMPLATE,
            {"look": look.css, "script": SCRIPT, "waits": WAITS, "ask": f"{PATH[1:]}?{session_id}"},
        )
        self.set_header("Content-Type", "text/html")
        await self.finish(page)
        if self.request.method == "GET":
            IOLoop.current().call_later(SCRIPTS_S, self._make, session_id, token)

    async def _make(self, session_id: str, token: str) -> None:
        """Create the session before the browser connects, which would otherwise trigger it."""
        context = self.application_context
        unconnected = sum(session.connection_count == 0 for session in context.sessions)
        if unconnected + len(_pending(context)) < MOST_UNCONNECTED:
            await context.create_session_if_needed(session_id, self.request, token)


class Waits(RequestHandler):
    """Answers what the opening of a page waits for; the query names the session."""

    def get(self) -> None:
        turns: Turns = self.settings[TURNS]
        application: Any = self.application
        made = {
            session.id
            for path in application.app_paths
            for session in application.get_sessions(path)
        }
        ahead = turns.ahead(self.request.query)
        told = "this browser, which loads or draws the page"
        if self.request.query not in made:
            told = "the server, which makes the page"
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(waits_for(ahead) or told)


class _InTurn(Handler):  # type: ignore[misc]  # Bokeh tells no types.
    """Creates the sessions of an application one after another, with other pages' turns between."""

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self._turns = turns

    def modify_document(self, doc: Any) -> None:
        """Do nothing: the page needs no change."""

    async def on_session_created(self, session_context: Any) -> None:
        await self._turns.begin(session_context.id, is_opening=True)
        # Bokeh makes the page right after this, before the loop does anything else.
        asyncio.get_running_loop().call_soon(self._turns.end)


def queue(application: Any, turns: Turns) -> None:
    """Create the sessions of a server in turn, and tell waiting browsers what they wait for."""
    for context in application.applications.values():
        context.application.add(_InTurn(turns))
    application.settings[TURNS] = turns
    if _is_location_known():
        location._get_location_params = _location_params
    application.add_handlers(r".*", [(PATH, Waits)])


def take_over() -> None:
    """Make servers created from now on answer at once, instead of after creating the session.

    They have no script for other sites to embed the page with: each request for it makes a page.
    """
    if not _is_opening_known():
        return
    per_app_patterns[:] = [
        (path, Opening if handler is DocHandler else handler)
        for path, handler in per_app_patterns
        if path != EMBEDDING
    ]


def replace(application: Any) -> None:
    """Make a running server answer at once from now on."""
    if not _is_opening_known():
        return
    for rule in application.wildcard_router.rules:
        if rule.target is DocHandler:
            rule.target = rule.handler_class = Opening


def _is_opening_known() -> bool:
    """Return whether `Opening` can answer in place of Panel's own handler."""
    wanted = ("secret_key", "sign_sessions", "session_token_expiration", "resources")
    return is_usable(
        "Panel's DocHandler among Bokeh's per_app_patterns, and Bokeh's session tokens",
        any(pattern[1] is DocHandler for pattern in per_app_patterns)
        and all(hasattr(BokehTornado, name) for name in wanted)
        and "extra_payload" in inspect.signature(generate_jwt_token).parameters,
        "a page is answered when it is made, not before",
    )


def _is_location_known() -> bool:
    """Return whether `_location_params` can stand in for Panel's function."""
    names = ["protocol", "host", "uri"]
    return is_usable(
        "Panel's _get_location_params(protocol, host, uri)",
        _panels_params is not None and list(inspect.signature(_panels_params).parameters) == names,
        "an IPv6 address in the browser's address bar is read as Panel reads it",
    )


def _pending(context: Any) -> Any:
    """Return the sessions of an application that are being created."""
    pending = getattr(context, "_pending_sessions", None)
    is_known = is_usable(
        "Bokeh's ApplicationContext._pending_sessions",
        hasattr(pending, "__len__"),
        "sessions that are being made do not count as unconnected",
    )
    return pending if is_known else ()


_panels_params: Any = getattr(location, "_get_location_params", None)


def _location_params(protocol: str | None, host: str | None, uri: str | None) -> dict[str, Any]:
    """Return where a page is, for Panel, which splits `[::1]:5006` at its first colon."""
    if host is None or not host.startswith("["):
        return dict(_panels_params(protocol, host, uri))
    name, port = split_host_and_port(host)
    found = dict(_panels_params(protocol, f"v6:{port}" if port else "v6", uri))
    return found | {"hostname": name, "href": found["href"].replace("//v6", f"//{name}", 1)}
