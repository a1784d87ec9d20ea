"""Controls that no other test touches, in a real browser: each does what it says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator

import pandas as pd
import pytest
from playwright.sync_api import Page
from support.running import until
from support.served_page import Served, drawn, serving

from monitor import recordings

pytestmark = pytest.mark.browser
SOURCES = "Lines of all sources: choose here to see only some"
OTHERS = "Lay over the same asset against other quote assets"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, browser_path: str) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("controls"), browser_path) as made:
        yield made


def choose(page: Page, placeholder: str, what: str) -> None:
    """Add a choice to a widget of several."""
    page.get_by_placeholder(placeholder).fill(what)
    page.locator(".choices__list--dropdown .choices__item:visible", has_text=what).first.click()


def legend(page: Page, title: str) -> list[str]:
    """Return what the legend of a plot names."""
    named: list[str] = page.evaluate(
        """title => {
            const made = Bokeh.index.query_one(({model}) =>
                model.type === "Figure" && model.title.text.startsWith(title));
            const parts = made ? [...made.model.center, ...made.model.right] : [];
            const items = parts.find(({type}) => type === "Legend")?.items ?? [];
            return items.filter(({visible}) => visible).map(({label}) => label.value);
        }""",
        title,
    )
    return sorted(named)


def test_compare_shows_the_sources_quote_assets_and_parameters_that_are_chosen(
    served: Served,
) -> None:
    page = served.open("?layout=compare&instrument=binance+BTC-USDT", height=1000)
    until(lambda: len(legend(page, "Rows a second")) == 6, "the lines of all sources")
    choose(page, SOURCES, "kraken BTC-USD")
    two = ["binance BTC-USDT", "kraken BTC-USD"]
    until(lambda: legend(page, "Rows a second") == two, "the chosen source and the page's own")

    legs = page.locator(".panel", has_text="Legs of BTC-USDT")
    assert legs.locator("tbody tr").count() == 1
    choose(page, OTHERS, "BTC-USD")
    legs.locator("tr", has_text="coinbase").wait_for()
    until(lambda: "kraken BTC-USD" in legend(page, "Mid of each venue"), "a line of another asset")

    page.get_by_label("Instrument").select_option("kraken BTC-USD")
    told = page.locator(".panel", has_text="HYPOTHETICAL")
    # The simulated venues' prices are apart by more than nothing every now and then.
    page.get_by_label("threshold, bps").fill("0")
    page.get_by_label("threshold, bps").press("Tab")
    told.filter(has_text="the strategy saw").wait_for()
    page.get_by_label("size of each").fill("7")
    page.get_by_label("size of each").press("Tab")
    told.filter(has_text="if each had been had for 7 BTC").wait_for()
    page.get_by_label("threshold, bps").fill("9999")
    page.get_by_label("threshold, bps").press("Tab")
    told.filter(has_text="no bid stood 9999 bps above another venue's ask").wait_for()
    page.close()
    assert served.wrong == []


def test_a_replay_is_stepped_and_has_another_recording_beside_it(served: Served) -> None:
    with recordings.open_recording(served.folder, served.recording) as recording:
        first, last = (pd.Timestamp(at, tz="UTC").isoformat() for at in recording.span_ns)
    (served.folder / "part").mkdir()
    place = ("--out", served.folder / "part" / "part.duckdb", "--recordings", served.folder)
    command = ("clip", served.recording, "--from", first, "--to", last, *place)
    subprocess.run([sys.executable, "-m", "monitor.cli", *command], check=True)
    page = served.open(f"?source={served.recording}&speed=0.1%C3%97&layout=watch")
    told = page.locator(".bar.replaying")
    page.get_by_role("button", name="Pause").click()
    told.filter(has_text="paused").wait_for()
    before = told.inner_text()
    page.get_by_role("button", name="Step").click()
    until(lambda: told.inner_text() != before, "another position")
    told.filter(has_text="paused").wait_for()
    assert drawn(page, "Price") is not None
    choose(page, "other recordings", "part")
    told.filter(has_text="part").wait_for()
    page.close()
    assert served.wrong == []


def test_times_keys_and_statements_are_had_by_a_click(served: Served) -> None:
    page = served.open("?layout=sql&tz=Asia/Tokyo")
    page.get_by_title("Write times in UTC").click()
    page.wait_for_url(lambda url: "Asia" not in url)
    page.get_by_title("What keys do").click()
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    page.locator("select", has_text="Snippets").select_option("Spread by venue")
    page.get_by_role("button", name="Run", exact=True).click()
    rows = page.locator("tr", has_text="coinbase")
    rows.first.wait_for()
    page.close()
    assert served.wrong == []


def test_the_recorder_panel_tells_its_pace_and_what_the_disk_has_left(served: Served) -> None:
    page = served.open("?layout=health")
    panel = page.locator(".panel", has_text="unrecorded rows")
    names = panel.locator("th").all_inner_texts()

    def told() -> dict[str, str] | None:
        cells = dict(zip(names, panel.locator("td").all_inner_texts(), strict=False))
        return None if "–" in cells.values() else cells

    found = until(told, "a pace and a free disk")
    assert found["state"] == "● recording"
    assert float(found["rows/s"].replace(",", "")) > 0
    free_gb = shutil.disk_usage(served.folder).free / 2**30
    amount, unit = found["disk free"].split()
    shown_gb = float(amount.replace(",", "")) / (1 if unit == "GB" else 1024)
    assert abs(shown_gb - free_gb) < 2
    assert found["unrecorded rows"] == "0"
    page.close()
    assert served.wrong == []
