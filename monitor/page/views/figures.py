"""Exact numbers as text, and dense tables of numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import panel as pn

from monitor.hub import Hub, Instrument
from monitor.page.views import style
from monitor.page.views.refresh_pace import Pace

DENSE_CSS = """
:host { position: relative; }
.panel.fill { position: absolute; inset: 0; box-sizing: border-box; overflow: hidden;
              display: flex; flex-direction: column; }
.panel.fill h3 { flex: none; display: flex; gap: 10px; justify-content: space-between; }
.rows { flex: 1; overflow: hidden; }
table { font-size: 12px; line-height: 15px; }
td { padding: 1px 0 1px 8px; text-align: right; border-top: none; }
th { padding: 0 0 2px 8px; text-align: right; }
td:first-child, th:first-child { padding-left: 4px; text-align: left; }
.buy { color: var(--ok); } .sell { color: var(--sell); }
td.faint { color: var(--muted); }
.sides { flex: 1; display: flex; flex-direction: column; min-height: 0; }
.sides.dim { opacity: .45; }
.asks, .bids { flex: 1 1 0; min-height: 0; overflow: hidden; }
.asks { display: flex; flex-direction: column; justify-content: flex-end; }
.between { flex: none; text-align: center; font-size: 11px; padding: 2px; margin: 1px 0;
           color: var(--muted); border-block: 1px solid var(--line); }
.ladder table { table-layout: fixed; }
.ladder col.mark { width: 10%; } .ladder col.price { width: 27%; }
.ladder .head { flex: none; }
.ladder .when { font-size: 11px; font-weight: 400; font-variant-numeric: tabular-nums; }
.ladder td:first-child { font-size: 11px; font-weight: 600; }
.ladder td:nth-child(2) { font-weight: 600; }
.ladder .bid td:nth-child(-n+2) { color: var(--info); }
.ladder .ask td:nth-child(-n+2) { color: var(--ask); }
.ladder .best td { background-color: var(--hover); }
.bid .size { background: linear-gradient(to left, #4ea1ff55 var(--part), transparent 0); }
.ask .size { background: linear-gradient(to left, #ff9f4355 var(--part), transparent 0); }
"""


class Dense:
    """A table of one instrument, redrawn at most four times a second of recorded time."""

    def __init__(self) -> None:
        self._shown: tuple[Any, ...] | None = None
        self._pace = Pace()
        self.pane = pn.pane.HTML(
            "", stylesheets=[style.PANE_CSS, DENSE_CSS], sizing_mode="stretch_both", margin=(4, 5)
        )

    def html(self, hub: Hub, instrument: Instrument) -> str:
        """Return the escaped table in a panel that cuts off overflow."""
        raise NotImplementedError

    def refresh(self, hub: Hub, instrument: Instrument | None) -> None:
        """Draw the table when due; without an instrument it is empty."""
        shown = (id(hub), hub.epoch, instrument)
        if not self._pace.is_due(hub) and shown == self._shown:
            return
        self._shown = shown
        html = "" if instrument is None else self.html(hub, instrument)
        if self.pane.object != html:
            self.pane.object = html


def exact_texts(values: Iterable[float]) -> list[str]:
    """Return numbers in full, all with as many decimals as the longest needs."""
    texts = [np.format_float_positional(value, trim="-") for value in values]
    decimals = max((len(text.partition(".")[2]) for text in texts), default=0)
    return [f"{float(text):,.{decimals}f}" for text in texts]
