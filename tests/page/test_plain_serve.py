"""`panel serve monitor/app.py` gives the page of `monitor serve`, to this machine alone."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import websocket
from playwright.sync_api import Browser, Page
from support.collectors import free_port
from support.raw_viewer import connect, token
from support.running import DEADLINE_S, ROOT, until
from support.served_page import WAIT_MS, Served, serving

pytestmark = pytest.mark.browser
ACTING = ["Recordings", "SQL", "Settings"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, browser_path: str) -> Iterator[Served]:
    """A collector with an older recording, and the page of `monitor serve`."""
    with serving(tmp_path_factory.mktemp("plain"), browser_path, seconds=2) as made:
        yield made


@contextmanager
def plainly(folder: Path, *arguments: object, log: Path = Path(os.devnull)) -> Iterator[int]:
    """Have Panel serve the page's file; yields the port. What it complains of goes to `log`."""
    port = free_port()
    command = [sys.executable, "-m", "panel", "serve", ROOT / "monitor" / "app.py"]
    with log.open("wb") as complaints:
        process = subprocess.Popen(
            [str(part) for part in (*command, "--port", port, *arguments)],
            env={**os.environ, "MONITOR_RECORDINGS": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=complaints,
        )

    def listens() -> bool:
        at = (socket.AF_INET6, "::1") if "::1" in arguments else (socket.AF_INET, "127.0.0.1")
        with socket.socket(at[0]) as probe:
            return probe.connect_ex((at[1], port)) == 0

    try:
        until(listens, "a server")
        yield port
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def opened(browser: Browser, url: str, wrong: list[str]) -> Page:
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.set_default_timeout(WAIT_MS)
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(url)
    page.wait_for_selector("text=/LIVE .*updates/")
    return page


def tabs(page: Page) -> list[str]:
    return page.locator(".bk-tab").all_inner_texts()


def controls(page: Page) -> list[str]:
    """Return what every control that is seen is called."""
    named: list[str] = page.locator("button:visible, label:visible").all_inner_texts()
    # A bell counts what fires meanwhile.
    return sorted(name for name in named if "alert" not in name.lower())


def has_patches(page: Page) -> bool:
    """Tell whether the browser was relieved of what BokehJS does in vain."""
    found: bool = page.evaluate(
        """() => Bokeh.require("core/visuals/visual").VisualProperties.prototype
            ._get_css_value.toString() === '() => ""'"""
    )
    return found


def test_panel_serves_the_page_of_monitor_serve(served: Served) -> None:
    ours = served.open()
    with plainly(served.folder) as port:
        url = f"http://localhost:{port}/app"
        page = opened(served.browser, url, served.wrong)
        assert tabs(page) == tabs(ours) and tabs(page)[-3:] == ACTING
        assert controls(page) == controls(ours) and "Stop for everyone" in controls(page)
        assert has_patches(page) and has_patches(ours)
        for made in (page, ours):
            made.get_by_text("SQL", exact=True).click()
            made.get_by_role("button", name="Run", exact=True).wait_for()
        assert controls(page) == controls(ours)
        page.get_by_role("button", name="Run", exact=True).click()
        page.locator("th", has_text="spread_bps").wait_for()
        for made in (page, ours):
            made.get_by_text("Recordings", exact=True).click()
            made.locator("tr", has_text=served.recording).click()
            made.get_by_role("button", name="Verify").wait_for()
        assert controls(page) == controls(ours)
        page.get_by_role("button", name="Verify").click()
        page.wait_for_selector("text=not damaged")
        for made in (page, ours):
            made.get_by_text("Settings", exact=True).click()
            made.wait_for_selector("text=only programs on this machine reach it")
        assert controls(page) == controls(ours)
        assert requests.get(f"http://127.0.0.1:{port}/health", timeout=DEADLINE_S).json()["sources"]
        page.close()
        opened(served.browser, f"http://127.0.0.1:{port}/app?layout=sql", served.wrong).close()
    ours.close()
    assert served.wrong == []


def test_nobody_elsewhere_gets_a_page_on_which_one_may_act(served: Served) -> None:
    """Neither by a name that resolves to this machine, nor from a page or a machine elsewhere."""
    with plainly(served.folder) as port:
        url = f"http://127.0.0.1:{port}/app"
        evil = {"Host": f"evil.example:{port}"}
        # The very first request finds no gate, and is given no page either.
        first = requests.get(url, headers=evil, timeout=DEADLINE_S)
        assert "token" not in first.text and "refresh" in first.text
        assert requests.get(url, headers=evil, timeout=DEADLINE_S).status_code == 403
        page = requests.get(url, timeout=DEADLINE_S)
        for origin in ("http://evil.example", f"http://evil.example:{port}", "null"):
            with pytest.raises(websocket.WebSocketBadStatusException) as refused:
                connect(f"{url}/", token(page.text), origin=origin)
            assert refused.value.status_code == 403
        named = requests.get(f"{url}?bokeh-session-id=known", timeout=DEADLINE_S)
        assert named.status_code == 403
        address = _other_address()
        if address is not None:
            far = requests.get(f"http://{address}:{port}/app", timeout=DEADLINE_S)
            near = {"Host": f"localhost:{port}"}
            lying = requests.get(f"http://{address}:{port}/app", headers=near, timeout=DEADLINE_S)
            assert (far.status_code, lying.status_code) == (403, 403)


def test_the_page_goes_on_when_the_first_viewer_is_gone(served: Served, tmp_path: Path) -> None:
    log = tmp_path / "panel.log"
    # The answer to the first request has the browser ask again: nothing ever connects to it.
    soon = ("--check-unused-sessions", "500", "--unused-session-lifetime", "10000")
    with plainly(served.folder, *soon, log=log) as port:
        page = opened(served.browser, f"http://localhost:{port}/app", served.wrong)
        until(lambda: pages_kept(port) == 1, "the end of the first session")
        health = requests.get(f"http://127.0.0.1:{port}/health", timeout=DEADLINE_S).json()
        told = sum(source["updates"] for source in health["sources"])
        until(lambda: updates(page) > told, "updates")
        page.get_by_text("Recordings", exact=True).click()
        page.locator("tr", has_text=served.recording).wait_for()
        page.close()
    assert "Traceback" not in log.read_text()
    assert served.wrong == []


def test_panel_serves_the_page_at_an_ipv6_address(served: Served) -> None:
    with plainly(served.folder, "--address", "::1") as port:
        page = opened(served.browser, f"http://[::1]:{port}/app", served.wrong)
        assert tabs(page)[-3:] == ACTING
        page.get_by_text("SQL", exact=True).click()
        page.get_by_role("button", name="Run", exact=True).wait_for()
        page.close()
        evil = {"Host": f"[2001:db8::1]:{port}"}
        far = requests.get(f"http://[::1]:{port}/app", headers=evil, timeout=DEADLINE_S)
        assert far.status_code == 403
    assert served.wrong == []


def pages_kept(port: int) -> int:
    answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=DEADLINE_S)
    (count,) = re.findall(r"^monitor_page_sessions (\d+)$", answer.text, re.MULTILINE)
    return int(count)


def updates(page: Page) -> int:
    header = page.locator("text=/LIVE .*updates/").inner_text()
    (count,) = re.findall(r"([\d,]+) updates", header)
    return int(count.replace(",", ""))


def _other_address() -> str | None:
    """Return an address of this machine that is no loopback one; None if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: to connect only chooses a way.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        found = str(probe.getsockname()[0])
    return None if found.startswith("127.") else found


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--address", "0.0.0.0", "--allow-websocket-origin", "*"), "listens on 0.0.0.0"),
        (("--address", "127.0.0.1", "--use-xheaders"), "this server is for a proxy"),
    ],
)
def test_a_server_for_others_shows_and_says_why_one_may_not_act(
    served: Served, arguments: tuple[str, ...], why: str
) -> None:
    with plainly(served.folder, *arguments) as port:
        host = "127.0.0.1" if "*" in arguments else "localhost"
        page = opened(served.browser, f"http://{host}:{port}/app", served.wrong)
        page.wait_for_selector(f"text={why}")
        assert not {*ACTING} & {*tabs(page)}
        assert page.get_by_role("button", name="Stop for everyone").is_disabled()
        assert has_patches(page)
        page.close()
    assert served.wrong == []
