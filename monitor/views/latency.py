"""Latency: from the venue's clock to ours, in ms; a negative one tells that the clocks differ."""

from __future__ import annotations

from typing import Any

import numpy as np

from monitor.rings import Columns
from monitor.views import plot


class Latency(plot.Plot):
    title = "Latency, venue to receipt"
    unit = "ms"
    kinds = ("quote", "trade")

    def draw(self) -> list[Any]:
        dots: dict[str, Any] = {"line_color": None, "size": 4, "fill_alpha": 0.8}
        return [
            plot.points(
                *("ms", name, ()),
                color=color,
                marker=marker,
                tools=[plot.hover([(name, "@ms{0.000} ms")])],
                **dots,
            )
            for name, color, marker in (
                ("quotes", plot.BID, "circle"),
                ("trades", plot.BUY, "square"),
            )
        ]

    def series(self, kind: str, rows: Columns) -> dict[int, Columns]:
        known = np.isfinite(rows["latency_ms"])
        if not known.any():
            return {}
        at = 0 if kind == "quote" else 1
        return {at: {"time": rows["ts_recv"][known], "ms": rows["latency_ms"][known]}}
