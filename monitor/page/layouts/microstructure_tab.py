"""The tab Micro-structure: book and trades of one instrument in detail."""

from __future__ import annotations

from typing import Any

import panel as pn

from monitor.hub import Hub, Instrument
from monitor.page.views import style
from monitor.page.views.candle_plot import INTERVALS_S, Candles
from monitor.page.views.depth import DepthCurve
from monitor.page.views.heatmap import HeatMap
from monitor.page.views.ladder import Ladder
from monitor.page.views.plot import Plot
from monitor.page.views.time_and_sales import Tape

# As high as the screen if it is wide; in one column on a narrow one.
GRID_CSS = """
:host { display: grid !important; height: calc(100vh - 160px); min-height: 530px;
        grid-template-columns: minmax(0, 1fr) 300px minmax(0, 425px);
        grid-template-rows: minmax(0, 11fr) minmax(0, 9fr);
        grid-template-areas: "heat ladder tape" "candles ladder depth"; }
@media (max-width: 1100px) {
  :host { height: auto; grid-template-columns: minmax(0, 1fr); grid-template-rows: none;
          grid-auto-rows: 320px;
          grid-template-areas: "heat" "candles" "ladder" "tape" "depth"; }
}
"""
INTERVAL_CSS = """
.bk-btn { padding: 1px 8px; font-size: 11px; }
.bk-btn.bk-active { background-color: var(--hover) !important;
                    border-color: var(--accent) !important; font-weight: 600; }
"""
# In the corner of its plot.
CORNER = {"position": "absolute", "top": "6px", "right": "44px", "z-index": "5"}


class Micro:
    """Heat map and candles, ladder, time and sales, depth."""

    title = "Micro-structure"

    def __init__(self) -> None:
        candles, depth, heat = Candles(), DepthCurve(), HeatMap()
        ladder, tape = Ladder(), Tape()
        self.plots: list[Plot] = [heat, candles, depth]
        self._views: list[Any] = [*self.plots, ladder, tape]
        interval = pn.widgets.RadioButtonGroup(
            name="Interval",
            options=list(INTERVALS_S),
            value="1 s",
            stylesheets=[style.WIDGET_CSS, INTERVAL_CSS],
            styles=CORNER,
            width=190,
            margin=0,
        )
        interval.param.watch(lambda event: candles.choose(event.new), "value")
        bars = pn.Column(
            candles.pane,
            interval,
            sizing_mode="stretch_both",
            stylesheets=[":host { position: relative; }"],
        )
        places = {
            **{"heat": heat.pane, "candles": bars, "ladder": ladder.pane},
            **{"tape": tape.pane, "depth": depth.pane},
        }
        for place, part in places.items():
            part.styles = {"grid-area": place}
        self.view = pn.Column(*places.values(), sizing_mode="stretch_both", stylesheets=[GRID_CSS])

    def refresh(self, hub: Hub, instrument: Instrument | None) -> None:
        for view in self._views:
            view.refresh(hub, instrument)
