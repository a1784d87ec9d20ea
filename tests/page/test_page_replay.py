"""A replay in the layouts: each shows the recorded moment, and another one behind a seek."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from playwright.sync_api import Page
from support.running import until
from support.served_page import Served, drawn, serving

from monitor import recordings
from monitor.page.views.heatmap import SLICE_NS
from monitor.rows.batches import DUPLICATE, KINDS, LAST

pytestmark = pytest.mark.browser

SECONDS = 14
HERE = f"venue = 'binance' AND symbol = 'BTC-USDT' AND flags & {DUPLICATE} = 0"
# Elements of the heat map and of the candles, by number.
HEAT_ASKS, HEAT_BID, FORMING = 1, 2, 3
# A float, so that a time is rounded here as it is for a browser.
MS = 1e6
S = 1_000_000_000
# A click on the mini-map is as exact as its pixels.
NEAR = 0.01


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, browser_path: str) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("replay"), browser_path, SECONDS) as made:
        yield made


class Told:
    """A recording's own answers."""

    def __init__(self, served: Served) -> None:
        self._served = served
        with recordings.open_recording(served.folder, served.recording) as recording:
            self.first_ns, self.last_ns = recording.span_ns

    def rows(self, statement: str) -> list[dict[str, Any]]:
        served = self._served
        with recordings.open_recording(served.folder, served.recording) as recording:
            return [row for table in recording.select(statement) for row in table.to_pylist()]

    def upto(self, at_ns: int) -> str:
        """The condition for rows up to a moment: those before the first row that came later."""
        kinds = " UNION ALL ".join(
            f"SELECT min(ord) AS o FROM {kind} WHERE epoch_ns(ts_recv) > {at_ns}"
            for kind in KINDS
            if kind != "signal"
        )
        (row,) = self.rows(f"SELECT min(o) AS below FROM ({kinds})")
        return "true" if row["below"] is None else f"ord < {row['below']}"

    def newest(self, at_ns: int) -> int:
        """When the last row up to a moment came."""
        kinds = " UNION ALL ".join(f"SELECT ts_recv FROM {kind}" for kind in KINDS)
        (row,) = self.rows(
            f"SELECT max(epoch_ns(ts_recv)) AS at FROM ({kinds}) WHERE epoch_ns(ts_recv) <= {at_ns}"
        )
        return int(row["at"])

    def book(self, at_ns: int) -> dict[str, Any]:
        """The last book snapshot up to a moment."""
        return self.rows(
            "SELECT epoch_ns(ts_recv) AS at, bid_prices, bid_sizes, ask_prices, ask_sizes"
            f" FROM depth WHERE {HERE} AND {self.upto(at_ns)} ORDER BY ord DESC LIMIT 1"
        )[0]

    def quote(self, at_ns: int, venue: str, symbol: str) -> dict[str, Any]:
        """The last quote up to a moment."""
        return self.rows(
            "SELECT epoch_ns(ts_recv) AS at, bid, ask FROM quote WHERE origin = 'native'"
            f" AND venue = '{venue}' AND symbol = '{symbol}' AND flags & {DUPLICATE} = 0"
            f" AND {self.upto(at_ns)} ORDER BY ord DESC LIMIT 1"
        )[0]

    def trades(self, at_ns: int) -> list[dict[str, Any]]:
        """All trades up to a moment, the newest first."""
        return self.rows(
            f"SELECT epoch_ns(ts_recv) AS at, price, size, side FROM trade WHERE {HERE}"
            f" AND {self.upto(at_ns)} ORDER BY ord DESC"
        )


def position_ns(page: Page) -> int:
    """Where the replay is, as its banner says: to the end of that microsecond."""
    day, time_of_day, *_ = page.locator(".bar.replaying .muted").inner_text().split()
    return int(np.datetime64(f"{day}T{time_of_day}", "ns").astype(int)) + 999


def open_paused(served: Served, layout: str, instrument: str) -> Page:
    page = served.open(
        f"?source={served.recording}&layout={layout}&instrument={instrument}&speed=0.1%C3%97"
    )
    page.get_by_role("button", name="Pause", exact=True).click()
    page.wait_for_selector("text=/REPLAY .* paused/")
    return page


