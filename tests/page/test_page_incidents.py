"""What went wrong can be seen again: a click on an incident replays it from shortly before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import sync_playwright
from support.collectors import free_port
from support.running import collector_of, simulator_urls, until
from support.served_page import QUIET, WAIT_MS

from monitor import recordings

pytestmark = pytest.mark.browser
Run = Callable[..., Any]


def test_a_click_on_an_incident_shows_it_again(
    tmp_path: Path, background: Run, browser_path: str
) -> None:
    exchange = background("simulate", "binance", "--rate", 100, "--fault", "gap:0.02")
    endpoint, port = simulator_urls(exchange), free_port()
    background("serve", "binance:BTC-USDT", "--endpoint", endpoint, "--port", port)
    held = collector_of(tmp_path / "recordings")
    arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=arguments)
        page = browser.new_page()
        page.set_default_timeout(WAIT_MS)
        until(lambda: _answers(port), "the page")
        page.goto(f"http://127.0.0.1:{port}/?layout=health")
        page.wait_for_selector("text=/LIVE .*updates/")
        incident = page.locator("button[data-say]").last
        incident.wait_for()
        began_ns = int(incident.get_attribute("data-say") or 0)
        incident.click()
        page.wait_for_selector(f"text=/REPLAY {held.recording}/")

        with recordings.open_recording(tmp_path / "recordings", held.recording) as opened:
            first_ns = opened.span_ns[0]
        before_s = max(0.0, (began_ns - first_ns) / 1e9 - 5)

        def told(url: str, name: str) -> str:
            return parse_qs(urlparse(url).query).get(name, [""])[0]

        page.wait_for_url(lambda url: told(url, "source") == held.recording)
        # It plays on from there.
        page.wait_for_url(lambda url: before_s - 1 < float(told(url, "at") or 0) < before_s + 60)
        assert told(page.url, "layout") == "watch"
        browser.close()


def _answers(port: int) -> bool:
    import requests

    try:
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=10).ok
    except requests.ConnectionError:
        return False
