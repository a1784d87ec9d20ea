"""The tab Watch: the table of all sources, and the plots of the chosen instrument."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import panel as pn

from monitor.hub import Hub, Instrument
from monitor.page.layouts import Shared, stages
from monitor.page.views import style, tables
from monitor.page.views.grid import Grid
from monitor.page.views.latency import Latency
from monitor.page.views.plot import Plot
from monitor.page.views.price import Price
from monitor.page.views.sizes import Sizes
from monitor.page.views.spread import Spread
from monitor.state import Stage

TABLE_EVERY_S = 0.5


class Watch:
    """The watch list, the plots of the chosen instrument, and the last faults."""

    title = "Watch"

    def __init__(
        self, shared: Shared, drawn: Stage, on_choose: Callable[[Instrument], None]
    ) -> None:
        self._tables_s, self._turn = 0.0, 0
        self._shown: tuple[Any, ...] = ()
        self._grid = Grid(on_choose)
        self.plots: list[Plot] = [
            *(
                Price(),
                Spread(),
                Latency(lambda hub: hub is shared.hub, stages(shared, drawn)),
                Sizes(),
            )
        ]
        self._tables: list[tuple[Any, Callable[[Hub], str]]] = [
            (style.html(), view) for view in (tables.signals, tables.events)
        ]
        price, spread, latency, sizes = (plot.pane for plot in self.plots)
        plots = (price, style.side_by_side(spread, latency, css=style.PAIR_CSS), sizes)
        self.view = pn.Column(
            self._grid,
            style.side_by_side(
                pn.Column(*plots, sizing_mode="stretch_width"),
                pn.Column(*(pane for pane, _ in self._tables), sizing_mode="stretch_width"),
            ),
            sizing_mode="stretch_width",
        )

    def refresh(self, hub: Hub, instrument: Instrument | None) -> None:
        # Redrawing a plot is a browser's most expensive work: price is redrawn every time, the
        # other plots in turn.
        self._turn = (self._turn + 1) % (len(self.plots) - 1)
        shown = (id(hub), hub.epoch, instrument)
        few = (self.plots[0], self.plots[1 + self._turn])
        for plot in few if shown == self._shown else self.plots:
            plot.refresh(hub, instrument)
        if shown[:2] != self._shown[:2]:
            self._tables_s = 0.0
        self._shown = shown
        if time.monotonic() - self._tables_s >= TABLE_EVERY_S:
            self._tables_s = time.monotonic()
            self._grid.refresh(hub, instrument)
            for pane, view in self._tables:
                html = view(hub)
                if pane.object != html:
                    pane.object = html