def seek(page: Page, told: Told, share: float) -> int:
    """Click on the mini-map, and return the moment that the banner tells then."""
    canvas = page.get_by_role("slider", name="Position")
    box = canvas.bounding_box()
    assert box is not None
    canvas.click(position={"x": box["width"] * share, "y": 20})
    span = told.last_ns - told.first_ns
    until(
        lambda: abs((position_ns(page) - told.first_ns) / span - share) < NEAR,
        "the moment that was clicked on",
    )
    return position_ns(page)


def columns(page: Page, title: str, element: int) -> dict[str, list[Any]]:
    plot = drawn(page, title)
    return plot.sources[element] if plot else {}


def shows(page: Page, title: str, element: int, wanted: dict[str, list[Any]]) -> None:
    """Wait until an element of a plot ends with these values."""
    count = len(next(iter(wanted.values())))

    def does() -> bool:
        there = columns(page, title, element)
        return {name: there.get(name, [])[-count:] for name in wanted} == wanted

    until(does, f"{wanted} at the end of {title}")


def floats(texts: list[str]) -> list[float]:
    return [float(text.replace(",", "")) for text in texts]


def test_micro_structure_shows_the_recorded_moment_and_another_behind_a_seek(
    served: Served,
) -> None:
    told = Told(served)
    page = open_paused(served, "micro-structure", "binance+BTC-USDT")
    prices = page.locator(".ladder tr.best td:nth-child(2)")
    cells = page.locator(".fill:not(.ladder) tbody tr").first.locator("td")
    for share in (0.75, 0.4):
        at_ns = seek(page, told, share)
        book, trades = told.book(at_ns), told.trades(at_ns)
        best = [book["ask_prices"][0], book["bid_prices"][0]]
        until(lambda best=best: floats(prices.all_inner_texts()) == best, f"a ladder of {best}")
        newest = [trades[0]["price"], trades[0]["size"]]
        until(
            lambda newest=newest: floats(cells.all_inner_texts()[1:3]) == newest, "the last trade"
        )
        assert trades[0]["side"] in cells.first.inner_text()
        for element, side in enumerate(("bid", "ask")):
            levels = {"price": book[f"{side}_prices"], "size": book[f"{side}_sizes"]}
            shows(page, "Depth", element, {name: levels[name][:20] for name in levels})

        second = trades[0]["at"] // S * S
        bar = [trade["price"] for trade in trades if trade["at"] >= second][::-1]
        wanted = {"open": bar[0], "high": max(bar), "low": min(bar), "close": bar[-1]}
        wanted |= {"time": second / MS, "trades": len(bar)}
        shows(page, "Candles", FORMING, {name: [value] for name, value in wanted.items()})

        # The last slice that is over by the rows' own time.
        slice_ns = told.newest(at_ns) // SLICE_NS * SLICE_NS - SLICE_NS
        before = told.book(slice_ns + SLICE_NS - 1)
        levels = {"price": before["ask_prices"][:20], "size": before["ask_sizes"][:20]}
        shows(page, "Order book", HEAT_ASKS, levels | {"time": [slice_ns / MS] * 20})
        quote = told.quote(at_ns, "binance", "BTC-USDT")
        shows(page, "Order book", HEAT_BID, {"bid": [quote["bid"]], "time": [quote["at"] / MS]})
        assert page.locator(".bar.replaying").is_visible()
    page.close()
    assert served.wrong == []


