"""The login page: checks passwords off the event loop, a bounded number of times."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from html import escape
from typing import Any

from tornado.ioloop import IOLoop
from tornado.web import RequestHandler

from monitor.access import users
from monitor.access.gate import COOKIE, LOGIN, LOGIN_DAYS, LOGOUT, relative
from monitor.settings import MAX_PASSWORD_CHARS

# Each check takes a tenth of a second of a core: one at a time, and at most this many waiting.
CHECKS_WAITING = 16
# Without this link browsers request an icon at the root of the host, outside a proxy's path.
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>monitor: log in</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="favicon.ico">
<style>
:root { color-scheme: dark; }
body { background: #0b0e13; color: #c9d1d9; font: 15px system-ui, 'DejaVu Sans', sans-serif;
       display: grid; place-items: center; min-height: 90vh; margin: 0; }
form { background: #12161c; border: 1px solid #232a33; border-radius: 6px; padding: 24px 28px;
       display: grid; gap: 12px; width: 280px; }
h1 { font-size: 18px; margin: 0; color: #e6edf3; }
label { display: grid; gap: 4px; color: #9aa4b2; font-size: 13px; }
input, button { font: inherit; padding: 7px 9px; border-radius: 4px; color: #e6edf3;
                background: #161b22; border: 1px solid #30363d; }
button { background: #1f4b7a; border-color: #2b6cb0; cursor: pointer; }
p { margin: 0; color: #ffb3b3; font-size: 13px; }
</style></head><body>
<form method="post"><h1>monitor</h1>{told}
<label>Name<input name="name" autocomplete="username" value="{name}" required autofocus></label>
<label>Password<input name="password" type="password" autocomplete="current-password"
 required></label>{token}<button>Log in</button></form></body></html>
"""


class Desk:
    """Checks logins: the users, their failures, and one thread that hashes."""

    def __init__(self, known: users.Users) -> None:
        self.users, self.attempts = known, users.Attempts()
        self._hashing = ThreadPoolExecutor(1, "login")
        self._waiting = 0

    async def admit(self, name: str, password: str, address: str) -> str:
        """Return why a login failed, for the person who tries; empty if it succeeded."""
        now_s = time.monotonic()
        place = users.of_address(address)
        # Count unknown names too: a wait must not reveal which names exist.
        keys = [place, f"user {name}"]
        wait_s = self.attempts.wait_s(keys, now_s)
        if wait_s > 0:
            return f"Too many attempts failed: wait {wait_s:.0f} s, then try again."
        if self._waiting >= CHECKS_WAITING:
            return "Too many logins at once: try again in a moment."
        self.attempts.begin(keys, now_s)
        self._waiting += 1
        try:
            is_right = await IOLoop.current().run_in_executor(
                self._hashing, self.users.is_password, name, password
            )
        finally:
            self._waiting -= 1
        if not is_right:
            return "Expected a name and its password, found another."
        self.attempts.succeeded(f"user {name}", [place])
        return ""

    def close(self) -> None:
        self._hashing.shutdown(wait=False, cancel_futures=True)


class Login(RequestHandler):
    """Shows the form; on success sets the signed cookie and goes on to the page."""

    def initialize(self, desk: Desk) -> None:
        self._desk = desk

    def get(self) -> None:
        self._show("", "", 200)

    head = get

    async def post(self) -> None:
        self.check_xsrf_cookie()
        name, password = self.get_argument("name", ""), self.get_argument("password", "", False)
        if max(len(name), len(password)) > MAX_PASSWORD_CHARS:
            name = password = ""
        why = await self._desk.admit(name, password, str(self.request.remote_ip))
        if why:
            self._show(name, why, 429 if why.startswith("Too") else 401)
            return
        self.set_signed_cookie(
            COOKIE, self._desk.users.cookie(name), LOGIN_DAYS, **_cookie_options(self)
        )
        self.redirect("./" + (f"?{self.request.query}" if self.request.query else ""))

    def _show(self, name: str, told: str, status: int) -> None:
        self.set_status(status)
        token = str(self.xsrf_form_html())
        said = f'<p role="alert">{escape(told)}</p>' if told else ""
        page = PAGE.replace("{told}", said).replace("{token}", token)
        self.finish(page.replace("{name}", escape(name)))


class Logout(RequestHandler):
    """Asks, then removes the cookie: a link alone must not log anybody out."""

    def get(self) -> None:
        token = str(self.xsrf_form_html())
        style = PAGE[PAGE.index("<link") : PAGE.index("</head>")]
        self.finish(
            f'<!DOCTYPE html><html lang="en"><head><title>monitor: log out</title>{style}</head>'
            f'<body><form method="post"><h1>monitor</h1>{token}<button>Log out</button></form>'
            "</body></html>"
        )

    head = get

    def post(self) -> None:
        self.check_xsrf_cookie()
        self.clear_cookie(COOKIE, **_cookie_options(self))
        self.redirect(relative(LOGIN))


def routes(desk: Desk) -> list[tuple[Any, ...]]:
    return [(LOGIN, Login, {"desk": desk}), (LOGOUT, Logout)]


def _cookie_options(handler: RequestHandler) -> dict[str, Any]:
    # Lax: a person who follows a link to the page stays logged in; GET changes nothing.
    is_secure = handler.request.protocol == "https"
    return {"httponly": True, "samesite": "Lax", "secure": is_secure}
