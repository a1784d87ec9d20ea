"""The Settings tab in a real browser: sources come and go while the collector runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright
from support.collectors import all_connected, free_port, health
from support.running import DEADLINE_S, collector_of, until

pytestmark = pytest.mark.browser
Run = Callable[..., Any]


def test_sources_are_added_and_removed_while_running(
    tmp_path: Path, background: Run, browser_path: str
) -> None:
    port = free_port()
    page_process = background("serve", "--port", port)
    until(lambda: "http://" in page_process.stdout.readline(), "the page")
    held = collector_of(tmp_path / "recordings")
    until(lambda: all_connected(held, 6), "six connected sources")

    def state(symbol: str) -> str | None:
        found = health(held.address)["sources"]
        return next((s["state"] for s in found if (s["venue"], s["symbol"]) == symbol), None)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.set_default_timeout(DEADLINE_S * 1000)
        wrong: list[str] = []
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_selector("text=/LIVE .*updates/")
        page.get_by_text("Settings", exact=True).click()
        page.wait_for_selector("text=only programs on this machine reach it")
        rows = page.locator("tr", has=page.locator("b"))
        until(lambda: page.get_by_text("binance:ETH-USDT").count() > 0, "the followed sources")

        def add(venue: str, symbol: str) -> None:
            page.get_by_label("Venue").select_option(venue)
            page.get_by_label("Symbol or pattern").fill(symbol)
            page.get_by_label("Symbol or pattern").press("Tab")
            page.get_by_role("button", name="Add", exact=True).click()

        # A venue that the collector had no address of when it started.
        add("mock", "BTC-USDD")
        page.wait_for_selector("text=/found .BTC-USDD.; the nearest are BTC-USD,/")
        add("mock", "BTC-USD")
        page.wait_for_selector("text=mock:BTC-USD added for every viewer")
        until(lambda: state(("mock", "BTC-USD")) == "polling", "polled quotes")
        add("kraken", "BTC-*")
        page.wait_for_selector("text=kraken:BTC-* added for every viewer")
        until(lambda: state(("kraken", "BTC-USDT")) == "connected", "what the pattern stands for")
        add("kraken", "<img src=x onerror=alert(1)>")
        page.wait_for_selector("text=/expected a symbol such as BTC-USDT, found .<img src=x/")
        row = rows.filter(has_text="kraken:BTC-*")
        until(lambda: "2 connected" in row.inner_text(), "the pattern's states")

        page.get_by_label("Mode").select_option("REST only")
        page.get_by_label("Seconds between polls").fill("0.5")
        page.get_by_label("Seconds between polls").press("Tab")
        add("kraken", "ETH-USD")
        page.wait_for_selector("text=kraken:ETH-USD added for every viewer")
        until(lambda: state(("kraken", "ETH-USD")) == "polling", "the source in another way")
        assert state(("kraken", "BTC-USD")) is not None
        row = rows.filter(has_text="kraken:ETH-USD")
        until(lambda: "0.5 s" in row.inner_text(), "how it is polled")
        assert row.count() == 1

        page.get_by_role("button", name="Remove", exact=True).click()
        page.wait_for_selector("text=expected a source to be chosen, found none")
        page.get_by_label("Source", exact=True).select_option("mock:BTC-USD")
        page.get_by_role("button", name="Remove", exact=True).click()
        page.wait_for_selector("text=mock:BTC-USD removed for every viewer")
        until(lambda: state(("mock", "BTC-USD")) is None, "a source that is left")
        until(lambda: rows.filter(has_text="mock:BTC-USD").count() == 0, "its line to go")

        page.get_by_label("This page is drawn").select_option("1 a second")
        badge = page.locator(".badge.live")
        before = badge.inner_text()
        until(lambda: badge.inner_text() != before, "a page that is drawn on, more rarely")
        browser.close()
    assert wrong == []