def test_compare_shows_the_recorded_moment_and_goes_round_in_a_loop(served: Served) -> None:
    told = Told(served)
    page = open_paused(served, "compare", "kraken+BTC-USD")
    for share in (0.75, 0.4):
        at_ns = seek(page, told, share)
        rows = page.locator("tr:has(.swatch):visible")
        for element, venue in enumerate(("coinbase", "kraken")):
            quote = told.quote(at_ns, venue, "BTC-USD")
            mid = {"y": [(quote["bid"] + quote["ask"]) / 2], "time": [quote["at"] / MS]}
            shows(page, "Mid of each venue", element, mid)
            cells = rows.nth(element).locator("td")
            until(
                lambda cells=cells, quote=quote: (
                    floats(cells.all_inner_texts()[2:4]) == [quote["bid"], quote["ask"]]
                ),
                f"the quote of {venue} in the table",
            )
        assert page.locator(".bar.replaying").is_visible()

    page.get_by_text("Loop from here").click()
    page.get_by_text("Loop to here").wait_for()
    from_ns = position_ns(page)
    to_ns = seek(page, told, 0.55)
    page.get_by_text("Loop to here").click()
    page.wait_for_selector("text=/in a loop/")
    page.get_by_label("Speed").select_option("10×")
    page.get_by_role("button", name="Play", exact=True).click()
    seen: list[int] = []

    def goes_round() -> bool:
        seen.append(position_ns(page))
        return sum(after < before for before, after in pairwise(seen)) >= 3

    until(goes_round, "three rounds")
    page.get_by_role("button", name="Pause", exact=True).click()
    page.wait_for_selector("text=/REPLAY .* paused/")
    assert from_ns - S < min(seen) and max(seen) <= to_ns + S
    at_ns = position_ns(page)
    quote = told.quote(at_ns, "kraken", "BTC-USD")
    shows(page, "Mid of each venue", 1, {"time": [quote["at"] / MS]})
    page.close()
    assert served.wrong == []


def test_another_recording_beside_it_and_a_reload_leave_a_replay_where_it_is(
    served: Served,
) -> None:
    told = Told(served)
    ends = (f"{np.datetime64(at, 'ns')}Z" for at in (told.first_ns, told.last_ns))
    (served.folder / "beside").mkdir()
    out = ("--out", served.folder / "beside" / "beside.duckdb", "--recordings", served.folder)
    command = ("clip", served.recording, "--from", next(ends), "--to", next(ends), *out)
    subprocess.run([sys.executable, "-m", "monitor.cli", *command], check=True)
    page = open_paused(served, "health", "binance+BTC-USDT")
    at_ns = seek(page, told, 0.6)
    page.locator(".choices").first.click()
    page.locator(".choices__item--choice", has_text="beside").click()
    page.wait_for_selector("text=/REPLAY .* \\+ beside . paused/")
    assert position_ns(page) == at_ns
    # Every row comes twice: since the recordings' start, not since a minute before.
    (counted,) = told.rows(
        "SELECT count(*) AS n FROM (SELECT ord FROM quote UNION ALL SELECT ord FROM trade"
        f" UNION ALL SELECT ord FROM book WHERE flags & {LAST} > 0)"
        f" WHERE {told.upto(at_ns)}"
    )
    page.wait_for_selector(f"text={2 * counted['n']:,} updates")

    page.wait_for_url(lambda url: "paused=1" in url and "beside" in url)
    before_s = (at_ns - told.first_ns) / S
    page.reload()
    page.wait_for_selector("text=/REPLAY .* \\+ beside . paused/")
    # The address tells it to the ms.
    until(lambda: abs((position_ns(page) - told.first_ns) / S - before_s) < 0.002, "the place")
    page.close()
    assert served.wrong == []


def test_a_link_brings_back_a_loop_and_a_click_out_of_it_ends_it(served: Served) -> None:
    told = Told(served)
    page = served.open(f"?source={served.recording}&paused=1&at=3&loop=2.5,4&tz=Asia/Tokyo")
    page.wait_for_selector("text=/REPLAY .* paused .* in a loop/")
    page.get_by_text("End the loop").wait_for()
    tokyo = datetime.fromtimestamp(told.first_ns / 1e9 + 3, ZoneInfo("Asia/Tokyo"))
    shown = page.locator(".bar.replaying .muted")
    shown.filter(has_text=f"{tokyo:%Y-%m-%d %H:%M:%S}").filter(has_text="Asia/Tokyo").wait_for()
    canvas = page.get_by_role("slider", name="Position")
    box = canvas.bounding_box()
    assert box is not None
    canvas.click(position={"x": box["width"] * 0.8, "y": 20})
    page.get_by_text("Loop from here").wait_for()
    page.wait_for_url(lambda url: "loop" not in url)
    page.close()
    assert served.wrong == []
