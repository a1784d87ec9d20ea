"""Sources as views feed them: never longer than their rollover, and in the order of time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bokeh.document import Document
from bokeh.document.events import ColumnsPatchedEvent
from bokeh.models import ColumnDataSource
from hypothesis import given
from hypothesis import strategies as st
from support.made_rows import batch_of
from support.views import HERE, Rows, S, cut, fed

from monitor.hub.hub import Hub
from monitor.page.views.candle_plot import Candles
from monitor.page.views.plot import ROLLOVER_ROWS, Plot
from monitor.page.views.price import Price
from monitor.page.views.spread import Spread
from monitor.page.views.streaming import extend, fill
from monitor.state.rings import WINDOW_ROWS

Parts = list[list[int]]


@given(st.lists(st.lists(st.integers(0, 50), max_size=9), min_size=1), st.integers(1, 20))
def test_a_source_has_the_last_rows_in_order_however_they_come(parts: Parts, most: int) -> None:
    source = ColumnDataSource({"time": [], "text": []})
    kept: list[tuple[int, str]] = []
    number = 0
    for turn, part in enumerate(parts):
        rows = [(at, f"{number + of}") for of, at in enumerate(part)]
        number += len(part)
        columns = {
            "time": np.array([at for at, _ in rows], float),
            "text": np.array([text for _, text in rows], object),
        }
        if turn == 0:
            fill(source, columns, most, "time")
        elif rows:
            extend(source, columns, most, "time")
        # Rows of one time stay in the order in which they came.
        kept = sorted([*kept, *rows], key=lambda row: row[0])[-most:]
        assert list(source.data["time"]) == [at for at, _ in kept]
        assert list(source.data["text"]) == [text for _, text in kept]


def times(view: Plot, at: int) -> list[float]:
    return np.asarray(view.renderers[at].data_source.data["time"]).tolist()


@pytest.mark.parametrize("cuts", [1, 3, 4_000])
def test_a_plot_of_a_full_ring_has_its_last_rows(cuts: int) -> None:
    make = Rows()
    seconds = [at * 0.2 for at in range(WINDOW_ROWS + 500)]
    rows = [make("quote", at, bid=1.0, ask=2.0, origin="native") for at in seconds]
    view = Price()
    view.make()
    view.pane.get_root()
    for hub in fed(rows, cuts):
        view.refresh(hub, HERE)
    wanted = [row["ts_recv"] / 1e6 for _, row in rows[-ROLLOVER_ROWS:]]
    for element in range(3):
        assert times(view, element) == wanted


def test_trades_that_come_late_go_to_their_place_in_time() -> None:
    make = Rows()
    late = {"flags": 2048, "price": 9.0, "size": 1.0, "side": "buy"}
    rows = [make("trade", at, price=10.0, size=1.0, side="buy") for at in (1.0, 2.0, 3.0)]
    rows.append(make("trade", 4.0, ts_event=rows[0][1]["ts_recv"] + S // 2, **late))
    rows.append(make("trade", 5.0, price=11.0, size=1.0, side="buy"))
    view = Price()
    view.make()
    view.pane.get_root()
    for hub in fed(rows, len(rows)):
        view.refresh(hub, HERE)
    data = view.renderers[3].data_source.data
    assert times(view, 3) == sorted(times(view, 3))
    assert list(data["price"]) == [10.0, 9.0, 10.0, 10.0, 11.0]


def test_closed_candles_stay_in_order_when_an_earlier_one_comes_late() -> None:
    make = Rows()
    rows = [make("trade", at, price=10.0, size=1.0, side="buy") for at in (1.0, 2.0, 5.0, 6.0)]
    late = {"flags": 2048, "price": 9.0, "size": 1.0, "side": "buy"}
    rows.append(make("trade", 7.0, ts_event=rows[1][1]["ts_recv"] + S, **late))
    # Another trade of that second changes its bar.
    rows.append(make("trade", 8.0, ts_event=rows[1][1]["ts_recv"] + S, **late))
    view = Candles()
    view.make()
    view.pane.get_root()
    for hub in fed(rows, len(rows)):
        view.refresh(hub, HERE)
    bodies = view.renderers[2].data_source.data
    start = rows[0][1]["ts_recv"] / 1e6
    assert list(bodies["time"]) == [start + 1e3 * at for at in (0, 1, 2, 4)]
    assert list(bodies["trades"]) == [1, 1, 2, 1]


def test_what_a_ring_lost_before_a_plot_read_it_leaves_no_ramp() -> None:
    make, view, hub = Rows(), Spread(), Hub()
    view.make()
    view.pane.get_root()
    quotes = [
        make("quote", at * 0.01, bid=1.0, ask=2.0, origin="native")
        for at in range(2 * WINDOW_ROWS + 200)
    ]
    for batch in cut(quotes[:100], 1):
        hub(batch)
    view.refresh(hub, HERE)
    for batch in cut(quotes[100:], 5):
        hub(batch)
    view.refresh(hub, HERE)
    view.refresh(hub, HERE)
    assert times(view, 0)[0] >= quotes[-WINDOW_ROWS][1]["ts_recv"] / 1e6


def test_a_plot_without_an_instrument_shows_nothing() -> None:
    make, view = Rows(), Price()
    view.make()
    view.pane.get_root()
    (hub,) = fed([make("quote", 1.0, bid=1.0, ask=2.0, origin="native")])
    view.refresh(hub, HERE)
    assert len(times(view, 0)) == 1
    view.refresh(Hub(), None)
    assert [len(times(view, at)) for at in range(5)] == [0] * 5
    view.refresh(hub, HERE)
    assert len(times(view, 0)) == 1


def test_a_forming_candle_that_was_drawn_anew_sends_each_new_value_of_each_element() -> None:
    make, hub, view = Rows(), Hub(), Candles()
    view.make()
    root = view.pane.get_root()

    def trade(at_s: float, price: float) -> None:
        hub(batch_of([make("trade", at_s, price=price, size=1.0, side="buy", trade_id="1")]))
        view.refresh(hub, HERE)

    trade(0.1, 100.0)
    trade(1.1, 100.0)
    view.begin_anew()
    trade(1.2, 101.0)
    assert root.document is None
    document = Document()
    document.add_root(root)
    sent: dict[str, list[Any]] = {}

    def see(event: Any) -> None:
        if isinstance(event, ColumnsPatchedEvent):
            for name, ((_, values),) in event.patches.items():
                sent.setdefault(name, []).append(list(values))

    document.on_change(see)
    trade(1.3, 103.0)
    trade(1.4, 99.0)
    # The wick and the body show the same values, and have each its own.
    assert sent["high"] == sent["to"] == [[103.0]]
    assert sent["low"] == sent["from"] == [[99.0]]
