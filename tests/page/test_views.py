"""What the views make of rows: candles as SQL has them, legs by hand, and exact text."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import panel as pn
import pytest
from bokeh.document import Document
from support.made_rows import batch_of, ignore
from support.statements import ask
from support.views import HERE, START, WHAT_IF, Row, Rows, S, cut, fed, sources_of, trades

from monitor.hub.hub import Hub, Instrument
from monitor.page.views.candle_plot import Candles
from monitor.page.views.cross_venue_spread import BEST, CrossVenue
from monitor.page.views.heatmap import SLICE_NS, HeatMap
from monitor.page.views.legs import shares
from monitor.page.views.plot import Plot
from monitor.page.views.price import Price
from monitor.page.views.rates import Rates
from monitor.page.views.time_and_sales import Tape
from monitor.page.views.what_if import Parameters, WhatIf
from monitor.recordings.recorder import Recorder
from monitor.rows.batches import BACKFILL, INVALID, REST, SCHEMAS, Batch
from monitor.state.rings import DEPTH_ROWS, Columns, Ring


class Busy(Hub):
    """Takes a batch whenever a view has read some of it, as one that a replay fills does."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        super().__init__()
        self._batches = batches
        self(next(batches))

    def since(self, kind: str, instrument: Instrument, cursor: int) -> tuple[int, Columns]:
        found = super().since(kind, instrument, cursor)
        for batch in itertools.islice(self._batches, 1):
            self(batch)
        return found


def read_while_fed(rows: list[Row], cuts: int) -> Iterator[Hub]:
    """Yield a busy hub until nothing comes any more."""
    yield from itertools.repeat(Busy(cut(rows, cuts)), cuts + 2)


@pytest.mark.parametrize("interval_s", [1, 5, 60, 300])
def test_candles_are_the_bars_of_sql_wherever_batches_are_cut(
    tmp_path: Path, interval_s: int
) -> None:
    rows = trades()
    recorder = Recorder(tmp_path / "one", ["test:X"], ignore)
    recorder.start()
    recorder(batch_of(rows))
    recorder.close()
    view, ns = "bars_1s" if interval_s < 60 else "bars_1m", interval_s * S
    wanted = ask(
        tmp_path,
        f"SELECT make_timestamp_ns(epoch_ns(start) // {ns} * {ns}) AS start,"
        " arg_min(open, start) AS open, max(high) AS high, min(low) AS low,"
        " arg_max(close, start) AS close, sum(volume) AS volume, sum(trades)::BIGINT AS trades"
        f" FROM {view} GROUP BY ALL ORDER BY 1",
    )
    assert len(wanted) > 2
    for hub in fed(rows, 23):
        # Somebody who looks meanwhile changes nothing.
        hub.candles(HERE, 5, 0)
    _, bars = hub.candles(HERE, interval_s, 0)
    for name in ("start", "open", "high", "low", "close", "trades"):
        assert bars[name].tolist() == [bar[name] for bar in wanted], name
    assert bars["volume"].tolist() == pytest.approx([bar["volume"] for bar in wanted])


def test_a_drawn_candle_changes_with_a_trade_that_comes_late() -> None:
    view = Candles()
    view.make()
    view.pane.get_root()
    for hub in fed(trades(), 60):
        view.refresh(hub, HERE)
    _, bars = hub.candles(HERE, 1, 0)
    closed, forming = (dict(view.renderers[at].data_source.data) for at in (2, 3))
    order = np.argsort(closed["time"])
    for name in ("open", "high", "low", "close", "volume", "trades"):
        seen = [*np.asarray(closed[name])[order], *forming[name]]
        assert seen == bars[name].tolist(), name


def test_the_y_axis_fits_the_minute_in_view_and_nothing_of_before() -> None:
    make = Rows()
    rows = [
        make("quote", seconds, bid=price - 1, ask=price, origin="native")
        for seconds, price in ((0, 9.0), (1, 500.0), (2, 20.0), (65, 21.0), (70, 24.0), (130, 22.0))
    ]
    view = Price()
    view.make()
    view.pane.get_root()
    fits = []
    for hub in fed(rows, len(rows)):
        view.refresh(hub, HERE)
        (fitted,) = view.figure.y_range.renderers
        fits.append(tuple(fitted.data_source.data["y"]))
    # Of second 70 on, the last minute has those of 65 and 70; of second 130, those of 70 and 130.
    wanted = [(8, 9), (8, 500), (8, 500), (20, 21), (20, 24), (21, 24)]
    assert fits == wanted


def test_the_volume_axis_fits_the_bars_in_view_and_nothing_of_before() -> None:
    make = Rows()
    # The last second has no end yet: its bar is forming.
    sizes = {0.5: 5.0, 1.5: 900.0, 2.5: 4.0, 3.5: 7.0, 61.0: 6.0, 63.0: 6.0, 64.0: 8.0}
    rows = [make("trade", seconds, price=9.0, size=size) for seconds, size in sizes.items()]
    view = Candles()
    view.make()
    view.pane.get_root()
    highest = [5, 900, 900, 900, 900, 7, 8]
    for hub, wanted in zip(fed(rows, len(rows)), highest, strict=True):
        view.refresh(hub, HERE)
        axis = view.figure.extra_y_ranges["volume"]
        assert axis.start == 0
        # Volumes have the lowest fifth, more or less.
        assert 0.7 <= 5 * wanted / axis.end <= 1


