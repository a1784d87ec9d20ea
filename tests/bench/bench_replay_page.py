"""How fast a page replays two hours of a market, at the speeds that its control offers.

Run: .venv/bin/python tests/bench/bench_replay_page.py [RATE, 10 messages a second]
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

PAST, PORT, LONGEST_S = "2h", 5097, 90.0
SPEEDS = ("10×", "100×", "1000×", "max")


def run(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "monitor.cli", *map(str, arguments)], check=True)


def actual(page: Page) -> tuple[str, bool]:
    """Return the speed that the banner says, and whether the replay has ended."""
    text = page.locator(".badge.replay").inner_text()
    found = re.search(r"actual ([\d,.]+)×", text)
    return found[1] if found else "?", "ended" in text


def main() -> None:
    rate = sys.argv[1] if len(sys.argv) > 1 else "10"
    with tempfile.TemporaryDirectory() as home:
        folder, capture = Path(home) / "recordings", Path(home) / "past.ndjson"
        run("simulate", "binance", "--past", PAST, "--rate", rate, "--to", capture)
        where = ("--recordings", folder)
        run("ingest", capture, "--venue", "binance", "--recording", "past", *where)
        command = [sys.executable, "-m", "monitor.cli", "serve", "--port", str(PORT), *where]
        page_process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
        assert page_process.stdout is not None
        while "http://" not in page_process.stdout.readline():
            pass
        browser_path = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"]
            )
            for speed in SPEEDS:
                page = browser.new_page()
                page.goto(f"http://127.0.0.1:{PORT}/?source=past&speed={speed}")
                page.wait_for_selector("text=/REPLAY .*actual/", timeout=60_000)
                end_s = time.monotonic() + min(LONGEST_S, 20.0 if speed == "10×" else LONGEST_S)
                reached, has_ended = actual(page)
                while not has_ended and time.monotonic() < end_s:
                    time.sleep(0.2)
                    reached, has_ended = actual(page)
                print(f"{PAST} of {rate} messages a second at {speed}: {reached}×", flush=True)
                page.close()
            browser.close()
        page_process.terminate()
        page_process.wait(20)


if __name__ == "__main__":
    main()
