"""The gate before every request: foreign hosts and origins, logins, security headers."""

from __future__ import annotations

import re
import secrets
from typing import Any
from urllib.parse import urlsplit

from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.routing import Matcher, Rule
from tornado.web import Application, OutputTransform, RequestHandler, decode_signed_value

from monitor.access.exposure import Exposure
from monitor.access.users import EVERYBODY, Users, Viewer

COOKIE = "monitor_login"
LOGIN_DAYS = 7
PAGE, LOGIN, LOGOUT, HEALTH, ICON = "/", "/login", "/logout", "/health", "/favicon.ico"
# The page's own scripts carry a nonce that is drawn for each answer: an injected script cannot
# know it. Panel's loader of JavaScript modules reads it too, for the script of its own probe.
# 'unsafe-eval': Bokeh makes functions of the texts of its CustomJS models (`new Function`).
# blob: Panel fetches and loads the code of its JavaScript components from such addresses.
# 'unsafe-inline' of styles: Bokeh sets style attributes and elements for every widget.
# data: images of Bokeh's tools and cursors, the fonts of its icons.
POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' blob:; worker-src 'self' blob:; manifest-src 'self'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)
# Other answers load nothing.
NO_PAGE = "default-src 'none'; frame-ancestors 'none'"
HEADERS = {
    "Content-Security-Policy": NO_PAGE,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
SCRIPT = re.compile(rb"<script(?=[ >])")
NONCE_BYTES = 16
DEFAULT_PORTS = {"http": 80, "https": 443}
CHOSEN = {"bokeh-session-id", "bokeh-token"}


class Headers(OutputTransform):
    """Adds the security headers to every answer, Bokeh's own and static files included."""

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        for name, value in HEADERS.items():
            headers[name] = value
        if headers.get("Content-Type", "").startswith("text/html"):
            nonce = secrets.token_hex(NONCE_BYTES)
            headers["Content-Security-Policy"] = POLICY.format(nonce=nonce)
            headers["Cache-Control"] = "no-store"
            headers.pop("Etag", None)
            chunk = SCRIPT.sub(f'<script nonce="{nonce}"'.encode(), chunk)
            if "Content-Length" in headers and chunk:
                headers["Content-Length"] = str(len(chunk))
        headers.pop("Server", None)
        return status_code, headers, chunk


class _Refusal(RequestHandler):
    """Answers refused requests; the text never repeats the request."""

    def initialize(self, status: int, why: str, location: str) -> None:
        self._status, self._why, self._location = status, why, location

    def prepare(self) -> None:
        if self._location:
            self.redirect(self._location)
            return
        self.set_status(self._status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(self._why + "\n")

    def check_xsrf_cookie(self) -> None:
        """Skip Tornado's check: a refusal has no effect that needs one."""


class Gate(Matcher):
    """Matches refused requests, and attaches the `viewer` to the others."""

    def __init__(self, exposure: Exposure, users: Users) -> None:
        self._exposure, self._users = exposure, users

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        status, why, location = self._judge(request)
        if status == 200:
            return None
        return {"target_kwargs": {"status": status, "why": why, "location": location}}

    def _judge(self, request: HTTPServerRequest) -> tuple[int, str, str]:
        if not self._exposure.is_host(request.host_name):
            return 403, "expected a host name of this server ([page] hosts), found another", ""
        origin = request.headers.get("Origin")
        # With our Referrer-Policy a form sends no origin: ours carry a token instead.
        is_form = origin == "null" and request.path in (PAGE, LOGIN, LOGOUT)
        if origin is not None and not is_form and not self._is_same(origin, request):
            return 403, "expected the origin of this server, found another", ""
        if _is_embedded(request):
            return 403, "expected a page of this server, or a link to it, found another site's", ""
        # Session fixation: refuse session ids chosen by the client.
        if CHOSEN & request.query_arguments.keys() or "Bokeh-Session-Id" in request.headers:
            return 403, "expected a session of the server's choice, found one that was named", ""
        viewer = self.viewer(request)
        is_open = request.path in (LOGIN, ICON) or (
            request.path == HEALTH and self._exposure.is_local
        )
        if viewer is None and not is_open:
            if request.method in ("GET", "HEAD") and request.path == PAGE:
                return 302, "", relative(LOGIN) + (f"?{request.query}" if request.query else "")
            return 401, f"expected a login ({LOGIN}), found none", ""
        # Read by `viewer_role.viewer`; a request has no better place for it.
        setattr(request, "viewer", viewer)  # noqa: B010
        return 200, "", ""

    def _is_same(self, origin: str, request: HTTPServerRequest) -> bool:
        """Return whether the origin is this server; the default port may be omitted.

        A proxy may pass on the name only, so the port that the browser uses is unknown.
        """
        asked, host = urlsplit(origin), urlsplit(f"//{request.host}")
        try:
            port, asked_port = host.port, asked.port or DEFAULT_PORTS.get(asked.scheme)
        except ValueError:
            return False
        if port is None and not self._exposure.is_behind_proxy:
            port = DEFAULT_PORTS[request.protocol]
        return asked.hostname == host.hostname and port in (None, asked_port)

    def viewer(self, request: HTTPServerRequest) -> Viewer | None:
        """Return the viewer, None if a login is needed first."""
        if not self._users:
            return EVERYBODY
        cookie = request.cookies.get(COOKIE)
        if cookie is None or self._exposure.cookie_secret is None:
            return None
        told = decode_signed_value(
            self._exposure.cookie_secret, COOKIE, cookie.value, max_age_days=LOGIN_DAYS
        )
        return self._users.of_cookie(told.decode()) if told else None


def guard(application: Application, gate: Gate) -> None:
    """Put the gate before every handler of the application, and the headers on every answer."""
    application.add_transform(Headers)
    application.default_router.rules.insert(0, Rule(gate, _Refusal))


def relative(path: str) -> str:
    """Return the address of a path as seen from any other path of this server.

    All are at the same level, and a proxy may serve them below a path of its own.
    """
    return path.removeprefix("/")


def _is_embedded(request: HTTPServerRequest) -> bool:
    """Return whether another site's page sent the request, not a person who followed a link.

    Browsers report this since 2020 to 2023, and no script can change it. A request without the
    header comes from an older browser, a program, or over plain HTTP from another machine.
    """
    told = request.headers
    if told.get("Sec-Fetch-Site", "none") in ("same-origin", "none"):
        return False
    return (told.get("Sec-Fetch-Mode"), told.get("Sec-Fetch-Dest")) != ("navigate", "document")
