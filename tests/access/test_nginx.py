"""The page behind a real nginx: below a path, with users and without, and on an idle line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
import requests
import websocket
from support.nginx import nginx
from support.raw_viewer import RawViewer, connect, token
from support.running import DEADLINE_S, until
from support.served_to_users import NAME, PASSWORD, USERS, serving

# A line that is idle for so long is cut by the proxy; with these pings it is not.
IDLE_S, PINGED_S, NEVER_S = 5, 2, 1000
PINGS = 6


def test_without_users_the_page_works_below_a_path(tmp_path: Path) -> None:
    with (
        serving(tmp_path) as port,
        nginx(tmp_path / "nginx", port, host="$http_host") as url,
    ):
        with RawViewer(url) as viewer:
            until(lambda: viewer.refreshes, "a refresh")
        bare = requests.get(url.rstrip("/"), timeout=DEADLINE_S)
        assert (bare.status_code, bare.url, len(bare.history)) == (200, url, 1)
        for path in ("", "health", "metrics", "static/js/bokeh.min.js"):
            got, head = (
                getattr(requests, method)(url + path, timeout=DEADLINE_S)
                for method in ("get", "head")
            )
            assert (got.status_code, head.status_code, head.content) == (200, 200, b""), path
            assert got.headers["Content-Type"] == head.headers["Content-Type"]


def test_with_users_all_addresses_stay_below_the_path(tmp_path: Path) -> None:
    """The browser's port is another than 80, and nginx passes the name on without it."""
    page = f'hosts = ["{NAME}"]\nbehind_proxy = true\n{USERS}'
    with serving(tmp_path, page) as port, nginx(tmp_path / "nginx", port) as url:
        at = f"{NAME}:{urlsplit(url).port}"
        session = requests.Session()
        session.headers.update({"Host": at, "Origin": f"http://{at}"})

        def ask(method: str, path: str, **form: str) -> requests.Response:
            where = urljoin(url, path)
            return session.request(
                method, where, data=form or None, allow_redirects=False, timeout=DEADLINE_S
            )

        for method in ("GET", "HEAD"):
            found = ask(method, "")
            assert (found.status_code, found.headers["Location"]) == (302, "login")
            assert ask(method, "login").status_code == 200
            assert ask(method, "metrics").status_code == 401
        bare = ask("GET", "../monitor")
        assert bare.status_code == 301
        assert urlsplit(bare.headers["Location"]).path == "/monitor/"
        form = {"name": "vera", "password": PASSWORD, "_xsrf": session.cookies["_xsrf"]}
        done = ask("POST", "login", **form)
        assert (done.status_code, urljoin(url, done.headers["Location"])) == (302, url)
        shown = ask("GET", "")
        assert shown.status_code == 200
        assert ask("GET", "static/js/bokeh.min.js").status_code == 200
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in session.cookies)
        for origin, status in ((f"http://{at}", 101), ("http://evil.example", 403)):
            try:
                line = websocket.create_connection(
                    f"{url.replace('http', 'ws', 1)}ws",
                    timeout=DEADLINE_S,
                    host=at,
                    origin=origin,
                    cookie=cookies,
                    subprotocols=["bokeh", token(shown.text)],
                )
                assert '"ACK"' in line.recv()
                line.close()
                found_status = 101
            except websocket.WebSocketBadStatusException as refused:
                found_status = refused.status_code
            assert found_status == status


@contextmanager
def pinging(folder: Path, every_s: float) -> Iterator[int]:
    """Serve the page with another time between two pings; yields the port."""
    setting = f"web_server.PING_EVERY_S = {every_s}"
    imports = "from monitor.cli import entry; from monitor.page import web_server"
    program = f"{imports}; {setting}; entry.main()"
    command = [sys.executable, "-c", program, "serve", "mock:BTC-USD", "--port", "0"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("monitor: http"))
        yield int(line.rsplit(":", 1)[1])
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE_S)


@pytest.mark.parametrize("every_s", [PINGED_S, NEVER_S])
def test_pings_keep_a_line_on_which_nothing_else_comes(tmp_path: Path, every_s: int) -> None:
    """A page that is not drawn, such as one in a hidden tab, is sent nothing: pings alone."""
    with (
        pinging(tmp_path, every_s) as port,
        nginx(tmp_path / "nginx", port, "$http_host", read_timeout_s=IDLE_S) as url,
    ):
        line = connect(url, token(requests.get(url, timeout=DEADLINE_S).text))
        pings = 0
        try:
            while pings < PINGS:
                code, _ = line.recv_data(control_frame=True)
                if code == websocket.ABNF.OPCODE_CLOSE:
                    break
                pings += code == websocket.ABNF.OPCODE_PING
        except websocket.WebSocketConnectionClosedException:
            pass
        # Longer than twice what cuts an idle line off; without pings it is cut.
        assert pings == (PINGS if every_s == PINGED_S else 0)
        line.close()
