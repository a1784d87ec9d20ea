"""Who reaches the page and what they may do there: addresses, logins, headers, origins, roles."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import pytest
import requests
import websocket
from bokeh.util.token import get_token_payload
from playwright.sync_api import sync_playwright
from support.access_requests import From
from support.collectors import free_port
from support.raw_viewer import connect, token
from support.running import DEADLINE_S, until

from monitor.access.exposure import expose
from monitor.access.users import Attempts
from monitor.processes import locks
from monitor.settings.configuration import load

SECRET = "a secret that is long enough to sign with"
PASSWORDS = {"olga": "an operator's password", "vera": "a viewer's password"}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
CLOSED = ("/metrics", "/static/js/bokeh.min.js", "/autoload.js", "/metadata", "/nothing", "/ws")


class Served(NamedTuple):
    """A page that wants logins, and where it is."""

    url: str
    folder: Path

    def session(self, name: str | None = None, address: str = "127.0.0.1") -> requests.Session:
        """Return a client of its own address, logged in if there is a name."""
        session = requests.Session()
        session.mount("http://", From(address))
        if name is not None:
            answer = self.log_in(session, name, PASSWORDS[name])
            assert answer.status_code == 200, answer.text
        return session

    def log_in(self, session: requests.Session, name: str, password: str) -> requests.Response:
        session.get(f"{self.url}login", timeout=DEADLINE_S)
        form = {"name": name, "password": password, "_xsrf": session.cookies["_xsrf"]}
        # As a browser does under `no-referrer`.
        null = {"Origin": "null"}
        return session.post(f"{self.url}login", form, headers=null, timeout=DEADLINE_S)


def program(*arguments: object, text: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "monitor.cli", *map(str, arguments)]
    return subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        **options,
    )


@pytest.fixture(scope="module")
def hashes() -> dict[str, str]:
    """What `monitor password` prints for the users' passwords."""
    return {
        name: program("password", text=f"{password}\n").stdout.strip()
        for name, password in PASSWORDS.items()
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, hashes: dict[str, str]) -> Iterator[Served]:
    folder, port = tmp_path_factory.mktemp("served"), free_port()
    config = folder / "monitor.toml"
    config.write_text(
        f'sources = ["mock:BTC-USD"]\n[page]\ncookie_secret = "{SECRET}"\n'
        f'[page.users.olga]\npassword_hash = "{hashes["olga"]}"\nrole = "operator"\n'
        f'[page.users.vera]\npassword_hash = "{hashes["vera"]}"\n'
    )
    command = [sys.executable, "-m", "monitor.cli", "serve", "--port", str(port)]
    command += ["--config", str(config), "--recordings", str(folder / "recordings")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    url = f"http://127.0.0.1:{port}/"
    try:
        until(lambda: _answers(f"{url}login"), "the login page")
        yield Served(url, folder)
    finally:
        process.terminate()
        _, told = process.communicate(timeout=DEADLINE_S)
        assert SECRET.encode() not in told
        assert b"Traceback" not in told, told.decode()


def test_a_passwords_hash_is_scrypt_with_a_salt_of_its_own(hashes: dict[str, str]) -> None:
    name, *costs, salt, expected = hashes["olga"].split("$")
    cost, block, parallel = map(int, costs)
    found = hashlib.scrypt(
        PASSWORDS["olga"].encode(),
        salt=base64.b64decode(salt),
        n=cost,
        r=block,
        p=parallel,
        maxmem=1 << 27,
        dklen=32,
    )
    assert (name, base64.b64encode(found).decode()) == ("scrypt", expected)
    assert cost * block * 128 >= 16 << 20
    assert hashes["vera"].split("$")[4] != salt
    short = program("password", text="short\n")
    assert (short.returncode, short.stdout, len(short.stderr.splitlines())) == (1, "", 1)


def test_another_address_is_refused_without_users_and_a_secret(
    tmp_path: Path, hashes: dict[str, str]
) -> None:
    user = f'[page.users.olga]\npassword_hash = "{hashes["olga"]}"\n'
    cases = [
        ("", "0.0.0.0", "without users"),
        (user, "127.0.0.1", "cookie secret"),
        ('[page.users.olga]\npassword_hash = "clear text"\n', "127.0.0.1", "monitor password"),
    ]
    for number, (text, address, expected) in enumerate(cases):
        config = tmp_path / f"{number}.toml"
        config.write_text(text)
        done = program("serve", "--address", address, "--config", config, cwd=tmp_path)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done
        assert expected in done.stderr
        assert "clear text" not in done.stderr and hashes["olga"] not in done.stderr
    for text, secret, address, expected in (
        (f'[page]\ncookie_secret = "{SECRET}"\n', None, "::", "without users"),
        ("", SECRET, "", "without users"),
        ("[page]\nbehind_proxy = true\n", SECRET, "127.0.0.1", "proxy without users"),
        (user, None, "0.0.0.0", "found none"),
        (user, "too short", "192.0.2.1", "found 9 characters"),
        (f'{user}role = "admin"\n', SECRET, "127.0.0.1", "'viewer' or 'operator'"),
        (f'[page]\ncookie_secrets = "{SECRET}"\n', SECRET, "127.0.0.1", "not permitted"),
    ):
        config.write_text(text)
        with pytest.raises(ValueError, match=expected) as refused:
            expose(load(config).page, secret, address, 5006, None)
        assert SECRET not in str(refused.value) and "too short" not in str(refused.value)
    assert not (tmp_path / "recordings").exists()


def test_nothing_is_had_without_a_login(served: Served) -> None:
    stranger = served.session()
    page = stranger.get(f"{served.url}?layout=sql", allow_redirects=False, timeout=DEADLINE_S)
    moved = urljoin(page.url, page.headers["Location"])
    assert (page.status_code, moved) == (302, f"{served.url}login?layout=sql")
    for path in CLOSED:
        answer = stranger.get(served.url + path[1:], timeout=DEADLINE_S)
        assert (answer.status_code, "expected a login" in answer.text) == (401, True), path
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        connect(served.url, "x.y")
    assert refused.value.status_code == 401
    forged = {"monitor_login": "2|1:0|10:1700000000|13:monitor_login|8:b2xnYQ==|00"}
    answer = stranger.get(served.url, cookies=forged, allow_redirects=False, timeout=DEADLINE_S)
    assert answer.status_code == 302
    assert stranger.get(f"{served.url}health", timeout=DEADLINE_S).json()["recorder"]


def test_a_login_opens_the_page_and_a_logout_closes_it(served: Served) -> None:
    session = served.session()
    assert (
        session.post(f"{served.url}login", {"name": "vera"}, timeout=DEADLINE_S).status_code == 403
    )
    assert served.log_in(session, "vera", PASSWORDS["olga"]).status_code == 401
    assert served.log_in(session, "nobody", PASSWORDS["olga"]).status_code == 401
    answer = served.log_in(session, "vera", PASSWORDS["vera"])
    (moved,) = answer.history
    cookie = moved.headers["Set-Cookie"]
    assert cookie.startswith("monitor_login=")
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Secure" not in cookie
    # The page must not hold what scripts are kept from reading.
    told = get_token_payload(token(answer.text))
    assert (told["headers"], told["cookies"], told["arguments"]) == ({}, {}, {})
    # It is there before the session is: what it is made of comes by the scripts alone.
    assert "Opening" in answer.text and "Watch-list" not in answer.text
    assert session.cookies["monitor_login"] not in answer.text
    # An address that is no text is read as one without a wish.
    assert session.get(f"{served.url}?theme=%ff&tz=%fe", timeout=DEADLINE_S).ok
    assert session.get(f"{served.url}static/js/bokeh.min.js", timeout=DEADLINE_S).ok
    assert "monitor_page_sessions" in session.get(f"{served.url}metrics", timeout=DEADLINE_S).text
    cookies = f"monitor_login={session.cookies['monitor_login']}"
    connect(served.url, token(answer.text), cookies).close()
    form = {"_xsrf": session.cookies["_xsrf"]}
    assert session.post(f"{served.url}logout", timeout=DEADLINE_S).status_code == 403
    assert session.post(f"{served.url}logout", form, timeout=DEADLINE_S).url.endswith("/login")
    assert "monitor_login" not in session.cookies


def test_clients_that_do_not_wait_for_their_answer_leave_no_trace(served: Served) -> None:
    """The fixture's end finds no traceback in the log."""
    cookie = f"monitor_login={served.session('vera').cookies['monitor_login']}"
    where = urlsplit(served.url)
    for path in ("/metrics", "/health"):
        for _ in range(5):
            with socket.create_connection((where.hostname, where.port)) as line:
                # Closed with a reset, before the answer of the collector is there.
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                asked = f"GET {path} HTTP/1.1\r\nHost: {where.netloc}\r\nCookie: {cookie}\r\n\r\n"
                line.sendall(asked.encode())
    session = served.session("vera")
    assert session.get(f"{served.url}metrics", timeout=DEADLINE_S).ok


def test_every_answer_carries_the_security_headers(served: Served) -> None:
    session = served.session("vera")
    for path in ("", "static/js/bokeh.min.js", "metrics", "health", "nothing", "login", "ws"):
        answer = session.get(served.url + path, timeout=DEADLINE_S)
        assert HEADERS.items() <= answer.headers.items(), path
        rules = dict(
            rule.split(maxsplit=1) for rule in answer.headers["Content-Security-Policy"].split(";")
        )
        assert rules["default-src"] == rules["frame-ancestors"] == "'none'"
        if path in ("", "login"):
            assert answer.headers["Cache-Control"] == "no-store"
            assert "'unsafe-inline'" not in rules["script-src"] and "http" not in str(rules)
    first, second = (
        session.get(served.url, timeout=DEADLINE_S).headers["Content-Security-Policy"]
        for _ in range(2)
    )
    assert first != second


def test_foreign_origins_and_hosts_are_refused(served: Served) -> None:
    session = served.session("vera")
    shown = token(session.get(served.url, timeout=DEADLINE_S).text)
    cookies = f"monitor_login={session.cookies['monitor_login']}"
    for origin in ("http://evil.example", "null", served.url.replace("127.0.0.1", "localhost")):
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            connect(served.url, shown, cookies, origin.rstrip("/"))
        assert refused.value.status_code == 403
    for host in ("evil.example", "evil.example:80", "192.0.2.1", ""):
        answer = session.get(served.url, headers={"Host": host}, timeout=DEADLINE_S)
        assert answer.status_code in (400, 403), host
    # Nobody is to be lured into a session whose number somebody else knows.
    for query in ("bokeh-session-id=known", f"bokeh-token={shown}"):
        assert session.get(f"{served.url}?{query}", timeout=DEADLINE_S).status_code == 403
    local = served.url.replace("127.0.0.1", "localhost")
    assert requests.get(f"{local}login", timeout=DEADLINE_S).ok


def test_guessing_takes_ever_longer_for_the_one_who_guesses(served: Served) -> None:
    guesser = served.session(address="127.0.0.7")
    for _ in range(6):
        assert served.log_in(guesser, "somebody", "a guess").status_code == 401
    assert served.log_in(guesser, "vera", PASSWORDS["vera"]).status_code == 429
    assert served.session("vera", "127.0.0.8").get(served.url, timeout=DEADLINE_S).ok


def test_waits_double_are_bounded_and_end() -> None:
    attempts = Attempts()
    waits = []
    for _ in range(16):
        attempts.begin(["user a"], 0.0)
        waits.append(attempts.wait_s(["user a"], 0.0))
    assert waits == [0] * 5 + [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert attempts.wait_s(["user b"], 0.0) == 0
    assert attempts.wait_s(["user a"], 1000.0) == 0
    attempts.succeeded("user a", [])
    assert attempts.wait_s(["user a"], 0.0) == 0
    for number in range(20_000):
        attempts.begin([f"address {number}"], 0.0)
    assert len(vars(attempts)["_failures"]) <= 10_000


def test_tls_is_served_and_makes_cookies_secure(tmp_path: Path, hashes: dict[str, str]) -> None:
    key, certificate, port = tmp_path / "key.pem", tmp_path / "certificate.pem", free_port()
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=monitor", "-addext"]
    command += ["subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE_S)
    config = tmp_path / "monitor.toml"
    config.write_text(
        'sources = ["mock:BTC-USD"]\n'
        f'[page.users.vera]\npassword_hash = "{hashes["vera"]}"\nrole = "viewer"\n'
    )
    half = program("serve", "--tls-cert", certificate, cwd=tmp_path)
    assert (half.returncode, len(half.stderr.splitlines())) == (2, 1)
    arguments = ["serve", "--port", port, "--address", "0.0.0.0", "--config", config]
    arguments += ["--tls-cert", certificate, "--tls-key", key]
    process = subprocess.Popen(
        [sys.executable, "-m", "monitor.cli", *map(str, arguments)],
        cwd=tmp_path,
        env={**os.environ, "MONITOR_COOKIE_SECRET": SECRET},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        until(lambda: "https://" in process.stdout.readline(), "the page")
        url, session = f"https://127.0.0.1:{port}/", requests.Session()
        session.trust_env, session.verify = False, str(certificate)
        # Beyond this machine even the health is behind the login.
        assert session.get(f"{url}health", timeout=DEADLINE_S).status_code == 401
        assert (
            session.get(url, headers={"Host": "evil.example"}, timeout=DEADLINE_S).status_code
            == 403
        )
        session.get(f"{url}login", timeout=DEADLINE_S)
        form = {"name": "vera", "password": PASSWORDS["vera"], "_xsrf": session.cookies["_xsrf"]}
        answer = session.post(f"{url}login", form, timeout=DEADLINE_S)
        assert "Secure" in answer.history[0].headers["Set-Cookie"]
        assert session.get(f"{url}health", timeout=DEADLINE_S).status_code == 200
        assert SECRET not in Path(f"/proc/{_collector_pid(tmp_path)}/environ").read_text()
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE_S)


@pytest.mark.browser
def test_a_viewer_logs_in_and_can_only_look(served: Served, browser_path: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"]
        )
        pages = {}
        wrong: list[str] = []
        for name, password in PASSWORDS.items():
            page = browser.new_context(viewport={"width": 1280, "height": 720}).new_page()
            page.set_default_timeout(DEADLINE_S * 1000)
            page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("requestfailed", lambda request: wrong.append(request.url))
            page.goto(served.url)
            page.get_by_label("Name").fill(name)
            page.get_by_label("Password").fill(password)
            page.get_by_role("button", name="Log in").click()
            page.wait_for_selector("text=/LIVE .*updates/")
            pages[name] = page
        viewer, operator = pages["vera"], pages["olga"]
        for title in ("SQL", "Settings"):
            assert operator.get_by_text(title, exact=True).count() == 1
            assert viewer.get_by_text(title, exact=True).count() == 0
        stop = viewer.get_by_role("button", name="Stop for everyone")
        assert stop.is_disabled()
        # What the page does not offer can be sent all the same.
        viewer.evaluate(
            """() => {
                for (const model of Bokeh.documents[0].all_models)
                    if (model.label === "Stop for everyone") model.disabled = false;
            }"""
        )
        until(stop.is_enabled, "a button that was forced")
        stop.click()
        viewer.wait_for_selector("text=stop refused: expected an operator, found a viewer")
        operator.wait_for_selector("text=/LIVE .*updates/")
        operator.get_by_role("button", name="Stop for everyone").click()
        viewer.wait_for_selector("text=/STOPPED for everyone/")
        operator.get_by_role("button", name="Start for everyone").click()
        viewer.wait_for_selector("text=/LIVE .*updates/")
        viewer.goto(f"{served.url}logout")
        viewer.get_by_role("button", name="Log out").click()
        viewer.get_by_label("Password").wait_for()
        viewer.goto(f"{served.url}?layout=watch")
        assert viewer.url == f"{served.url}login?layout=watch"
        browser.close()
    assert wrong == []


def _collector_pid(folder: Path) -> int:
    held = locks.holder(folder / "recordings")
    assert held is not None
    return held.pid


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=DEADLINE_S).ok
    except requests.ConnectionError:
        return False
