"""What plots send to a real browser: increments; whole sources only at the start."""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright
from support.collectors import free_port
from support.running import until
from support.served_page import QUIET, figure

pytestmark = pytest.mark.browser
Run = Callable[..., Any]

# A busy machine draws a page in minutes.
PATIENCE_S = 240.0
STREAMED, PATCHED = "ColumnsStreamed", "ColumnsPatched"
# A whole source is a property that is set anew.
WHOLE = "whole"
# Plots that show nothing of an exchange that does not answer: one with and one without marks.
MOVED = ("Order book", "Depth")
# What a layout's plots have: the heat map and the candles six sources and one for marks, the depth
# curve two; the mids fourteen and one for marks, rates and latencies twelve and one each.
SOURCES = {"candles": 7, "micro": 7 + 7 + 2, "compare": 15 + 13 + 13, "watch": 6 + 2 + 5 + 3}


class Wire:
    """A page, and how often each kind of change of a source came over its WebSocket."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.changes: Counter[str] = Counter()
        self.errors: list[str] = []
        page.set_default_timeout(PATIENCE_S * 1000)
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("websocket", lambda line: line.on("framereceived", self._count))

    def _count(self, frame: Any) -> None:
        if not isinstance(frame, str) or '"events"' not in frame:
            return
        for event in json.loads(frame).get("events", []):
            if event["kind"] in (STREAMED, PATCHED):
                self.changes[event["kind"]] += 1
            elif event["kind"] == "ColumnDataChanged" or event.get("attr") == "data":
                self.changes[WHOLE] += 1

    def wait(self, ready: Callable[[], bool], what: str) -> None:
        """Let the browser go on, and what it receives be counted, until `ready`."""

        def probe() -> bool:
            self.page.wait_for_timeout(50)
            return ready()

        until(probe, what, PATIENCE_S)

    def settle(self, streamed: int) -> None:
        """Wait until so many increments have come in a row, with no whole source between them."""
        before = self.changes[WHOLE] - 1

        def is_settled() -> bool:
            nonlocal before
            if self.changes[WHOLE] != before:
                before = self.changes[WHOLE]
                self.changes[STREAMED] = 0
            return self.changes[STREAMED] >= streamed

        self.wait(is_settled, f"{streamed} increments without a whole source")

    def whole_sources_during(self, act: Callable[[], object], streamed: int = 15) -> int:
        """Return how many whole sources come by an act, until only increments come again."""
        self.changes.clear()
        act()
        self.wait(lambda: self.changes[WHOLE] > 0, "whole sources")
        self.settle(streamed)
        return self.changes[WHOLE]


@contextmanager
def looking_at(served: subprocess.Popen[str], browser_path: str) -> Iterator[Wire]:
    """Open the page that a process serves."""
    assert served.stdout is not None
    lines = iter(served.stdout.readline, "")
    url = next(line.split()[1] for line in lines if line.startswith("monitor: "))
    arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=arguments)
        try:
            made = Wire(browser.new_page(viewport={"width": 1280, "height": 720}))
            made.page.goto(url)
            made.page.wait_for_selector("text=/(LIVE|CONNECTING|NO SOURCE).* — .*updates/")
            yield made
        finally:
            browser.close()


@pytest.fixture
def wire(background: Run, browser_path: str) -> Iterator[Wire]:
    with looking_at(background("serve", "--port", free_port()), browser_path) as made:
        yield made


def test_live_plots_stream_increments_and_whole_sources_only_at_the_start(
    wire: Wire,
) -> None:
    page = wire.page

    def open_tab(name: str) -> None:
        page.get_by_text(name, exact=True).click()

    wire.settle(15)
    for name, sources, patched in (
        ("Micro-structure", SOURCES["micro"], 5),
        ("Compare", SOURCES["compare"], 0),
    ):
        assert wire.whole_sources_during(lambda name=name: open_tab(name)) == sources
        wire.changes.clear()
        wire.wait(
            lambda patched=patched: (
                wire.changes[STREAMED] >= 40 and wire.changes[PATCHED] >= patched
            ),
            "increments",
        )
        assert wire.changes[WHOLE] == 0

    open_tab("Micro-structure")
    page.get_by_text("best", exact=True).first.wait_for()
    page.get_by_text("▲ buy").or_(page.get_by_text("▼ sell")).first.wait_for()
    # Another interval is another start, for the candles alone.
    wire.settle(15)
    assert (
        wire.whole_sources_during(lambda: page.get_by_text("5 s", exact=True).click())
        == SOURCES["candles"]
    )
    chosen = page.get_by_label("Instrument")
    other = chosen.locator("option").nth(1).inner_text()
    # The tabs that are not seen are emptied, with the ends of their seven value axes.
    emptied = SOURCES["watch"] + SOURCES["compare"] + 7
    sent = wire.whole_sources_during(lambda: chosen.select_option(other))
    assert sent == SOURCES["micro"] + emptied

    # What lies under the pointer tells its exact values.
    box = page.locator(".bk-Figure:visible").first.bounding_box()
    assert box is not None

    def is_told() -> bool:
        page.mouse.move(box["x"] + 2 + box["width"] / 2, box["y"] + box["height"] * 0.4)
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.4)
        return page.get_by_text(re.compile("^(bid|ask) size")).count() > 0

    wire.wait(is_told, "a price and its size")
    assert wire.errors == []


# Counts what changes in the HTML of the plot of prices, within the parts of it too: how often the
# place of a part is written, and what else is. Counts how often CSS is asked for, too.
WATCHED = """() => {
    const figure = Bokeh.index.query_one((view) =>
        view.model.type === "Figure" && view.model.title.text.startsWith("Price"));
    const seen = window.seen = {repaints: 0, places: 0, others: [], asked: 0};
    const ask = window.getComputedStyle;
    window.getComputedStyle = (...given) => { seen.asked++; return ask(...given); };
    const note = (records) => {
        for (const {type, target} of records)
            if (target.nodeName === "STYLE") seen.places++;
            else seen.others.push(`${type} ${target.nodeName} ${target.className}`);
    };
    const watch = (part) => {
        const root = part.shadowRoot;
        if (root) new MutationObserver(note).observe(
            root, {childList: true, characterData: true, subtree: true});
        for (const inner of (root || part).querySelectorAll("*"))
            if (inner.shadowRoot) watch(inner);
    };
    watch(figure.el);
    const paint = figure._actual_paint.bind(figure);
    figure._actual_paint = () => { paint(); seen.repaints++; };
}"""
# Bids, asks, mids, buys and sells are elsewhere after each row.
MOVING = 5


def test_what_is_streamed_writes_no_html_of_a_plot_that_stays_as_it_is(wire: Wire) -> None:
    wire.settle(15)
    wire.page.locator(".bk-Legend").first.wait_for()
    wire.page.evaluate(WATCHED)
    wire.page.wait_for_function("() => window.seen.repaints >= 20")
    seen = wire.page.evaluate("() => window.seen")
    assert seen["others"] == []
    # An axis whose numbers grow longer moves the other parts, now and then.
    assert seen["places"] < (MOVING + 2) * seen["repaints"]
    # Of itself BokehJS asks some hundreds of times for each repaint of the plots.
    assert seen["asked"] < 100 * seen["repaints"]


def test_a_click_on_a_legend_mutes_the_line_that_it_names(wire: Wire) -> None:
    wire.settle(15)
    muted = """() => Bokeh.index.query_one((view) =>
        view.model.type === "Figure" && view.model.title.text.startsWith("Price")
    ).model.renderers.slice(0, 5).map((renderer) => renderer.muted)"""
    assert wire.page.evaluate(muted) == [False] * 5
    wire.page.locator(".bk-Legend").first.get_by_text("ask", exact=True).click()
    wire.wait(lambda: wire.page.evaluate(muted) == [False, True, False, False, False], "a mute")
    assert wire.errors == []


def test_plots_that_were_moved_before_they_had_a_row_fit_their_rows(
    background: Run, browser_path: str
) -> None:
    exchange = free_port()
    urls = (f"{scheme}://127.0.0.1:{exchange}/binance" for scheme in ("ws", "http"))
    source = ("binance:BTC-USDT+book", "--endpoint", f"binance={','.join(urls)}")
    served = background("serve", "--port", free_port(), *source)
    ends = """title => {
        const {model} = Bokeh.index.query_one(({model}) =>
            model.type === "Figure" && model.title.text.startsWith(title));
        return [model.x_range.start, model.x_range.end, model.y_range.start, model.y_range.end];
    }"""
    with looking_at(served, browser_path) as wire:
        wire.page.get_by_text("Micro-structure", exact=True).click()
        for title in MOVED:
            plot = figure(wire.page, title)
            assert any(map(math.isnan, wire.page.evaluate(ends, title)))
            plot.hover()
            wire.page.mouse.wheel(0, -400)
        background("simulate", "binance", "--port", exchange)
        for title in MOVED:
            first: list[float] = []

            def has_moved(title: str = title, first: list[float] = first) -> bool:
                now = wire.page.evaluate(ends, title)
                if any(map(math.isnan, now)):
                    return False
                first[:] = first or now
                return bool(now != first)

            wire.wait(has_moved, f"axes of {title} that fit what comes")
        assert wire.errors == []
