"""How long many pages that open at once on a busy machine take, and what one that is open gets.

Beside a process that does nothing but work, a page is open already; the others open at the same
moment, two of them in a real browser.
Run: .venv/bin/python tests/bench/bench_opening.py [PAGES]
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from playwright.sync_api import Page, sync_playwright
from support.raw_viewer import RawViewer

PORT, SETTLE_S, LIMIT_S, BROWSERS, PLOTS = 5097, 10.0, 180.0, 2, 4
ARGUMENTS = ["--no-sandbox", "--no-first-run", "--disable-gpu"]
FIGURES = "() => [...(window.Bokeh?.index?.query?.(v => v.model.type === 'Figure') ?? [])].length"


class Opened(RawViewer):
    """A viewer that notes when its page was there, and when it was refreshed first."""

    def __init__(self, url: str) -> None:
        self.began_s = time.monotonic()
        super().__init__(url)
        self.there_s = time.monotonic() - self.began_s


def spread(what: str, found: list[float]) -> None:
    found = sorted(found)
    middle = found[len(found) // 2]
    print(f"{what}: {found[0]:.1f} to {found[-1]:.1f} s, median {middle:.1f} s", flush=True)


def figures(page: Page) -> int:
    return int(page.evaluate(FIGURES))


def watch(pages: list[Page], old: RawViewer) -> None:
    """Look at the browsers until all have their plots; print when, and how the old one fared."""
    began_s = last_s = time.monotonic()
    first: dict[int, float] = {}
    whole: dict[int, float] = {}
    longest_s, seen = 0.0, old.refreshes
    while len(whole) < len(pages) and time.monotonic() - began_s < LIMIT_S:
        now_s = time.monotonic()
        if old.refreshes != seen:
            longest_s, last_s, seen = max(longest_s, now_s - last_s), now_s, old.refreshes
        for at, page in enumerate(pages):
            count = figures(page)
            if count and at not in first:
                first[at] = now_s - began_s
            if count >= PLOTS and at not in whole:
                whole[at] = now_s - began_s
        time.sleep(0.1)
    spread("a browser has its first plot after", list(first.values()))
    spread("a browser has all its plots after", list(whole.values()))
    print(f"the page that was open waited {longest_s:.1f} s at most for a refresh", flush=True)


def main() -> None:
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        command = [sys.executable, "-m", "monitor.cli", "serve", "--port", str(PORT)]
        server = subprocess.Popen(
            [*command, "--recordings", folder], stdout=subprocess.PIPE, text=True
        )
        stack.callback(server.wait)
        stack.callback(server.terminate)
        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        stack.callback(busy.kill)
        assert server.stdout is not None
        while "http://" not in server.stdout.readline():
            pass
        url = f"http://127.0.0.1:{PORT}/"
        playwright = stack.enter_context(sync_playwright())
        path = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        stack.callback(browser.close)
        old = stack.enter_context(RawViewer(url))
        time.sleep(SETTLE_S)
        made: list[Opened] = []
        threads = [
            threading.Thread(target=lambda: made.append(Opened(url)), name="opening")
            for _ in range(total - BROWSERS)
        ]
        pages = [browser.new_page() for _ in range(BROWSERS)]
        for thread in threads:
            thread.start()
        for page in pages:
            page.goto(url, wait_until="commit")
        watch(pages, old)
        for thread in threads:
            thread.join(LIMIT_S)
        spread(f"{len(made)} raw viewers have their page after", [of.there_s for of in made])
        for viewer in made:
            viewer.freeze()


if __name__ == "__main__":
    main()
