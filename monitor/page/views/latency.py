"""Latency by stage, in ms: venue to receipt, to the page, to the browser and back.

The first uses the venue's clock and ours; a negative value shows that the clocks differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from monitor.hub import Hub, Instrument
from monitor.page.views import elements, plot
from monitor.page.views.thinning import thin_dots
from monitor.state import Columns, Stage

# Width of a dot on a plot that fills half a screen.
BUCKET_NS = 500_000_000
ROWS = ("quotes", "trades")


class Latency(plot.Plot):
    title = "Latency to receipt, page and browser"
    unit = "ms"
    kinds = ("quote", "trade")

    def __init__(self, is_live: Callable[[Hub], bool], stages: Mapping[str, Stage]) -> None:
        """Draw two further `stages` of live rows; a replay has only the latency to receipt."""
        self._is_live, self._stages = is_live, stages
        self._read = [0] * len(stages)
        super().__init__()

    def draw(self) -> list[Any]:
        dots: dict[str, Any] = {"line_color": None, "size": 4, "fill_alpha": 0.8}
        names = [*ROWS, *self._stages]
        looks = (
            *((plot.BID, "circle"), (plot.BUY, "square")),
            *((plot.BEST, "triangle"), (plot.MUTED, "diamond")),
        )
        return [
            elements.points(
                *("ms", name, ()),
                color=color,
                marker=marker,
                tools=[elements.hover([(name, "@ms{0.000} ms")])],
                **dots,
            )
            for name, (color, marker) in zip(names, looks, strict=True)
        ]

    def thinned(self, rows: Columns) -> Columns:
        return _thinned(rows, "latency_ms")

    def series(self, kind: str, rows: Columns) -> dict[int, Columns]:
        known = np.isfinite(rows["latency_ms"])
        if not known.any():
            return {}
        at = 0 if kind == "quote" else 1
        return {at: {"time": rows["ts_recv"][known], "ms": rows["latency_ms"][known]}}

    def collect(self, hub: Hub, instrument: Instrument, anew: bool) -> dict[int, Columns]:
        new = super().collect(hub, instrument, anew)
        if not self._is_live(hub):
            return new
        for at, stage in enumerate(self._stages.values()):
            self._read[at], rows = stage.since(0 if anew else self._read[at])
            if rows and len(rows["ts_recv"]):
                rows = _thinned(rows, "ms")
                new[len(ROWS) + at] = {"time": rows["ts_recv"], "ms": rows["ms"]}
        return new


def _thinned(rows: Columns, name: str) -> Columns:
    """Return the shortest and longest latency of each half second."""
    return thin_dots(rows, (rows[name], -rows[name]), BUCKET_NS)
