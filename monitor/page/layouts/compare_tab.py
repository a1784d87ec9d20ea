"""The tab Compare: one symbol across venues; rates and latencies by source."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import panel as pn

from monitor.hub import Hub, Instrument
from monitor.page.views import style
from monitor.page.views.cross_venue_spread import CrossVenue
from monitor.page.views.leg_table import legs
from monitor.page.views.plot import Plot
from monitor.page.views.rates import Latencies, Rates
from monitor.page.views.what_if import Parameters, WhatIf
from monitor.settings import CrossVenueSettings

TABLE_EVERY_S = 1.0
# Labels and least values of the strategy's parameters.
INPUTS = (
    *(("threshold, bps", 0.0), ("quotes fresh for, ms", 1.0)),
    *(("fee a side, bps", -100.0), ("size of each", 0.0)),
)
GRID_CSS = """
:host { display: grid !important; height: calc(100vh - 160px); min-height: 600px;
        grid-template-columns: minmax(0, 1fr) minmax(0, 1fr);
        grid-template-rows: max-content max-content max-content minmax(0, 4fr)
                            minmax(170px, 3fr);
        grid-template-areas: "choice choice" "legs legs" "what what" "mids mids" "rates latency"; }
@media (max-width: 800px) {
  :host { height: auto; grid-template-columns: minmax(0, 1fr);
          grid-template-rows: max-content max-content max-content 320px 260px 260px;
          grid-template-areas: "choice" "legs" "what" "mids" "rates" "latency"; }
}
"""
TABLE_CSS = """
.panel { max-height: 190px; overflow-y: auto; }
.swatch { display: inline-block; width: 22px; margin-right: 8px; vertical-align: middle; }
.best { font-weight: 600; color: var(--ok); }
"""


class Compare:
    """The legs' mids and their table; rates and latencies of all sources."""

    title = "Compare"

    def __init__(self, settings: CrossVenueSettings) -> None:
        self._fresh_ms, self._taken_for = settings.fresh_ms, settings.taken_for
        self._table_s = 0.0
        self._shown: tuple[Any, ...] = ()
        parameters = Parameters(settings.threshold_bps, settings.fresh_ms)
        self._what_if = WhatIf(parameters, settings.taken_for)
        self._mids = CrossVenue(self._fresh_ms, self._taken_for, self._what_if)
        rates, latencies = Rates(), Latencies()
        self._lines = (self._mids, rates, latencies)
        self.plots: list[Plot] = [*self._lines]
        self._legs, self._result = style.html(), style.html()
        self._legs.stylesheets = [*self._legs.stylesheets, TABLE_CSS]
        choice = partial(
            pn.widgets.MultiChoice,
            name="",
            options={},
            margin=(4, 5, 0, 5),
            stylesheets=[style.WIDGET_CSS],
            sizing_mode="stretch_width",
        )
        self._others = choice(placeholder="Lay over the same asset against other quote assets")
        self._others.param.watch(self._lay_over, "value")
        self._sources = choice(placeholder="Lines of all sources: choose here to see only some")
        self._sources.param.watch(self._choose, "value")
        choices = style.side_by_side(self._sources, self._others, css=style.PAIR_CSS)
        what_if = style.side_by_side(self._parameters(), self._result, css=style.PAIR_CSS)
        places = {
            "what": what_if,
            **{"choice": choices, "legs": self._legs, "mids": self._mids.pane},
            **{"rates": rates.pane, "latency": latencies.pane},
        }
        for place, part in places.items():
            part.styles = {"grid-area": place}
        self.view = pn.Column(*places.values(), sizing_mode="stretch_both", stylesheets=[GRID_CSS])

    def refresh(self, hub: Hub, instrument: Instrument | None) -> None:
        if instrument is not None:
            self._offer(hub, instrument)
        for plot in self.plots:
            plot.refresh(hub, instrument)
        shown = (id(hub), hub.epoch, instrument)
        if shown != self._shown:
            self._shown, self._table_s = shown, 0.0
        if instrument is None:
            self._legs.object = self._result.object = ""
        elif time.monotonic() - self._table_s >= TABLE_EVERY_S:
            self._table_s = time.monotonic()
            every = self._mids.all_of_them(hub, instrument)
            settings = (self._fresh_ms, self._taken_for)
            html = legs(hub, every, self._mids.owners, instrument[1], *settings)
            if self._legs.object != html:
                self._legs.object = html
            html = self._what_if.html(instrument[1])
            if self._result.object != html:
                self._result.object = html

    def _parameters(self) -> Any:
        """Make the inputs of the strategy's parameters, for this viewer only."""
        inputs = {
            name: pn.widgets.FloatInput(
                name=label, value=value, start=start, width=110, stylesheets=[style.WIDGET_CSS]
            )
            for (name, value), (label, start) in zip(
                self._what_if.parameters._asdict().items(), INPUTS, strict=True
            )
        }

        def change(_: Any) -> None:
            given = {name: widget.value for name, widget in inputs.items()}
            if None not in given.values():
                self._what_if.parameters = Parameters(**given)
                self._table_s = 0.0

        for widget in inputs.values():
            widget.param.watch(change, "value")
        return style.flowing(*inputs.values())

    def _offer(self, hub: Hub, instrument: Instrument) -> None:
        """Offer all sources, and the other symbols of the same base."""
        sources = style.labels(map(" ".join, hub.instruments()))
        if sources != self._sources.options:
            there = [name for name in self._sources.value if name in sources.values()]
            self._sources.param.update(options=sources, value=there)
        base = instrument[1].partition("-")[0]
        symbols = sorted({symbol for _, symbol in hub.instruments()} - {instrument[1]})
        options = style.labels(
            symbol
            for symbol in symbols
            if symbol.partition("-")[0] == base and not self._mids.is_same(symbol, instrument[1])
        )
        if options != self._others.options:
            kept = [symbol for symbol in self._others.value if symbol in options.values()]
            self._others.param.update(options=options, value=kept)
            self._others.visible = bool(options)

    def _choose(self, event: Any) -> None:
        chosen = frozenset((venue, symbol) for venue, symbol in map(str.split, event.new))
        for lines in self._lines:
            lines.chosen = chosen

    def _lay_over(self, event: Any) -> None:
        self._mids.others = tuple(event.new)
        self._table_s = 0.0
