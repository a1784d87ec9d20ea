"""The four plots of Watch drawn the plain way, by `hv.streams.Buffer`: what bench_page compares.

Everything but the drawing is the product's own: the follower, the hub, which rows each plot gets
and how they are thinned.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
import panel as pn

from monitor.collector.follower import Follower
from monitor.graph.pipeline import Graph
from monitor.hub.hub import Hub, Instrument
from monitor.page.views.price import trades_by_side
from monitor.page.views.thinning import thin
from monitor.processes import locks
from monitor.state.rings import Columns

EVERY_MS, ROWS = 100, 6_000
TELLING = ("bid", "ask", "price", "size")


def hub() -> Hub:
    """Return the process's one hub, which a follower fills."""
    if "hub" not in pn.state.cache:
        made = pn.state.cache["hub"] = Hub()
        folder = Path(os.environ["MONITOR_RECORDINGS"])
        follower = Follower(
            lambda: locks.holder(folder),
            Graph({"hub": made}, []).emit,
            lambda held, in_force: made.reset(),
        )
        pn.state.cache["follower"] = follower
        follower.start()
    found: Hub = pn.state.cache["hub"]
    return found


def drawn(name: str, element: Any) -> tuple[Any, Any]:
    """Return a buffer of `time` and one value, and what HoloViews draws of it."""
    empty = pd.DataFrame({"time": pd.to_datetime([]), name: np.array([], float)})
    buffer = hv.streams.Buffer(empty, length=ROWS, index=False)
    plot = hv.DynamicMap(
        lambda data: element(data, "time", name).opts(responsive=True, height=250),
        streams=[buffer],
    )
    return buffer, plot


class Plain:
    """The plots of one viewer."""

    def __init__(self) -> None:
        lines = ("bid", "ask", "mid", "bps", "bid_size", "ask_size")
        made = {name: drawn(name, hv.Curve) for name in lines}
        made |= {name: drawn(name, hv.Scatter) for name in ("buy", "sell", "quote_ms", "trade_ms")}
        self._buffers = {name: buffer for name, (buffer, _) in made.items()}
        of = {name: plot for name, (_, plot) in made.items()}
        plots = (
            of["bid"] * of["ask"] * of["mid"] * of["buy"] * of["sell"],
            of["bps"],
            of["quote_ms"] * of["trade_ms"],
            of["bid_size"] * of["ask_size"],
        )
        self.view = pn.Column(*(pn.pane.HoloViews(plot) for plot in plots), width=1500)
        self._cursors = {"quote": 0, "trade": 0}

    def refresh(self, instrument: Instrument) -> None:
        rows = {}
        for kind, cursor in self._cursors.items():
            self._cursors[kind], columns = hub().since(kind, instrument, cursor)
            telling = [columns[name] for name in TELLING if name in columns]
            rows[kind] = thin(columns, telling) if telling else {}
        if quotes := rows["quote"]:
            bid, ask = quotes["bid"], quotes["ask"]
            values = {
                **{"bid": bid, "ask": ask, "mid": (bid + ask) / 2},
                **{"bps": (ask - bid) / (ask + bid) * 2e4, "quote_ms": quotes["latency_ms"]},
                **{name: quotes[name] for name in ("bid_size", "ask_size")},
            }
            for name, column in values.items():
                self._send(name, quotes, column)
        if trades := rows["trade"]:
            self._send("trade_ms", trades, trades["latency_ms"])
            sides = trades_by_side(trades, 0)
            for at, name in enumerate(("buy", "sell")):
                if at in sides:
                    self._send(name, {"ts_recv": sides[at]["time"]}, sides[at]["price"])

    def _send(self, name: str, rows: Columns, values: Any) -> None:
        known = np.isfinite(values)
        times = pd.to_datetime(rows["ts_recv"][known])
        if len(times):
            self._buffers[name].send(pd.DataFrame({"time": times, name: values[known]}))


def build() -> None:
    pn.extension()
    hv.extension("bokeh")
    plain = Plain()

    def refresh() -> None:
        known = hub().instruments()
        if known:
            plain.refresh(known[0])

    pn.state.onload(lambda: pn.state.add_periodic_callback(refresh, period=EVERY_MS))
    plain.view.servable()


if pn.state.served:
    build()