@pytest.mark.parametrize("make", [Price, Candles, HeatMap])
def test_a_plot_that_nobody_has_any_more_is_gone(make: Callable[[], Plot]) -> None:
    view, document = make(), Document()
    view.make()
    root = view.pane.get_root(document)
    for hub in fed(trades(), 20):
        view.refresh(hub, HERE)
    left = [weakref.ref(kept) for kept in (view, view.figure)]
    # As at the end of a session.
    pn.state._views.pop(root.ref["id"])
    view.pane._cleanup(root)
    document.clear()
    del view, root, document
    gc.collect()
    assert [ref() for ref in left if ref() is not None] == []


@pytest.mark.parametrize("hubs", [fed, read_while_fed])
def test_the_heat_map_holds_the_last_book_of_every_half_second(
    hubs: Callable[[list[Row], int], Iterator[Hub]],
) -> None:
    random, make, rows, books = np.random.default_rng(7), Rows(), [], {}
    for tick in range(0, 200):
        seconds = tick / 10 + 0.03
        if tick == 150:
            rows.append(make("quote", seconds, origin="native", flags=INVALID))
        if 60 < tick < 75 or tick > 149:
            rows.append(make("clock", seconds, "monitor", offset_ns=0))
            continue
        price = round(100 + random.normal(), 2)
        asks = [round(price + 0.1 * (n + 1), 2) for n in range(3)]
        sizes = {"bid_sizes": [1.0, 2.0], "ask_sizes": [tick + 1.0, 1.0, 3.0]}
        prices = {"bid_prices": [price, price - 0.5], "ask_prices": asks}
        rows.append(make("quote", seconds, bid=price, ask=asks[0], origin="native"))
        rows.append(make("depth", seconds, **prices, **sizes))
        books[tick] = list(zip(asks, sizes["ask_sizes"], strict=True))
    view = HeatMap()
    view.make()
    view.pane.get_root()
    for hub in hubs(rows, 40):
        view.refresh(hub, HERE)
    data = view.renderers[1].data_source.data
    seen: dict[float, list[tuple[float, float]]] = {}
    for time, price, size in zip(data["time"], data["price"], data["size"], strict=True):
        seen.setdefault(time, []).append((price, size))
    wanted = {}
    for slice_ in range(39):
        last = max((tick for tick in books if tick / 10 + 0.03 < (slice_ + 1) / 2), default=None)
        if last is not None and (slice_ + 1) / 2 <= 15.03:
            wanted[(START + slice_ * SLICE_NS) / 1e6] = books[last]
    assert seen == wanted
    assert (np.asarray(data["bottom"]) < np.asarray(data["price"])).all()
    assert (np.asarray(data["top"]) > np.asarray(data["price"])).all()


def test_legs_share_the_last_minute_by_time_and_a_stale_one_has_no_part() -> None:
    make = Rows()
    rows = [
        make("quote", 0, "binance", bid=100.0, ask=102.0, origin="native"),
        make("quote", 0, "kraken", bid=99.0, ask=101.0, origin="native"),
        make("quote", 1, "binance", bid=100.0, ask=100.5, origin="native"),
        make("quote", 2, "kraken", bid=100.25, ask=101.0, origin="native"),
        # Binance's last counts until 3, Kraken's until 4; then nobody's.
        make("quote", 6, "binance", bid=100.0, ask=102.0, origin="native"),
        make("clock", 8, "monitor", offset_ns=0),
    ]
    (hub,) = fed(rows)
    seconds, (binance, kraken) = shares(hub, [("binance", HERE[1]), HERE], 2 * S)
    assert seconds == 8
    assert binance == pytest.approx((4 / 8, 4 / 8, 3 / 8))
    assert kraken == pytest.approx((2 / 8, 2 / 8, 4 / 8))


def test_alerts_of_hooks_are_marks_beside_those_of_status() -> None:
    make = Rows()
    told = {"hook": "h", "origin": "recorded", "cause_ord": 0}
    signals = []
    for level in ("info", "warn", "alert"):
        _, row = make("signal", 1, level=level, text=f"<{level}>", **told)
        signals.append(("signal", {n: row[n] for n in SCHEMAS["signal"].names}))
    status = make(
        "status", 2, kind="gap", scope="symbol", state="connected", detail="lost", count=3
    )
    (hub,) = fed([*signals, status])
    _, marks = hub.marks()
    assert [(mark.kind, mark.text) for mark in marks] == [
        ("warn", "h: <warn> (recorded)"),
        ("alert", "h: <alert> (recorded)"),
        ("gap", "lost (3)"),
    ]


