"""How the page is reached: IPv6, HEAD, proxies, a path below them, other sites' requests."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Browser, sync_playwright
from support.access_requests import From
from support.raw_viewer import RawViewer, connect, token
from support.running import DEADLINE_S, collector_of, until
from support.served_to_users import NAME, PASSWORD, USERS, serving
from support.sub_path import proxied

from monitor.page.web_server import PING_EVERY_S


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """A page for this machine alone: its port, and its folder."""
    folder = tmp_path_factory.mktemp("alone")
    with serving(folder) as port:
        yield port, folder


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a page that is behind a proxy and wants logins."""
    page = f'hosts = ["{NAME}"]\nbehind_proxy = true\n{USERS}'
    with serving(tmp_path_factory.mktemp("behind"), page) as port:
        yield port


@pytest.fixture(scope="module")
def browser(browser_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        yield launched
        launched.close()


def log_in(port: int, name: str, address: str = "127.0.0.1", **headers: str) -> int:
    """Try a wrong password from an address of this machine; return the status of the answer."""
    session, url = requests.Session(), f"http://127.0.0.1:{port}/login"
    session.mount("http://", From(address))
    session.get(url, headers=headers, timeout=DEADLINE_S)
    form = {"name": name, "password": "a guess", "_xsrf": session.cookies["_xsrf"]}
    return session.post(url, form, headers=headers, timeout=DEADLINE_S).status_code


def count(port: int, name: str) -> int:
    answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=DEADLINE_S)
    (found,) = re.findall(rf"^monitor_page_{name} (\d+)$", answer.text, re.MULTILINE)
    return int(found)


def test_the_page_is_drawn_at_an_ipv6_address(tmp_path: Path) -> None:
    with serving(tmp_path, address="::1") as port:
        # The viewer waits for the page's models: an error while they are made leaves none.
        with RawViewer(f"http://[::1]:{port}/") as viewer:
            until(lambda: viewer.refreshes, "a refresh")
        elsewhere = {"Host": f"[2001:db8::1]:{port}"}
        answer = requests.get(f"http://[::1]:{port}/", headers=elsewhere, timeout=DEADLINE_S)
        assert answer.status_code == 403


@pytest.mark.browser
def test_a_browser_shows_the_page_of_an_ipv6_address(tmp_path: Path, browser: Browser) -> None:
    with serving(tmp_path, address="::1") as port:
        page = browser.new_page()
        page.set_default_timeout(DEADLINE_S * 1000)
        page.goto(f"http://[::1]:{port}/")
        page.wait_for_selector("text=/LIVE .*updates/")
        page.close()


def test_head_is_answered_as_get_without_a_body(alone: tuple[int, Path], behind: int) -> None:
    port, _ = alone
    for at, path, status in (
        (port, "/", 200),
        (port, "/health", 200),
        (port, "/metrics", 200),
        (behind, "/", 302),
        (behind, "/login", 200),
        (behind, "/metrics", 401),
    ):
        found = []
        for method in ("GET", "HEAD"):
            line = http.client.HTTPConnection("127.0.0.1", at, timeout=DEADLINE_S)
            line.request(method, path)
            answer = line.getresponse()
            headers = {name: answer.getheader(name) for name in ("Content-Type", "Location")}
            found.append((answer.status, headers))
            body = answer.read()
            line.close()
        assert found[0] == found[1] and found[0][0] == status, path
        assert body == b"", path
    sessions = count(port, "sessions")
    for _ in range(30):
        assert requests.head(f"http://127.0.0.1:{port}/", timeout=DEADLINE_S).ok
    # The one GET alone makes a page.
    assert count(port, "sessions") <= sessions + 1


def test_a_proxy_may_pass_the_name_on_without_the_port(
    behind: int, alone: tuple[int, Path]
) -> None:
    """A browser that is at https://monitor.example:8443 names that as its origin."""
    url = f"http://127.0.0.1:{behind}/"

    def status(host: str, origin: str, at: str = url) -> int:
        headers = {"Host": host, "Origin": origin}
        return requests.get(f"{at}login", headers=headers, timeout=DEADLINE_S).status_code

    for host, origin in (
        (NAME, f"https://{NAME}:8443"),
        (f"{NAME}:8443", f"https://{NAME}:8443"),
        (f"{NAME}:443", f"https://{NAME}"),
        (NAME, f"https://{NAME}"),
    ):
        assert status(host, origin) == 200, (host, origin)
    for host, origin in (
        (NAME, "https://evil.example:8443"),
        (NAME, f"https://{NAME}.evil.example"),
        (f"{NAME}:8443", f"https://{NAME}:9443"),
        (f"{NAME}:8443", f"https://{NAME}"),
        (NAME, "null:8443"),
        (NAME, f"https://{NAME}:port"),
    ):
        assert status(host, origin) == 403, (host, origin)
    # Where there is no proxy a name without a port means port 80.
    port, _ = alone
    assert status("localhost", f"http://localhost:{port}", f"http://127.0.0.1:{port}/") == 403


def test_what_the_client_says_of_itself_does_not_count_behind_a_proxy(behind: int) -> None:
    """The proxy adds the last address; the client may send every header that the proxy does not."""
    found = [
        log_in(
            behind,
            f"client-{number}",
            **{
                "X-Forwarded-For": "203.0.113.9",
                "X-Real-Ip": f"198.51.100.{number}",
            },
        )
        for number in range(8)
    ]
    assert found == [401] * 6 + [429] * 2
    forged = {"X-Forwarded-For": "203.0.113.10", "X-Forwarded-Proto": "http", "X-Scheme": "https"}
    answer = requests.get(f"http://127.0.0.1:{behind}/login", headers=forged, timeout=DEADLINE_S)
    assert "Secure" not in answer.headers["Set-Cookie"]


