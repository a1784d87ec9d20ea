"""Watch: every source's state beside the plots of the chosen instrument."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import panel as pn

from monitor.hub import Hub, Instrument
from monitor.views import style, tables
from monitor.views.latency import Latency
from monitor.views.plot import Plot
from monitor.views.price import Price
from monitor.views.sizes import Sizes
from monitor.views.spread import Spread

TABLE_EVERY_S = 0.5


class Watch:
    """Plots of one instrument; tables of all of them."""

    title = "Watch"

    def __init__(self) -> None:
        self._tables_s = 0.0
        self._plots: list[Plot] = [Price(), Spread(), Latency(), Sizes()]
        self._tables: list[tuple[Any, Callable[[Hub], str]]] = [
            (style.html(), view)
            for view in (tables.status, tables.quotes, tables.signals, tables.events)
        ]
        price, spread, latency, sizes = (plot.pane for plot in self._plots)
        self.view = pn.Row(
            pn.Column(price, pn.Row(spread, latency), sizes, sizing_mode="stretch_width"),
            pn.Column(*(pane for pane, _ in self._tables), width=560),
            sizing_mode="stretch_width",
        )

    def refresh(self, hub: Hub, instrument: Instrument | None) -> None:
        if instrument is not None:
            for plot in self._plots:
                plot.refresh(hub, instrument)
        if time.monotonic() - self._tables_s >= TABLE_EVERY_S:
            self._tables_s = time.monotonic()
            for pane, view in self._tables:
                html = view(hub)
                if pane.object != html:
                    pane.object = html
