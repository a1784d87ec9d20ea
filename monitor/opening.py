"""The first answer to a browser: a page that loads its scripts while its session is being made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bokeh.embed.elements import html_page_for_render_items
from bokeh.embed.util import RenderItem
from bokeh.server.urls import per_app_patterns
from bokeh.util.token import generate_jwt_token, generate_session_id
from panel.io.resources import bundle_resources
from panel.io.server import DocHandler
from tornado.ioloop import IOLoop

from monitor.views import style

# A browser has asked for the scripts by then: making a session lets nobody else have a turn.
SCRIPTS_S = 0.25
ELEMENT = "page"
SCRIPT = Path(__file__).with_suffix(".js").read_text()
# The words stand until something is drawn. Scripts come last, so that they hold nothing up.
TEMPLATE = """
{% block preamble %}
<meta name="viewport" content="width=device-width, initial-scale=1">
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
<div class="opening"><b>monitor</b>Opening …</div>
{{ bokeh_js }}
<script>{{ script }}</script>
{% endblock %}
"""


class Opening(DocHandler):  # type: ignore[misc]  # Panel tells no types.
    """Answers at once, with a token of the session that the scripts will connect to."""

    async def get(self, *_: Any, **__: Any) -> None:
        application: Any = self.application
        session_id = generate_session_id(application.secret_key, application.sign_sessions)
        arguments = self.request.arguments
        token = generate_jwt_token(
            session_id,
            secret_key=application.secret_key,
            signed=application.sign_sessions,
            expiration=application.session_token_expiration,
            # Of the request the page needs no more: what is in here, scripts can read.
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
            {"look": look.css, "script": SCRIPT},
        )
        self.set_header("Content-Type", "text/html")
        await self.finish(page)
        make = self.application_context.create_session_if_needed
        IOLoop.current().call_later(SCRIPTS_S, make, session_id, self.request, token)


def take_over() -> None:
    """Have the servers that are made from now on answer so, instead of when a session is made."""
    per_app_patterns[:] = [
        (path, Opening if handler is DocHandler else handler) for path, handler in per_app_patterns
    ]


def replace(application: Any) -> None:
    """Have a server that runs answer so from now on."""
    for rule in application.wildcard_router.rules:
        if rule.target is DocHandler:
            rule.target = rule.handler_class = Opening
