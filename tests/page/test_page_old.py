"""The page on a collector that has run for an hour: plots stay in order, short, whole and current.

MONITOR_OLD_S seconds (1) are watched in each place; a longer run is `MONITOR_OLD_S=600 pytest …`.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, sync_playwright
from support.aged import aged
from support.collectors import free_port
from support.running import DEADLINE_S, until
from support.served_page import QUIET, Served, answers

from monitor import recordings
from monitor.processes import locks
from monitor.rows.batches import DUPLICATE

pytestmark = pytest.mark.browser

WATCHED_S = float(os.environ.get("MONITOR_OLD_S", "1"))
# Long enough for more quotes of each source than a plot keeps.
PAST_S = 2_400.0
# No source has more rows, whatever it holds; lines across a plot are fewer.
MOST_ROWS, MOST_MARKS = 6_000, 200
AGAIN_S = 15.0
MS, S = 1e6, 1_000_000_000
IN_VIEW_MS = 50_000
HERE, THERE = "binance BTC-USDT", "kraken BTC-USD"
# How many plots over time each layout has.
LAYOUTS = {"Watch": 4, "Micro-structure": 2, "Compare": 3}
# Of each element with a time: its length, its newest time, and where its times decrease.
LOOK = """() => {
    const found = [];
    for (const {model, el} of Bokeh.index.query((view) => view.model.type === "Figure")) {
        const title = model.title.text, seen = el.checkVisibility({visibilityProperty: true});
        const timed = model.renderers.some(({name}) => name === "marks");
        model.renderers.forEach(({name, data_source}, at) => {
            if (name === "ends") return;
            const rows = data_source.get_length() ?? 0;
            const by = data_source.data.time !== undefined ? "time" : "left";
            const times = Array.from(data_source.get_array(by)).filter((time) => !isNaN(time));
            const back = times.findIndex((time, row) => row > 0 && time < times[row - 1]);
            const lengths = new Set(data_source.columns().map(
                (column) => data_source.get_array(column).length));
            found.push({title, seen, timed, at, name, rows, lengths: lengths.size,
                        newest: times.length ? times[times.length - 1] : null, back,
                        start: model.x_range.start, end: model.x_range.end});
        });
    }
    return found;
}"""
TIMES = """([title, at]) => {
    for (const {model} of Bokeh.index.query((view) => view.model.type === "Figure"))
        if (model.title.text.startsWith(title))
            return Array.from(model.renderers[at].data_source.get_array("time"));
    return [];
}"""
# Keeps the page's connections, to be able to break them.
KEEP_SOCKETS = """
    window.sockets = [];
    window.WebSocket = class extends WebSocket {
        constructor(...given) { super(...given); window.sockets.push(this); }
    };
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, browser_path: str) -> Iterator[Served]:
    folder, port = tmp_path_factory.mktemp("old") / "recordings", free_port()
    with ExitStack() as stack:
        stack.enter_context(aged(folder, past_s=PAST_S))
        command = [sys.executable, "-m", "monitor.cli", "serve", "--port", str(port)]
        page = subprocess.Popen(
            [*command, "--recordings", str(folder)], stdout=subprocess.DEVNULL, text=True
        )
        stack.callback(page.wait, DEADLINE_S)
        stack.callback(page.terminate)
        until(lambda: answers(f"http://127.0.0.1:{port}/health"), "the page")
        arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET)]
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=browser_path, args=arguments)
        stack.callback(browser.close)
        held = locks.holder(folder)
        assert held is not None
        yield Served(folder, held.recording, port, browser, lambda: None, [page], [])


def look(page: Page) -> list[dict[str, Any]]:
    """Return what the elements of all drawn plots hold, after their bounds were checked."""
    found: list[dict[str, Any]] = page.evaluate(LOOK)
    for element in found:
        most = MOST_MARKS if element["name"] == "marks" else MOST_ROWS
        assert element["rows"] <= most, element
        assert element["lengths"] == 1, element
        assert element["back"] == -1 or not element["timed"], element
    return found


def newest(page: Page) -> dict[str, float]:
    """Return the newest time of each plot over time that is seen, in ms."""
    times: dict[str, float] = {}
    for element in look(page):
        if element["seen"] and element["timed"] and element["name"] != "marks":
            title = element["title"]
            times[title] = max(times.get(title, 0.0), element["newest"] or 0.0)
    return times


def follows(page: Page, plots: int) -> None:
    """Wait until so many plots show what is new, and look on for a while."""

    def are_current() -> bool:
        found = newest(page)
        return len(found) == plots and min(found.values()) > (time.time() - 10) * 1e3

    until(are_current, f"{plots} plots that show what is new")
    axes = {of["title"]: of for of in look(page) if of["title"] in newest(page)}
    for title, at in newest(page).items():
        # The axis ends where the rows end, however many there are.
        assert axes[title]["end"] - at < (axes[title]["end"] - axes[title]["start"]) / 10, title
    began = newest(page)
    until(
        lambda: all(at > began[title] + WATCHED_S * 1e3 for title, at in newest(page).items()),
        f"{WATCHED_S:g} s more in every plot",
        DEADLINE_S + WATCHED_S,
    )


