"""The frame of the page in a browser: widths and heights, times, notes, and what it waits for."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import requests
from playwright.sync_api import Page
from support.running import DEADLINE_S, until
from support.served_page import Served, serving

from monitor.settings.alert_rules import KINDS

pytestmark = pytest.mark.browser
PHONE = {"width": 390, "height": 844}
# Tokyo has no summer time.
TOKYO = timedelta(hours=9)
ASKS = re.compile(r'data-ask="([^"]+)"')


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, browser_path: str) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("frame"), browser_path, seconds=3) as made:
        yield made


def extent(page: Page) -> tuple[int, int]:
    """Return how wide and how high the page is, what one must scroll for included."""
    width, height = page.evaluate(
        "() => [document.scrollingElement.scrollWidth, document.scrollingElement.scrollHeight]"
    )
    return width, height


def turn(page: Page, tab: str) -> None:
    page.locator(".bk-tab", has_text=tab).click()


def test_a_phone_shows_all_of_a_form_and_of_a_question(served: Served) -> None:
    page = served.open("?layout=alerts", **PHONE)
    kind = page.get_by_label("Kind", exact=True)
    kind.wait_for()
    for name, rule in KINDS.items():
        kind.select_option(name)
        page.wait_for_selector(f"text={' '.join((rule.__doc__ or '').replace('`', '').split())}")
        assert extent(page)[0] == PHONE["width"], name
    turn(page, "Recordings")
    page.locator("tr[data-say]").filter(has_text=served.recording).click()
    page.get_by_role("button", name="Delete …").click()
    for name in (f"Delete {served.recording} for good", "Keep it"):
        button = page.get_by_role("button", name=name)
        button.wait_for()
        box = button.bounding_box()
        assert box is not None
        assert box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"], name
    assert extent(page)[0] == PHONE["width"]
    page.close()
    assert served.wrong == []


def test_a_tab_is_as_high_as_what_it_shows(served: Served) -> None:
    page = served.open("?layout=settings")
    page.wait_for_selector("text=only programs on this machine reach it")
    alone = extent(page)[1]
    turn(page, "Watch")
    until(lambda: extent(page)[1] > alone + 300, "a tab that is higher")
    turn(page, "Micro-structure")
    page.wait_for_selector("text=Time and sales")
    turn(page, "Settings")
    until(lambda: extent(page)[1] == alone, "the height of before")
    page.close()
    assert served.wrong == []


def test_times_of_recordings_are_those_of_the_chosen_zone(served: Served) -> None:
    with duckdb.connect(
        str(served.folder / served.recording / "000.duckdb"), read_only=True
    ) as con:
        found = con.sql("SELECT min(ts_recv)::TIMESTAMP, max(ts_recv)::TIMESTAMP FROM quote")
        first, last = found.fetchall()[0]
    page = served.open("?layout=recordings&tz=Asia/Tokyo")
    row = page.locator("tr[data-say]").filter(has_text=served.recording)
    row.click()
    page.wait_for_selector("text=started (Asia/Tokyo)")
    began = datetime.strptime(served.recording, "%Y%m%dT%H%M%SZ") + TOKYO
    shown = datetime.fromisoformat(row.locator("td").nth(2).inner_text())
    assert abs(shown - began) <= timedelta(seconds=1)
    at = page.get_by_label("Clip from (Asia/Tokyo)")
    offered = datetime.fromisoformat(until(at.input_value, "the time of the first row"))
    assert abs(offered - (first + TOKYO)) < timedelta(seconds=3)
    middle = first + (last - first) / 2
    at.fill((middle + TOKYO).isoformat())
    page.get_by_label("to, inclusive").press("Tab")
    page.get_by_role("button", name="Clip", exact=True).click()

    def clipped() -> Path | None:
        return next(served.folder.glob(f"exported/{served.recording}/*.duckdb"), None)

    file = until(clipped, "a clip")
    page.wait_for_selector("text=Download clip")
    with duckdb.connect(str(file), read_only=True) as con:
        of_clip = con.sql("SELECT min(ts_recv)::TIMESTAMP FROM quote WHERE flags & 8192 = 0")
        (began_clip,) = of_clip.fetchall()[0]
    assert middle <= began_clip <= last
    page.close()
    assert served.wrong == []


def test_a_note_says_what_it_is_about_and_goes(served: Served) -> None:
    page = served.open("?source=nope&layout=settings")
    note = page.locator(".bar", has_text="the address was not followed").filter(has_text="nope")
    note.wait_for()
    page.get_by_role("button", name="Stop for everyone").click()
    page.locator(".bar", has_text="you: all sources stopped for every viewer").wait_for()
    # What was done since stands in its place.
    assert note.count() == 0
    page.get_by_role("button", name="Start for everyone").click()
    started = page.locator(".bar", has_text="you: all sources started for every viewer")
    started.wait_for()
    until(lambda: started.count() == 0, "the end of the note")
    page.close()
    assert served.wrong == []


def test_an_opening_that_lasts_says_what_it_waits_for(served: Served) -> None:
    page = served.browser.new_page()
    page.set_default_timeout(DEADLINE_S * 1000)
    held = threading.Event()

    def hold(route: Any) -> None:
        # The server falls silent once it has answered.
        if not held.is_set():
            held.set()
            os.kill(served.pages[-1].pid, signal.SIGSTOP)
        route.continue_()

    page.route("**/static/**", hold)
    page.goto(f"http://127.0.0.1:{served.port}/", wait_until="commit")
    try:
        page.wait_for_selector(
            "text=/Opening … waiting for the server, which has not answered yet/"
        )
    finally:
        os.kill(served.pages[-1].pid, signal.SIGCONT)
    page.wait_for_selector("text=/LIVE .*updates/")
    assert page.locator(".opening").is_hidden()
    page.close()


def test_many_that_open_at_once_know_their_place_and_are_opened(served: Served) -> None:
    url = f"http://127.0.0.1:{served.port}/"
    asks = []
    for _ in range(16):
        found = ASKS.search(requests.get(url, timeout=DEADLINE_S).text)
        assert found is not None
        asks.append(url + found[1])

    def told(ask: str) -> str:
        return requests.get(ask, timeout=DEADLINE_S).text

    # By then the last of them waits, or is made already.
    seen = {told(asks[-1])}
    until(lambda: seen.add(told(asks[-1])) or "this browser" in told(asks[-1]), "the last page")
    places = [int(found[1]) for text in seen if (found := re.match(r"(\d+) other page", text))]
    assert places and max(places) > 1, seen
    assert all("this browser" in told(ask) for ask in asks)