def test_a_name_that_nobody_has_waits_as_one_that_somebody_has(behind: int) -> None:
    """Every try comes from another address: only the name can be what is counted."""
    tries = {
        name: [
            log_in(behind, name, **{"X-Forwarded-For": f"{network}.{number}"})
            for number in range(8)
        ]
        for name, network in (("olga", "192.0.2"), ("ghost", "198.51.100"))
    }
    assert tries["olga"] == tries["ghost"] == [401] * 6 + [429] * 2


SITES = {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}


@pytest.mark.parametrize("site", SITES, ids=lambda site: site["Sec-Fetch-Site"])
def test_other_sites_can_link_to_the_page_and_no_more(
    alone: tuple[int, Path], site: dict[str, str]
) -> None:
    """The headers are those that browsers send: <https://www.w3.org/TR/fetch-metadata/>."""
    port, _ = alone
    url = f"http://127.0.0.1:{port}/"
    for mode, destination in (
        ("no-cors", "image"),
        ("no-cors", "script"),
        ("no-cors", "empty"),
        ("cors", "empty"),
        ("navigate", "iframe"),
        ("navigate", "embed"),
    ):
        fetch = {**site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination}
        for path in ("", "health", "static/js/bokeh.min.js", "opening"):
            answer = requests.get(url + path, headers=fetch, timeout=DEADLINE_S)
            assert answer.status_code == 403, (fetch, path)
    link = {**site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    for fetch in (link, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin"}, {}):
        assert requests.get(url, headers=fetch, timeout=DEADLINE_S).status_code == 200


def test_who_never_connects_costs_a_bounded_number_of_pages(alone: tuple[int, Path]) -> None:
    port, _ = alone
    url = f"http://127.0.0.1:{port}/"
    pages = [requests.get(url, timeout=DEADLINE_S) for _ in range(60)]
    assert all(page.ok for page in pages)
    # Pages are made in turn: this one comes after those that are made without a browser.
    with RawViewer(url) as viewer:
        until(lambda: viewer.refreshes, "a refresh")
        assert count(port, "sessions") <= 21
    # Those that were not made are as soon as a browser connects.
    line = connect(url, token(pages[-1].text))
    assert '"ACK"' in line.recv()
    line.close()
    # What other sites would embed makes a page per request, and nobody is to embed it.
    script = requests.get(f"{url}autoload.js?bokeh-autoload-element=1", timeout=DEADLINE_S)
    assert script.status_code == 404


def test_the_collectors_port_answers_to_this_machine_by_its_own_names_alone(
    alone: tuple[int, Path],
) -> None:
    """A web page elsewhere can have its own name resolve to 127.0.0.1."""
    held = collector_of(alone[1] / "recordings")
    port = held.address.rsplit(":", 1)[1]
    given = {"Authorization": f"Bearer {held.token}"}
    for path in ("health", "metrics", "sources", "alerts"):
        for host, is_refused in (
            ("evil.example", True),
            (f"evil.example:{port}", True),
            (f"127.0.0.1.evil.example:{port}", True),
            (f"192.0.2.1:{port}", True),
            (held.address, False),
            (f"localhost:{port}", False),
        ):
            answer = requests.get(
                f"http://{held.address}/{path}",
                headers={**given, "Host": host},
                timeout=DEADLINE_S,
            )
            assert (answer.status_code == 403) == is_refused, (path, host)


def test_an_idle_page_is_pinged_before_a_proxy_cuts_it_off() -> None:
    """60 s: <https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_read_timeout>."""
    assert PING_EVERY_S < 60


@pytest.mark.browser
def test_the_page_works_below_a_path_of_a_proxy_with_a_login(behind: int, browser: Browser) -> None:
    with proxied(behind, has_port=False) as url, browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(DEADLINE_S * 1000)
        asked, wrong = _watched(page)
        page.goto(f"{url}?layout=health")
        assert page.url == f"{url}login?layout=health"
        page.get_by_label("Name").fill("vera")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("alert").wait_for()
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_selector("text=/LIVE .*updates/")
        assert urlsplit(page.url).path == "/monitor/"
        page.goto(f"{url}logout")
        page.get_by_role("button", name="Log out").click()
        page.get_by_label("Password").wait_for()
        assert page.url == f"{url}login"
        assert all(at.startswith("/monitor/") for at in asked), asked
        # The wrong password alone.
        assert len(wrong) == 1 and "401" in wrong[0]


@pytest.mark.browser
def test_the_page_works_below_a_path_of_a_proxy_without_a_login(
    alone: tuple[int, Path], browser: Browser
) -> None:
    port, _ = alone
    with proxied(port, has_port=True) as url, browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(DEADLINE_S * 1000)
        asked, wrong = _watched(page)
        page.goto(url)
        page.wait_for_selector("text=/LIVE .*updates/")
        page.get_by_text("SQL", exact=True).click()
        page.get_by_role("button", name="Run", exact=True).wait_for()
        assert all(at.startswith("/monitor/") for at in asked), asked
        assert wrong == []


def _watched(page: Any) -> tuple[list[str], list[str]]:
    """Return the paths that a page asks for, sockets too, and what its browser complains of."""
    asked: list[str] = []
    wrong: list[str] = []

    def ask(what: Any) -> None:
        # Others are made by the page itself (data:, blob:).
        if what.url.startswith(("http", "ws")):
            asked.append(urlsplit(what.url).path)

    page.on("request", ask)
    page.on("websocket", ask)
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    return asked, wrong
