"""What a page shows when its source changes: nothing of the one before."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page
from support.running import until
from support.served_page import Served, drawn, serving

from monitor import recordings

pytestmark = pytest.mark.browser
MICRO = ("Order book", "Candles", "Depth")
# What a browser has of the tabs, seen or not: rows by plot, and of dense tables and the header the
# texts; once the header says what is waited for.
HELD = """([titles, wanted]) => {
    const models = [...(window.Bokeh?.documents[0]?.all_models ?? [])];
    const html = models.filter(({type, text}) => type.endsWith("HTML") && text).map(({text}) =>
        new DOMParser().parseFromString(text, "text/html").documentElement.textContent);
    if (!html.some((text) => text.includes(wanted))) return null;
    const rows = {};
    for (const model of models.filter(({type}) => type === "Figure")) {
        const title = titles.find((title) => model.title.text.startsWith(title));
        if (!title) continue;
        // A legend's own have a row without values.
        const sums = model.renderers.map(({data_source}) => Math.max(0, ...data_source.columns()
            .map((of) => [...data_source.get_array(of)].filter(Number.isFinite).length)));
        rows[title] = sums.reduce((sum, count) => sum + count, 0);
    }
    return {rows, html: html.filter((text) => /<h3>(Ladder|Time and sales)/.test(text))};
}"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, browser_path: str) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("source"), browser_path, seconds=8) as made:
        yield made


def turn(page: Page, tab: str) -> None:
    page.locator(".bk-tab", has_text=tab).click()


def held(page: Page, header: str = "") -> tuple[dict[str, int], list[str]]:
    """Return what a browser has of Micro-structure in the first frame with such a header."""
    handle = page.wait_for_function(HELD, arg=[MICRO, header], polling="raf")
    found = handle.json_value()
    return found["rows"], found["html"]


def is_filled(page: Page) -> bool:
    rows, html = held(page)
    return len(rows) == len(MICRO) and all(rows.values()) and len(html) == 2


def test_a_tab_that_is_not_seen_holds_nothing_of_another_source_time_or_instrument(
    served: Served,
) -> None:
    page = served.open("?layout=micro-structure&instrument=binance+BTC-USDT")
    nothing = (dict.fromkeys(MICRO, 0), [])
    until(lambda: is_filled(page), "the live picture")
    turn(page, "Watch")
    page.locator(".watchlist td.state").first.wait_for()
    page.get_by_label("Watch").select_option(served.recording)
    assert held(page, "REPLAY") == nothing
    page.wait_for_selector("text=/REPLAY .* playing/")
    assert held(page) == nothing

    # What is turned to is of the recording.
    turn(page, "Micro-structure")
    until(lambda: is_filled(page), "the picture of the replay")
    with recordings.open_recording(served.folder, served.recording) as recording:
        first, last = (at_ns / 1e6 for at_ns in recording.span_ns)
    candles = drawn(page, "Candles")
    assert candles is not None
    columns = [of.get("left", of.get("time", [])) for of in candles.sources]
    starts = [at for column in columns for at in column if at is not None and not math.isnan(at)]
    assert starts and min(starts) >= first - 60_000 and max(starts) <= last
    page.get_by_role("button", name="Pause").click()
    page.wait_for_selector("text=/REPLAY .* paused/")
    turn(page, "Watch")
    assert is_filled(page)
    page.keyboard.press("ArrowLeft")
    until(lambda: held(page) == nothing, "nothing of the time before the seek")

    turn(page, "Micro-structure")
    page.get_by_label("Watch").select_option("Live")
    page.wait_for_selector("text=/LIVE .*updates/")
    until(lambda: is_filled(page), "the live picture again")
    turn(page, "Watch")
    page.get_by_label("Instrument").select_option("kraken BTC-USD")
    until(lambda: held(page) == nothing, "nothing of the instrument before")
    page.close()
    assert served.wrong == []