def test_time_and_sales_tell_the_newest_trades_in_full() -> None:
    make, tape = Rows(), Tape()
    rows = [
        make("trade", 1, price=68_000.1, size=0.00000123, side="buy", ts_event=START + S),
        make("trade", 2, price=68_000.25, size=2.0, side=None),
    ]
    (hub,) = fed(rows)
    tape.refresh(hub, HERE)
    html = tape.pane.object
    newest, oldest = html.split("<tbody>")[1].split("</tr>")[:2]
    for text in ("68,000.25", "2.00000000", "– none", "22:15:02.000"):
        assert text in newest
    for text in ("68,000.10", "0.00000123", "▲ buy", "22:15:01.000"):
        assert text in oldest


def test_a_backfilled_trade_is_old_news_with_its_own_time_and_no_latency() -> None:
    make = Rows()
    late = {"ts_event": START + 2 * S, "flags": BACKFILL | REST, "side": "buy"}
    rows = [
        make("trade", 1, price=100.0, size=1.0, ts_event=START + S, side="buy"),
        make("trade", 3, price=103.0, size=1.0, ts_event=START + 3 * S, side="buy"),
        make("trade", 5, price=90.0, size=1.0, **late),
    ]
    for hub in fed(rows, cuts=3):
        (source,) = hub.sources()
    assert source.last == 103.0
    _, trades = hub.since("trade", HERE, 0)
    assert np.isfinite(trades["latency_ms"]).tolist() == [True, True, False]
    assert Price().series("trade", trades)[3]["time"].tolist() == [
        START + seconds * S for seconds in (1, 3, 2)
    ]


def test_a_ring_of_books_is_bounded() -> None:
    ring = Ring(DEPTH_ROWS)
    for number in range(3):
        times = np.arange(500) + 500 * number
        ring.extend({"ts_recv": times, "bid_prices": np.tile(times[:, None], 20)})
    kept = ring.since(0)
    assert kept["ts_recv"].tolist() == list(range(1500 - DEPTH_ROWS, 1500))
    assert kept["bid_prices"][:, 19].tolist() == kept["ts_recv"].tolist()


def test_legs_that_are_read_while_quotes_come_are_drawn_in_the_order_of_time() -> None:
    random, make, rows = np.random.default_rng(3), Rows(), []
    for tick in range(300):
        venue = ("binance", "kraken", "coinbase")[int(random.integers(3))]
        # For a while Kraken is silent, and then everybody.
        if (tick > 100 and venue == "kraken") or 200 < tick < 240:
            rows.append(make("clock", tick / 10, "monitor", offset_ns=0))
            continue
        bid = round(100 + random.normal(), 2)
        rows.append(make("quote", tick / 10, venue, bid=bid, ask=bid + 1, origin="native"))
    drawn = []
    for hubs in (fed, read_while_fed):
        view = CrossVenue(2_000, {}, WhatIf(Parameters(1.0, 1_000.0), {}))
        view.make()
        view.pane.get_root()
        for hub in hubs(rows, 60):
            view.refresh(hub, HERE)
        drawn.append(
            [
                {name: list(values) for name, values in renderer.data_source.data.items()}
                for renderer in view.renderers[: BEST + 2]
            ]
        )
    for lines in drawn:
        for line in (line["time"] for line in lines):
            assert line == sorted(line)
        assert len(lines[BEST]["time"]) > 100
    assert str(drawn[1][BEST:]) == str(drawn[0][BEST:])


def test_the_pages_instrument_has_a_line_however_many_sources_there_are() -> None:
    make, venues = Rows(), [f"v{number:02}" for number in range(15)]
    rows = []
    for venue in venues:
        rows.append(make("quote", 1, venue, bid=1.0, ask=2.0, origin="native"))
        rows.append(make("stat", 2, venue, channel="quote", rows=3))
        other = make("stat", 2, venue, channel="quote", rows=3)
        rows.append((other[0], {**other[1], "symbol": "AAA-USD"}))
    (hub,) = fed([*rows, make("clock", 3, "monitor", offset_ns=0)])
    for view, count, left_out in ((Rates(), 12, 18), (CrossVenue(60_000, {}, WHAT_IF), 8, 7)):
        view.make()
        view.pane.get_root()
        assert sources_of(hub, view, ("v00", HERE[1])) == venues[:count]
        assert view.figure.title.text.endswith(f"({left_out} more not shown)")
        assert sources_of(hub, view, ("v14", HERE[1])) == [*venues[: count - 1], "v14"]
        assert {symbol for _, symbol in view.owners} == {HERE[1]}
        # What is chosen is seen alone, beside the page's own.
        view.chosen = frozenset([("v03", HERE[1]), ("v09", HERE[1])])
        assert sources_of(hub, view, ("v14", HERE[1])) == ["v03", "v09", "v14"]
        assert view.figure.title.text == view.title
        drawn = [len(renderer.data_source.data["time"]) for renderer in view.renderers[:count]]
        assert drawn == [1, 1, 1] + [0] * (count - 3)
