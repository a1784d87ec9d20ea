"""The sizes at the best bid and offer of one instrument."""

from __future__ import annotations

from typing import Any

from monitor.page.views import elements, plot
from monitor.state import Columns


class Sizes(plot.Plot):
    title = "Size at the best bid and offer"

    def draw(self) -> list[Any]:
        return [
            elements.curve(
                *(f"{side}_size", f"{side} size", color),
                tools=[
                    elements.hover([(f"{side} size", elements.exact(f"{side}_size"))], mode="vline")
                ],
            )
            for side, color in (("bid", plot.BID), ("ask", plot.ASK))
        ]

    def telling(self, rows: Columns) -> list[Any]:
        return [rows["bid_size"], rows["ask_size"]]

    def series(self, kind: str, rows: Columns) -> dict[int, Columns]:
        time = rows["ts_recv"]
        return {
            0: {"time": time, "bid_size": rows["bid_size"]},
            1: {"time": time, "ask_size": rows["ask_size"]},
        }
