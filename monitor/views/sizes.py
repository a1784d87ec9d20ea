"""The sizes at the best bid and offer of one instrument."""

from __future__ import annotations

from typing import Any

from monitor.hub import Columns
from monitor.views import plot


class Sizes(plot.Plot):
    title = "Size at the best bid and offer"

    def draw(self) -> list[Any]:
        return [
            plot.curve("bid_size", "bid size", plot.BID),
            plot.curve("ask_size", "ask size", plot.ASK),
        ]

    def series(self, kind: str, rows: Columns) -> dict[int, Columns]:
        time = rows["ts_recv"]
        return {
            0: {"time": time, "bid_size": rows["bid_size"]},
            1: {"time": time, "ask_size": rows["ask_size"]},
        }
