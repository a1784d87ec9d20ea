"""What a person does on the page all day: choose, search, keys, links, replay, a lost server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page
from support.running import DEADLINE_S, until
from support.served_page import Served, serving

from monitor import recordings
from monitor.recordings import overview

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, browser_path: str) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("habits"), browser_path) as made:
        yield made


def lines(page: Page) -> list[str]:
    """Venue and symbol of the rows of the watch-list that are seen, from the top."""
    rows = page.locator(".watchlist tbody tr:visible").all()
    return [" ".join(row.locator("td").nth(at).inner_text() for at in (0, 1)) for row in rows]


def background(page: Page) -> str:
    found: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return found


def test_the_watch_list_sorts_filters_and_chooses(served: Served) -> None:
    page = served.open()
    until(lambda: len(lines(page)) == 6, "six rows")
    known = lines(page)
    assert known == sorted(known)
    page.locator(".watchlist th", has_text="venue").click()
    page.locator(".watchlist th", has_text="venue").click()
    assert [line.split()[0] for line in lines(page)] == sorted(
        (line.split()[0] for line in known), reverse=True
    )

    # A click chooses the instrument of the page, and the other way round.
    instrument = page.get_by_label("Instrument")
    venue, symbol = known[4].split()
    page.locator(".watchlist tbody tr", has_text=venue).filter(has_text=symbol).first.click()
    until(lambda: instrument.input_value() == known[4], "the clicked instrument")
    instrument.select_option(known[1])
    chosen = page.locator(".watchlist tr.chosen td")
    until(
        lambda: " ".join(chosen.nth(at).inner_text() for at in (0, 1)) == known[1],
        "the chosen row",
    )

    # A slash leads to the filter; there, keys are letters.
    page.locator("body").press("/")
    page.keyboard.type("kraken 2?")
    assert lines(page) == []
    page.get_by_text("Nothing fits the filter").wait_for()
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    assert lines(page) and all(line.startswith("kraken") for line in lines(page))
    page.keyboard.press("Enter")
    until(lambda: instrument.input_value().startswith("kraken"), "the first that fits")
    assert page.get_by_role("dialog").count() == 0
    page.close()


def test_a_link_brings_back_layout_instrument_theme_and_zone(served: Served) -> None:
    page = served.open("?layout=health&instrument=kraken+BTC-USD&theme=light&tz=Asia/Tokyo")
    page.get_by_text("Incidents", exact=True).wait_for()
    assert background(page) == "rgb(241, 244, 248)"
    page.wait_for_url(lambda url: "instrument=kraken+BTC-USD" in url)
    assert page.get_by_label("Instrument").input_value() == "kraken BTC-USD"
    page.get_by_role("button", name="Dark").click()
    page.get_by_text("Incidents", exact=True).wait_for()
    assert background(page) == "rgb(11, 14, 19)"
    # The first address has the zone in another spelling.
    page.wait_for_url(lambda url: "layout=health" in url and "Asia/Tokyo" in url)
    page.close()


def test_a_link_opens_a_recording_of_the_folder_and_nothing_else(served: Served) -> None:
    page = served.open(f"?source={served.recording}&speed=10%C3%97&at=3")
    page.wait_for_selector("text=/REPLAY .* 10×/")
    assert page.locator(".bar.replaying").count() == 1
    page.close()
    path = served.folder / served.recording
    page = served.open(f"?source={path}")
    page.wait_for_selector("text=/expected a recording of this folder/")
    page.close()


def test_keys_choose_layouts_show_help_and_steer_a_replay(served: Served) -> None:
    page = served.open(f"?source={served.recording}&speed=0.1%C3%97")
    body = page.locator("body")
    body.press("?")
    page.get_by_role("dialog").wait_for()
    body.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    body.press("4")
    page.get_by_text("Incidents", exact=True).wait_for()
    body.press("1")
    page.get_by_placeholder("Filter").wait_for()
    page.wait_for_selector("text=/playing/")
    body.press(" ")
    page.wait_for_selector("text=/paused/")
    told = page.locator(".bar.replaying .muted")
    before = told.inner_text()
    body.press("ArrowRight")
    until(lambda: told.inner_text() != before, "another position")
    body.press(" ")
    page.wait_for_selector("text=/(playing|ended) /")
    page.close()


def test_the_mini_map_counts_what_was_recorded_and_seeks(served: Served) -> None:
    with recordings.open_recording(served.folder, served.recording) as recording:
        first, last = recording.span_ns
        (rows,) = (
            t.to_pylist()[0]["n"] for t in recording.select("SELECT sum(rows) AS n FROM stat")
        )
        (signals,) = (
            t.to_pylist()[0]["n"] for t in recording.select("SELECT count(*) AS n FROM signal")
        )
    seen = overview.survey(served.folder, [served.recording], (first, last))
    assert sum(seen.rows) == rows > 0
    assert sum(seen.signals) == signals
    assert len(seen.marks) == overview.SLICES

    page = served.open(f"?source={served.recording}&speed=0.1%C3%97")
    page.wait_for_selector("text=/bars: rows received/")
    canvas = page.get_by_role("slider", name="Position")
    box = canvas.bounding_box()
    assert box is not None
    page.locator("body").press(" ")
    page.wait_for_selector("text=/paused/")
    canvas.click(position={"x": box["width"] * 0.5, "y": 20})
    # Half of what was recorded, to a hundredth.
    until(lambda: abs(int(canvas.get_attribute("aria-valuenow") or 0) - 50) <= 1, "the middle")
    page.close()


def test_a_phone_shows_every_tab_and_none_is_wider_than_its_screen(served: Served) -> None:
    phone = served.browser.new_context(
        viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True
    )
    page = phone.new_page()
    page.goto(f"http://127.0.0.1:{served.port}/")
    until(lambda: len(lines(page)) == 6, "six rows")
    tabs = page.locator(".bk-tab")
    assert tabs.count() == 8
    for at in range(8):
        box = tabs.nth(at).bounding_box()
        assert box is not None and box["x"] + box["width"] <= 390
        tabs.nth(at).tap()
        page.wait_for_selector(f".bk-tab.bk-active >> text={tabs.nth(at).inner_text()}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    phone.close()


def test_a_page_that_lost_its_server_says_so_and_comes_back(served: Served) -> None:
    page = served.open("?layout=health")
    page.get_by_text("Incidents", exact=True).wait_for()
    found = json.loads(page.evaluate("fetch('health').then((answer) => answer.text())"))
    assert found["recorder"]["state"] == "recording"
    served.pages[-1].terminate()
    page.get_by_text("The server cannot be reached").wait_for()
    served.pages[-1].wait(DEADLINE_S)
    served.serve()
    page.get_by_text("The server cannot be reached").wait_for(state="detached")
    page.wait_for_selector("text=/LIVE .*updates/")
    page.get_by_text("Incidents", exact=True).wait_for()
    page.close()
