"""The page that the real program serves, beside an older recording, and a browser to open it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, Locator, Page, sync_playwright

from monitor import recordings
from support.collectors import answers, free_port
from support.running import DEADLINE_S, collector_of, until

QUIET = ("background-networking", "component-update", "sync", "gpu")
WAIT_MS = 90_000


class Served(NamedTuple):
    """A running collector with a page, an older recording, and a browser."""

    folder: Path
    recording: str
    port: int
    browser: Browser
    serve: Callable[[], None]
    pages: list[subprocess.Popen[str]]
    # What browsers complained of, and what they asked other hosts for.
    wrong: list[str]

    def open(self, query: str = "", width: int = 1280, height: int = 720) -> Page:
        page = self.browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda m: self.wrong.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", lambda request: self._note(request.url))
        page.goto(f"http://127.0.0.1:{self.port}/{query}")
        page.wait_for_selector("text=/(LIVE|REPLAY) .*updates/")
        return page

    def _note(self, url: str) -> None:
        if not url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            self.wrong.append(url)


@contextmanager
def serving(home: Path, browser_path: str, seconds: int = 6) -> Iterator[Served]:
    """Record the simulated exchange for so long, then go on with it and serve the page."""
    folder, port = home / "recordings", free_port()
    pages: list[subprocess.Popen[str]] = []
    with ExitStack() as stack:

        def start(*arguments: object) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "monitor.cli", *map(str, arguments)]
            process = subprocess.Popen(command, cwd=home, stdout=subprocess.DEVNULL, text=True)
            stack.callback(process.wait, DEADLINE_S)
            stack.callback(process.terminate)
            return process

        def serve() -> None:
            pages.append(start("serve", "--port", port))
            until(lambda: answers(f"http://127.0.0.1:{port}/health"), "the page")

        assert start("record", "--simulated", "--for", f"{seconds}s").wait(DEADLINE_S) == 0
        (recording,) = recordings.paths_of(folder)
        start("record", "--simulated")
        collector_of(folder)
        serve()
        arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET)]
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=browser_path, args=arguments)
        stack.callback(browser.close)
        yield Served(folder, recording.name, port, browser, serve, pages, [])


class Drawn(NamedTuple):
    """A plot in a browser: its x axis, and the columns of each of its elements' sources."""

    figure: str
    start: float
    end: float
    sources: list[dict[str, list[Any]]]


def drawn(page: Page, title: str) -> Drawn | None:
    """Return the plot whose title begins so, as the browser has it; None if there is none."""
    found = page.evaluate(
        """title => {
            for (const root of Bokeh.documents[0].all_models) {
                if (root.type !== "Figure" || !root.title.text.startsWith(title)) continue;
                const sources = root.renderers.map(({data_source}) => Object.fromEntries(
                    data_source.columns().map(name => [name, [...data_source.get_array(name)]])));
                return [root.id, root.x_range.start, root.x_range.end, sources];
            }
            return null;
        }""",
        title,
    )
    return Drawn(*found) if found else None


def figure(page: Page, title: str) -> Locator:
    """Return where the plot is drawn whose title begins so."""

    def find() -> bool:
        found: bool = page.evaluate(
            """title => {
                for (const root of Bokeh.documents[0].all_models) {
                    if (root.type !== "Figure" || !root.title.text.startsWith(title)) continue;
                    const view = Bokeh.index.find_one_by_id(root.id);
                    if (view) view.el.dataset.title = title;
                    return Boolean(view);
                }
                return false;
            }""",
            title,
        )
        return found

    until(find, f"the plot {title}")
    return page.locator(f'[data-title="{title}"]')