def shows_all(page: Page, served: Served, title: str, at: int, kind: str, name: str) -> None:
    """Hold an element's rows of the last minute against those that were recorded."""
    venue, symbol = name.split()
    origin = "AND origin = 'native'" if kind == "quote" else ""
    shown = np.array(page.evaluate(TIMES, [title, at]))
    last = shown[-1]
    shown = shown[shown > last - IN_VIEW_MS]
    statement = (
        f"SELECT epoch_ns(ts_recv) AS at FROM {kind} WHERE venue = '{venue}' {origin}"
        f" AND symbol = '{symbol}' AND flags & {DUPLICATE} = 0"
        f" AND epoch_ns(ts_recv) > {int((last - IN_VIEW_MS - 1000) * MS)} ORDER BY ord"
    )

    def recorded() -> list[float] | None:
        with recordings.open_recording(served.folder, served.recording) as recording:
            rows = [row["at"] for table in recording.select(statement) for row in table.to_pylist()]
        times = np.array(rows, float) / MS
        return times.tolist() if len(times) and times[-1] >= last else None

    times = until(recorded, "the rows in the recording")
    wanted = [at for at in times if last - IN_VIEW_MS < at <= last]
    assert len(wanted) > 50
    assert sorted(set(wanted) - set(shown.tolist())) == []


def turn(page: Page, tab: str) -> None:
    page.locator(".bk-tab").get_by_text(tab, exact=True).click()


def test_live_plots_of_an_old_hub_are_in_order_whole_and_current(served: Served) -> None:
    page = served.open(f"?instrument={HERE.replace(' ', '+')}")
    page.add_init_script(KEEP_SOCKETS)
    page.reload()
    follows(page, LAYOUTS["Watch"])
    shows_all(page, served, "Price", 0, "quote", HERE)

    page.get_by_label("Instrument").select_option(THERE)
    follows(page, LAYOUTS["Watch"])
    shows_all(page, served, "Price", 0, "quote", THERE)

    # What is not seen is not refreshed meanwhile.
    for tab in ("Micro-structure", "Compare"):
        turn(page, tab)
        follows(page, LAYOUTS[tab])
    shows_all(page, served, "Mid of each venue", 1, "quote", THERE)
    turn(page, "Watch")
    follows(page, LAYOUTS["Watch"])
    shows_all(page, served, "Price", 0, "quote", THERE)

    page.evaluate("() => { window.stays = true; window.sockets.forEach((one) => one.close()); }")
    page.wait_for_function("() => !window.stays && window.Bokeh?.documents?.length")
    follows(page, LAYOUTS["Watch"])
    shows_all(page, served, "Price", 0, "quote", THERE)
    page.close()
    assert served.wrong == []


def is_paused(page: Page) -> bool:
    return page.locator("text=/REPLAY .*paused/").count() > 0


def position_ms(page: Page) -> float:
    """Where the replay is, as its banner says."""
    told = "T".join(page.locator(".bar.replaying .muted").inner_text().split()[:2])
    return float(np.datetime64(told, "ns").astype(int)) / MS


def click_map(page: Page, share: float) -> None:
    canvas = page.get_by_role("slider", name="Position")
    box = canvas.bounding_box()
    assert box is not None
    canvas.click(position={"x": box["width"] * share, "y": 20})


def seek(page: Page, share: float, plots: int) -> None:
    """Go to another place of a paused replay, and wait until so many plots end there."""
    before, clicked_s = position_ms(page), -AGAIN_S

    def are_there() -> bool:
        nonlocal clicked_s
        # A page that is still being laid out moves away from under a click.
        if position_ms(page) == before and time.monotonic() - clicked_s >= AGAIN_S:
            clicked_s = time.monotonic()
            click_map(page, share)
        found, at = newest(page), position_ms(page)
        ended = [end for end in found.values() if at - 10e3 < end <= at]
        return at != before and len(ended) == len(found) == plots

    until(are_there, f"{plots} plots that end where the replay is")


def test_plots_of_a_long_replay_are_in_order_after_seeks_and_in_a_loop(served: Served) -> None:
    page = served.open(f"?source={served.recording}&instrument={THERE.replace(' ', '+')}")
    page.wait_for_selector("text=/REPLAY /")
    page.get_by_role("button", name="Pause", exact=True).click()
    until(lambda: is_paused(page), "a pause")
    for tab, share in zip(LAYOUTS, (0.7, 0.3, 0.5), strict=True):
        turn(page, tab)
        seek(page, share, LAYOUTS[tab])
    seek(page, 0.3, LAYOUTS["Compare"])
    page.get_by_text("Loop from here").click()
    page.get_by_text("Loop to here").wait_for()
    # "Here" is where somebody goes to, also before the plots are there.
    click_map(page, 0.32)
    page.get_by_text("Loop to here").click()
    page.get_by_text("End the loop").wait_for()
    page.get_by_label("Speed").select_option("100×")
    page.get_by_role("button", name="Play", exact=True).click()
    turns, first, last = 0, math.inf, 0.0

    def goes_round() -> bool:
        nonlocal turns, first, last
        before, at = last, position_ms(page)
        turns, first, last = turns + (at < before), min(first, at), at
        look(page)
        # A fiftieth of the recording, of which a turn may show any part.
        return turns >= 2 and before - first > PAST_S / 100 * 1e3

    until(goes_round, "two turns")
    # Back to what is live.
    page.get_by_label("Watch").select_option("Live")
    page.wait_for_selector("text=/LIVE /")
    turn(page, "Watch")
    follows(page, LAYOUTS["Watch"])
    shows_all(page, served, "Price", 0, "quote", THERE)
    page.close()
    assert served.wrong == []
