"""The page in a real browser, served by the real program on the simulated exchange."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright
from support.collectors import all_connected, free_port, health
from support.running import DEADLINE_S, collector_of, until
from support.served_page import QUIET, WAIT_MS, answers

pytestmark = pytest.mark.browser
Run = Callable[..., Any]

# The name of a recording made from another.
AGAIN = "again"


class Watched:
    """A page, and what it asked for and complained of."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.foreign: list[str] = []
        self.errors: list[str] = []
        page.set_default_timeout(WAIT_MS)
        page.on("request", self._request)
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(url)
        page.wait_for_selector("text=/LIVE .*updates/")

    def _request(self, request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            self.foreign.append(request.url)

    def headline(self) -> str:
        return " ".join(self.page.locator(".badge").all_inner_texts())

    def updates(self) -> int:
        words = self.headline().replace(",", "").split()
        return int(words[words.index("updates") - 1])

    def plots(self) -> dict[str, tuple[float, float, int]]:
        """By title: start and end of each plot's time axis, and the rows of its first source."""
        found: list[tuple[str, float, float, int]] = self.page.evaluate(
            """() => {
                const found = [];
                for (const root of Bokeh.documents[0].all_models) {
                    if (root.type !== "Figure") continue;
                    const source = root.renderers[0].data_source;
                    const {start, end} = root.x_range;
                    found.push([root.title.text, start, end, source.get_length()]);
                }
                return found;
            }"""
        )
        return {title: (start, end, rows) for title, start, end, rows in found}


@pytest.fixture
def watched(
    tmp_path: Path, background: Run, browser_path: str, monitor: Run
) -> Iterator[Callable[[], Watched]]:
    """Open the page of a running program that has an older recording, twice."""
    older = background("record", "--simulated")
    collector_of(tmp_path / "recordings")
    query = ("sql", "SELECT count(*) AS signals FROM signal", "--format", "json")
    until(lambda: json.loads(monitor(*query).stdout)[0]["signals"] > 0, "a signal to be replayed")
    older.terminate()
    assert older.wait(DEADLINE_S) == 0
    (first,) = json.loads(monitor("recordings", "--json").stdout)
    monitor("replay", first["id"], "--speed", "max", "--record", AGAIN)
    port = free_port()
    background("serve", "--port", port)
    held = collector_of(tmp_path / "recordings")
    until(lambda: all_connected(held, 6), "six connected sources")
    url = f"http://127.0.0.1:{port}/"
    until(lambda: answers(f"{url}health"), "the page")
    arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=arguments)
        try:
            yield lambda: Watched(browser.new_page(viewport={"width": 1280, "height": 720}), url)
        finally:
            browser.close()


def test_the_page_shows_streams_stops_and_replays(
    watched: Callable[[], Watched], tmp_path: Path
) -> None:
    view = watched()
    page = view.page
    assert "SIMULATED" in view.headline()
    page.wait_for_selector("text=6 of 6 sources connected")
    until(lambda: page.locator("td.state.connected").count() == 6, "six connected sources")
    first = view.updates()
    until(lambda: view.updates() > first + 50, "more updates")

    # A panned plot stays where it was put and goes on filling; its neighbours follow.
    price, spread = "Price and trades", "Spread"
    until(lambda: len(view.plots()) == 4 and view.plots()[price][2] > 20, "drawn plots")

    def holds() -> bool:
        """Pan, and tell whether the plot stays while it fills and its neighbour follows."""
        box = page.locator(".bk-Figure").first.bounding_box()
        assert box is not None
        at, below = box["x"] + 380, box["y"] + 100
        page.mouse.move(at, below)
        page.mouse.down()
        page.mouse.move(at + 120, below + 5, steps=5)
        page.mouse.up()
        before = view.plots()
        until(lambda: view.plots()[price][2] > before[price][2] + 20, "more rows")
        until(lambda: view.plots()[spread][1] > before[spread][1] + 1000, "a plot that follows")
        return view.plots()[price][:2] == before[price][:2]

    # A busy browser may come to the gesture only after it was looked at.
    until(holds, "a plot that was panned and holds")

    other = watched()
    page.get_by_text("Stop for everyone").click()
    other.page.wait_for_selector("text=/STOPPED for everyone/")
    until(lambda: other.page.locator("td.state.stopped").count() == 6, "six stopped sources")
    other.page.get_by_text("Start for everyone").click()
    page.wait_for_selector("text=/LIVE .*updates/")

    watch = page.get_by_label("Watch")
    until(lambda: watch.locator("option").count() == 3, "the older recordings")
    names = set(watch.locator("option").all_inner_texts()) - {"Live", AGAIN}
    watch.select_option(*names)
    page.wait_for_selector("text=/REPLAY .* playing 1×/")
    page.get_by_label("Speed").select_option("max")
    page.wait_for_selector("text=/REPLAY .* ended/")
    page.wait_for_selector("text=recomputed")
    alone = view.updates()

    # Beside itself every row comes twice.
    page.locator(".choices").first.click()
    page.locator(".choices__item--choice", has_text=AGAIN).click()
    page.wait_for_selector(f"text=/REPLAY .* \\+ {AGAIN} . ended/")
    until(lambda: view.updates() == 2 * alone, "both recordings")
    page.get_by_label("Speed").select_option("1×")
    page.get_by_text("Play", exact=True).click()
    page.get_by_text("Loop from here").click()
    page.get_by_text("Loop to here").click()
    page.wait_for_selector("text=/in a loop/")
    page.get_by_text("End the loop").click()
    page.wait_for_selector("text=/in a loop/", state="detached")
    page.get_by_text("Loop from here").wait_for()
    watch.select_option("Live")
    page.wait_for_selector("text=/LIVE .*updates/")

    page.get_by_text("SQL", exact=True).click()
    page.get_by_text("Run", exact=True).click()
    page.locator("th", has_text="spread_bps").wait_for()
    page.wait_for_selector("text=6 rows")

    for seen in (view, other):
        assert seen.foreign == []
        assert seen.errors == []
    other.page.close()
    page.close()
    held = collector_of(tmp_path / "recordings")
    count = sum(source["updates"] for source in health(held.address)["sources"])
    until(
        lambda: sum(s["updates"] for s in health(held.address)["sources"]) > count,
        "updates without a viewer",
    )
