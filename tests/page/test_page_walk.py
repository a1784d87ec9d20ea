"""A stranger's walk: from a fresh start to an answer, by nothing but what can be read."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright
from support.collectors import free_port
from support.running import until
from support.served_page import QUIET, WAIT_MS

pytestmark = pytest.mark.browser

ANSWER = re.compile(
    r"Legs of BTC-USD — best in the last (\d+) s:"
    r" highest bid (coinbase|kraken) \((\d+)% of the time\),"
    r" lowest ask (coinbase|kraken) \((\d+)%\) · stale: (.+)"
)


def read(page: Page) -> str:
    """Return what stands on the page as somebody reads it, without pointing at anything."""
    return " ".join(page.locator("h3:visible").all_inner_texts())


def test_a_stranger_learns_which_venue_was_best_and_whether_any_was_stale(
    tmp_path: Path, background: Callable[..., Any], browser_path: str
) -> None:
    served = background("serve", "--port", free_port())
    url = next(
        line.split()[1] for line in iter(served.stdout.readline, "") if line.startswith("monitor: ")
    )
    arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=arguments)
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.set_default_timeout(WAIT_MS)
        page.goto(url)
        page.get_by_text("Compare", exact=True).click()
        # What is chosen at first may be on one venue alone: then the page says what to choose.
        told = until(lambda: re.search(r"Legs of .*", read(page)), "what is compared")
        if "no best venue" in told[0]:
            page.get_by_text("choose under Instrument: coinbase BTC-USD or kraken").wait_for()
            page.get_by_label("Instrument").select_option("coinbase BTC-USD")
        answer = until(lambda: ANSWER.search(read(page)), "the answer")
        seconds, _, bid_share, _, ask_share, _ = answer.groups()
        assert 0 < int(seconds) <= 60
        # Of two venues the better one is so for half of the time at least.
        assert 50 <= int(bid_share) <= 100 and 50 <= int(ask_share) <= 100

        # Kraken's last quote stands for ever when its line is stopped, and counts no longer.
        page.get_by_text("Stop for everyone").click()
        stale = until(
            lambda: re.search(r"stale: .*kraken \((\d+)%\)", read(page)), "that it is stale"
        )
        assert 0 < int(stale[1]) <= 100
        row = page.locator("tr:visible", has_text="kraken").filter(has_text="■ stopped").first
        row.filter(has_text="▲").wait_for()
        browser.close()
