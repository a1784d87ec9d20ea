"""Files of the plots in a real browser: the rows in view, exact, and the picture."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Locator, Page
from support.running import until
from support.served_page import Served, drawn, figure, serving

from monitor import recordings
from monitor.rows.batches import DUPLICATE

pytestmark = pytest.mark.browser

PRICE = "Price and trades"
PNG = b"\x89PNG\r\n\x1a\n"
FORMS = ("CSV", "Parquet")
LAYOUTS: dict[str, dict[str, list[str]]] = {
    "watch": {
        PRICE: ["time", "bid", "mid", "ask", "aggressor", "price", "size"],
        "Spread": ["time", "spread"],
        "Latency": ["time", "trades"],
        "Size at the best": ["time", "bid size", "ask size"],
    },
    "micro-structure": {
        "Order book": ["time", "bid", "bid size", "ask", "ask size", "aggressor", "price", "size"],
        "Candles": ["time", "open", "high", "low", "close", "volume", "trades", "bar"],
        "Depth": ["bids", "size", "cumulative", "asks"],
    },
    "compare": {
        "Mid of each venue": ["time", "source", "mid", "bid", "ask", "best bid", "best ask"],
        "Rows a second": ["time", "source", "rows/s"],
        "Latency by source": ["time", "source", "p99", "p50", "max"],
    },
}
HERE = "venue = 'binance' AND symbol = 'BTC-USDT'"
ONCE = f"{HERE} AND flags & {DUPLICATE} = 0"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, browser_path: str) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("save"), browser_path) as made:
        yield made


def replayed(served: Served, layout: str) -> Page:
    """Open a layout on the recording, and wait for its end."""
    query = f"?source={served.recording}&speed=max&layout={layout}&instrument=binance+BTC-USDT"
    page = served.open(query, height=1200)
    page.wait_for_selector("text=/REPLAY .* ended/")
    return page


def saved(page: Page, plot: Locator, what: str, to: Path) -> Path:
    """Click the tool of a plot that saves something; return the file that came."""
    plot.hover()
    with page.expect_download() as started:
        plot.get_by_title(what).click()
    file = to / started.value.suggested_filename
    started.value.save_as(file)
    return file


def read_csv(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def ask(served: Served, statement: str) -> list[dict[str, Any]]:
    with recordings.open_recording(served.folder, served.recording) as recording:
        return [row for table in recording.select(statement) for row in table.to_pylist()]


def ns(text: str) -> int:
    """Read a time of a CSV file."""
    whole, _, part = text.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()) * 10**9 + int(part)


def test_the_rows_in_view_are_saved_to_the_nanosecond(served: Served, tmp_path: Path) -> None:
    page = replayed(served, "watch")
    until(lambda: has_rows(page, PRICE), "rows of the plot")
    whole = drawn(page, PRICE)
    assert whole is not None
    plot = figure(page, PRICE)
    plot.hover()
    page.mouse.wheel(0, -400)  # once: a second turn while the first is drawn may leave no row

    def narrower() -> bool:
        now = drawn(page, PRICE)
        return now is not None and now.end - now.start < whole.end - whole.start

    until(narrower, "a part of the plot")
    before = sorted(served.folder.rglob("*"))
    files = [saved(page, plot, f"Save the rows in view as {n}", tmp_path) for n in FORMS]
    shown = drawn(page, PRICE)
    assert shown is not None
    within = f"{ONCE} AND epoch_ns(ts_recv) / 1e6 BETWEEN {shown.start!r} AND {shown.end!r}"
    quotes = ask(
        served,
        f"SELECT epoch_ns(ts_recv) AS time, bid, ask FROM quote WHERE {within}"
        " AND origin = 'native' ORDER BY ord",
    )
    trades = ask(
        served,
        "SELECT epoch_ns(ts_recv) AS time, price, size, side AS aggressor FROM trade"
        f" WHERE {within} ORDER BY ord",
    )
    assert 0 < len(quotes) < len(ask(served, f"SELECT 1 FROM quote WHERE {ONCE}"))
    text = read_csv(files[0])
    table = pq.read_table(files[1])
    assert list(text[0]) == table.column_names
    assert table.schema.field("time").type.unit == "ns"
    exact = table.set_column(0, "time", table["time"].cast("int64")).to_pylist()
    assert [(ns(row["time"]), row["bid"]) for row in text] == [
        (row["time"], "" if row["bid"] is None else repr(row["bid"])) for row in exact
    ]
    seen_trades = [row for row in exact if row["price"] is not None]
    seen_quotes = [row for row in exact if row["price"] is None]
    for seen, wanted in ((seen_quotes, quotes), (seen_trades, trades)):
        assert [{name: row[name] for name in wanted[0]} for row in seen] == wanted
    assert all(row["mid"] == (row["bid"] + row["ask"]) / 2 for row in seen_quotes)
    assert sorted(served.folder.rglob("*")) == before
    page.close()
    assert served.wrong == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_plot_saves_its_rows_and_its_picture(
    served: Served, layout: str, tmp_path: Path
) -> None:
    page = replayed(served, layout)
    for title, columns in LAYOUTS[layout].items():
        until(partial(has_rows, page, title), f"rows of {title}")
        plot = figure(page, title)
        assert saved(page, plot, "Save the picture as PNG", tmp_path).read_bytes().startswith(PNG)
        rows = read_csv(saved(page, plot, "Save the rows in view as CSV", tmp_path))
        assert list(rows[0]) == columns, title
        if title == "Candles":
            bars = ask(
                served,
                "SELECT epoch_ns(ts_recv) // 1000000000 * 1000000000 AS time,"
                " arg_min(price, ord) AS open, max(price) AS high, min(price) AS low,"
                " arg_max(price, ord) AS close, count(*) AS trades"
                f" FROM trade WHERE {ONCE} GROUP BY 1 ORDER BY 1",
            )
            for row, bar in zip(rows, bars, strict=True):
                told = {name: float(row[name]) for name in list(bar)[1:]}
                assert {"time": ns(row["time"]), **told} == bar
    page.close()
    assert served.wrong == []


def has_rows(page: Page, title: str) -> bool:
    """Tell whether a plot has something to draw: what is there before has NaN for all numbers."""
    plot = drawn(page, title)
    sources = plot.sources if plot else []
    rows = [source for source in sources if source.keys() != {"time", "text"}]
    values = [value for source in rows for column in source.values() for value in column]
    return any(isinstance(value, int | float) and not math.isnan(value) for value in values)
