"""Pages of a program that follows a faulty exchange, and how they are held at one moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import requests
from playwright.sync_api import Browser, Page, sync_playwright

from monitor.processes import locks
from support.collectors import free_port
from support.figure_truth import connect
from support.page_reader import Shown, shown
from support.page_truth import Truth
from support.running import DEADLINE_S, collector_of, until
from support.served_page import QUIET, WAIT_MS, answers

SOURCES = (
    *("binance:BTC-USDT", "binance:ETH-USDT", "kraken:BTC-USD", "kraken:ETH-USD"),
    *("coinbase:BTC-USD", "coinbase-exchange:BTC-USD", "kraken-v1:BTC-USD"),
)
# The tabs whose numbers are rows', and what belongs to each.
PARTS = {
    "Watch": ("Watch-list", "Price", "Spread", "Size"),
    "Micro-structure": ("Order book", "Candles", "Depth", "Ladder", "Time and sales"),
    "Compare": ("Legs of", "Mid of each venue", "Rows a second", "Latency by source"),
    "Health": ("Sources", "Minutes", "Latency, venue", "Incidents"),
}
TABS = tuple(PARTS)
# A page draws tables at most so often; what it has is then on the page too.
REST_S = 1.5
# A page that fell behind reads once a minute at most what it did not see.
COUNTS_S = 180.0

# So that a test can cut the connections of a page.
KEEP_SOCKETS = """
    window.sockets = [];
    window.WebSocket = class extends WebSocket {
        constructor(...given) { super(...given); window.sockets.push(this); }
    };
"""


class Watched(NamedTuple):
    """A program that records and serves, the pages opened on it, and what they complained of."""

    folder: Path
    url: str
    browser: Browser
    log: Path
    wrong: list[str]

    def open(self, query: str = "", width: int = 1280, height: int = 720) -> Page:
        page = self.browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(WAIT_MS)
        page.add_init_script(KEEP_SOCKETS)
        page.on("console", lambda m: self.wrong.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.goto(f"{self.url}{query}")
        page.wait_for_selector("text=/(LIVE|REPLAY) .*updates/")
        return page

    @property
    def running(self) -> locks.Held:
        held = locks.holder(self.folder)
        assert held is not None, "expected a running collector, found none"
        return held

    @contextmanager
    def frozen(self, page: Page) -> Iterator[Shown]:
        """Stop the collector, and give what the page shows once it has every row that came."""
        pid = self.running.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            page.wait_for_selector("text=/NO ROWS FOR [0-9]+ s/", timeout=WAIT_MS)
            yield rested(page)
        finally:
            os.kill(pid, signal.SIGCONT)

    def parts(self, recording: str) -> list[Path]:
        """Return the files of a recording; of the one that is being made, a copy of now."""
        sealed = sorted((self.folder / recording).glob("*.duckdb"))
        held = self.running
        if recording != held.recording:
            return sealed
        answer = requests.post(
            f"http://{held.address}/snapshot",
            headers={"Authorization": f"Bearer {held.token}"},
            timeout=DEADLINE_S,
        )
        answer.raise_for_status()
        return [*sealed, Path(answer.json()["path"])]

    def differences(self, seen: Shown, recording: str, is_silent: bool) -> list[str]:
        """Return in words what a page shows otherwise than SQL over the recording says."""
        with connect(self.parts(recording)) as con:
            return Truth(con, seen.ord, is_silent).differences(seen)


def rested(page: Page) -> Shown:
    """Return what a page shows once nothing of it changes any more."""
    seen: list[Shown] = [shown(page)]

    def rests() -> bool:
        end_s = time.monotonic() + REST_S
        until(lambda: time.monotonic() > end_s, "a moment")
        seen.append(shown(page))
        return still(seen[-2]) == still(seen[-1])

    until(rests, "a page at rest")
    return seen[-1]


def still(seen: Shown) -> Any:
    """Return what of a page must not change where no row comes: live, all but ages."""
    aging = () if seen.is_replay else ("Watch-list", "Sources", "Legs of", "Latency")
    tables = [table.texts for table in seen.tables if not table.title.startswith(aging or "-")]
    figures = [
        (figure.title, figure.sources)
        for figure in seen.figures
        if not figure.title.startswith("Latency to receipt")
    ]
    return seen.ord, seen.tab, tables, figures


@contextmanager
def watching(
    home: Path, browser_path: str, faults: Sequence[str], rate: int = 150
) -> Iterator[Watched]:
    """Follow five venues of a simulated exchange with faults, record them, and serve the page."""
    folder, port = home / "recordings", free_port()
    log = home / "log"
    with ExitStack() as stack:
        errors = stack.enter_context(log.open("w"))

        def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "monitor.cli", *map(str, arguments)]
            process = subprocess.Popen(command, cwd=home, text=True, stderr=errors, **options)
            stack.callback(process.wait, DEADLINE_S)
            stack.callback(process.terminate)
            return process

        venues = list(dict.fromkeys(source.partition(":")[0] for source in SOURCES))
        asked = [option for fault in faults for option in ("--fault", fault)]
        exchange = start("simulate", *venues, "--rate", rate, *asked, stdout=subprocess.PIPE)
        assert exchange.stdout is not None
        stack.callback(exchange.stdout.close)
        endpoints: list[str] = []
        for _ in venues:
            venue, ws, http = exchange.stdout.readline().split()
            endpoints += ["--endpoint", f"{venue}={ws},{http}"]
        start("record", *SOURCES, *endpoints, stdout=subprocess.DEVNULL)
        collector_of(folder)
        start("serve", "--port", port, stdout=subprocess.DEVNULL)
        url = f"http://127.0.0.1:{port}/"
        until(lambda: answers(f"{url}metrics"), "the page")
        arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET)]
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=browser_path, args=arguments)
        stack.callback(browser.close)
        yield Watched(folder, url, browser, log, [])


def show(page: Page, tab: str) -> None:
    """Turn to a tab, and wait until all that it has is there."""

    def is_there() -> bool:
        if shown(page).tab != tab:
            page.locator(".bk-tab", has_text=tab).first.click()
        return is_drawn(page, tab)

    until(is_there, f"all of {tab}")


def is_drawn(page: Page, tab: str) -> bool:
    """Tell whether the plots and tables of a tab are there."""
    seen = shown(page)
    if seen.tab != tab:
        return False
    titles = [*(figure.title for figure in seen.figures), *(table.title for table in seen.tables)]
    return all(any(title.startswith(part) for title in titles) for part in PARTS[tab])
