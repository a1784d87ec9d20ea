"""The page and what is now: a collector that is frozen, goes on, or is killed; a frozen server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import Page
from prometheus_client.parser import text_string_to_metric_families
from support.running import until
from support.served_page import WAIT_MS, Served, serving

from monitor.processes import locks

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, browser_path: str) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("now"), browser_path, 2) as made:
        yield made


def collector(served: Served) -> int:
    held = locks.holder(served.folder)
    assert held is not None
    return held.pid


def header(page: Page) -> str:
    return page.locator(".bar").inner_text()


def states_of(served: Served) -> set[str]:
    report = requests.get(f"http://127.0.0.1:{served.port}/health", timeout=30).json()
    return {source["state"] for source in report["sources"]}


def states(page: Page) -> set[str]:
    """The states of all sources, in the grid of Watch."""
    return {cell.split()[-1] for cell in page.locator(".watchlist td.state").all_inner_texts()}


def test_a_frozen_collector_leaves_nothing_connected_until_it_goes_on(served: Served) -> None:
    watch, health, compare = (
        served.open(query) for query in ("", "?layout=health", "?layout=compare")
    )
    until(lambda: states(watch) == {"connected"}, "connected sources")
    pid = collector(served)
    os.kill(pid, signal.SIGSTOP)
    try:
        watch.wait_for_selector("text=/NO ROWS FOR [0-9]+ s/")
        watch.wait_for_selector(f"text=/the collector .PID {pid}. does not answer/")
        watch.wait_for_selector(f"text=/kill -CONT {pid}/")
        assert watch.locator(".badge.live").count() == 0
        until(lambda: states(watch) == {"stale"}, "sources that are stale")
        assert watch.locator(".watchlist td.book.ok").count() == 0
        assert watch.get_by_role("button", name="Stop for everyone").is_disabled()
        for page in (health, compare):
            page.wait_for_selector(".state.stale")
            until(lambda page=page: page.locator(".state.connected").count() == 0, "none connected")
        answer = requests.get(f"http://127.0.0.1:{served.port}/health", timeout=30)
        report = answer.json()
        assert (answer.status_code, report["status"]) == (503, "failed")
        assert {source["state"] for source in report["sources"]} == {"stale"}
        assert min(source["age_ms"] for source in report["sources"]) > 2000
        # What is shown grows old with the machine's clock, though no row comes.
        watch.wait_for_selector("text=/NO ROWS FOR ([6-9]|[0-9]{2,}) s/")
        ages = watch.locator(".watchlist tbody tr:visible").first.inner_text().split()
        assert "ms" not in ages
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: states(watch) == {"connected"}, "connected sources again")
    watch.wait_for_selector("text=/LIVE .*updates/")
    for page in (watch, health, compare):
        page.close()


def test_a_frozen_server_is_told_by_the_browser_itself(served: Served) -> None:
    page = served.open()
    server = served.pages[-1].pid
    os.kill(server, signal.SIGSTOP)
    try:
        page.get_by_text("The server of this page has sent nothing for").wait_for()
    finally:
        os.kill(server, signal.SIGCONT)
    page.get_by_text("The server of this page has sent nothing for").wait_for(state="hidden")
    until(lambda: states(page) == {"connected"}, "connected sources")
    page.close()


def test_a_replay_that_waits_for_a_frozen_collector_says_so_and_holds_up_nobody(
    served: Served,
) -> None:
    live, held = served.open(), locks.holder(served.folder)
    assert held is not None
    os.kill(held.pid, signal.SIGSTOP)
    try:
        page = served.browser.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(f"http://127.0.0.1:{served.port}/?source={held.recording}&at=1")
        # On a machine that is busy it is known at once that nothing will come.
        refused = "is not played: its collector does not answer"
        page.wait_for_selector(f"text=/waiting for the collector's copy|{refused}/")
        page.wait_for_selector(f"text=/kill -CONT {held.pid}/")
        # Other pages and programs are served meanwhile.
        assert requests.get(f"http://127.0.0.1:{served.port}/metrics", timeout=30).text
        live.get_by_text("Health", exact=True).click()
        live.locator(".state.stale >> visible=true").first.wait_for()
    finally:
        os.kill(held.pid, signal.SIGCONT)
    # It is opened late, or given up with a word why.
    page.wait_for_selector("text=/REPLAY .*(playing|ended)|LIVE .*updates/")
    page.close()
    live.close()


def test_settings_tell_what_is_followed_now_also_beside_a_replay(served: Served) -> None:
    until(lambda: states_of(served) == {"connected"}, "connected sources")
    page = served.open(f"?source={served.recording}&at=0&paused=1&layout=settings")
    page.wait_for_selector("text=/REPLAY .*paused/")
    row = page.locator("tr", has=page.locator("b")).filter(has_text="binance:BTC-USDT")
    row.filter(has_text="connected").wait_for()
    page.close()


def test_a_killed_collector_is_told_from_a_frozen_one(served: Served) -> None:
    page, pid = served.open(), collector(served)
    # Somebody started it by hand: the page leaves it to them to start it again.
    os.kill(pid, signal.SIGKILL)
    page.wait_for_selector("text=NO COLLECTOR")
    page.wait_for_selector("text=/the collector has stopped: no row for [0-9]+ s/")
    until(lambda: states(page) == {"stale"}, "sources that are stale")
    assert page.get_by_role("button", name="for everyone").is_disabled()
    answer = requests.get(f"http://127.0.0.1:{served.port}/metrics", timeout=30)
    names = [family.name for family in text_string_to_metric_families(answer.text)]
    assert (answer.status_code, names[0]) == (503, "monitor_page_viewers")
    page.close()
    assert served.wrong == []
