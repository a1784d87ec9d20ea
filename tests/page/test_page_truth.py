"""Every number on the page equals SQL over the same rows: live, in a replay, and after seeks."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from support.page_reader import shown
from support.running import until
from support.watched_page import COUNTS_S, TABS, Watched, rested, show, watching

pytestmark = pytest.mark.browser
# Often enough that each has happened within the first half minute.
FAULTS = ("gap@4", "crc@5", "duplicate@3", "reorder@6", "corrupt@7", "reset@17")
SEEKS = 3


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, browser_path: str) -> Iterator[Watched]:
    with watching(tmp_path_factory.mktemp("truth"), browser_path, FAULTS) as made:
        yield made


def test_each_number_of_the_live_page_is_that_of_sql(watched: Watched) -> None:
    page = watched.open()
    recording = watched.running.recording
    page.wait_for_selector("text=/of 7 sources connected/")
    for tab in TABS:
        show(page, tab)
        # A page whose server attached anew says since when it counts until it has read the rest.
        until(lambda: "counted since" not in shown(page).header, "all counts", COUNTS_S)
        with watched.frozen(page) as seen:
            pass
        assert seen.tab == tab
        assert watched.differences(seen, recording, is_silent=True) == [], (tab, seen.ord)
    page.close()
    assert watched.wrong == []


def test_each_number_of_a_replay_is_that_of_sql_wherever_it_is(watched: Watched) -> None:
    recording = watched.running.recording
    page = watched.open("?layout=health")
    page.wait_for_selector("text=/of 7 sources connected/")
    # A click on an incident shows the recording that is being made, up to now.
    page.get_by_title("see it again").first.click()
    page.wait_for_selector("text=/REPLAY .*updates/")
    space = page.locator("body")
    space.press(" ")
    page.wait_for_selector("text=/paused/")
    chance = random.Random(7)
    for _ in range(SEEKS):
        canvas = page.get_by_role("slider", name="Position")
        box = canvas.bounding_box()
        assert box is not None
        canvas.click(position={"x": box["width"] * chance.uniform(0.2, 0.95), "y": 20})
        page.wait_for_selector("text=/paused/")
        for tab in TABS:
            show(page, tab)
            seen = rested(page)
            assert (seen.tab, seen.is_replay) == (tab, True)
            assert watched.differences(seen, recording, is_silent=False) == [], (tab, seen.ord)
    page.close()
    assert watched.wrong == []


def test_the_log_of_the_programs_has_no_traceback(watched: Watched) -> None:
    assert "Traceback" not in watched.log.read_text()
