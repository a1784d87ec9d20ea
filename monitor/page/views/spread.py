"""The spread of one instrument, in basis points of the mid."""

from __future__ import annotations

from typing import Any

from monitor.page.views import elements, plot
from monitor.state import Columns


class Spread(plot.Plot):
    title = "Spread"
    unit = "bps"

    def draw(self) -> list[Any]:
        tool = elements.hover([("spread", "@bps{0.0000} bps")], mode="vline")
        return [elements.curve("bps", "spread", plot.MARK, tools=[tool])]

    def telling(self, rows: Columns) -> list[Any]:
        return [rows["ask"] - rows["bid"]]

    def series(self, kind: str, rows: Columns) -> dict[int, Columns]:
        mid = (rows["ask"] + rows["bid"]) / 2
        return {0: {"time": rows["ts_recv"], "bps": (rows["ask"] - rows["bid"]) / mid * 1e4}}
