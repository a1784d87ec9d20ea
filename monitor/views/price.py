"""Bid, ask and mid of one instrument, with its trades coloured by aggressor and sized by size."""

from __future__ import annotations

from typing import Any

import numpy as np

from monitor.hub import Columns
from monitor.views import plot


class Price(plot.Plot):
    title = "Price and trades"
    kinds = ("quote", "trade")

    def draw(self) -> list[Any]:
        dots = {"line_color": None, "fill_alpha": 0.85, "size": "size", "tools": ["hover"]}
        return [
            plot.curve("bid", "bid", plot.BID),
            plot.curve("ask", "ask", plot.ASK),
            plot.curve("mid", "mid", plot.MID, line_dash="dotted"),
            plot.points(
                "price", "buy", ("amount", "size"), color=plot.BUY, marker="triangle", **dots
            ),
            plot.points(
                "price",
                "sell",
                ("amount", "size"),
                color=plot.SELL,
                marker="inverted_triangle",
                **dots,
            ),
        ]

    def series(self, kind: str, rows: Columns) -> dict[int, Columns]:
        time = rows["ts_recv"]
        if kind == "quote":
            bid, ask = rows["bid"], rows["ask"]
            return {
                0: {"time": time, "bid": bid},
                1: {"time": time, "ask": ask},
                2: {"time": time, "mid": (bid + ask) / 2},
            }
        dot = 5 + 3 * np.log10(1 + rows["size"] * rows["price"] / 100)
        sides = {}
        for at, side in ((3, 1), (4, -1)):
            mine = rows["side"] == side
            if mine.any():
                sides[at] = {
                    "time": time[mine],
                    "price": rows["price"][mine],
                    "amount": rows["size"][mine],
                    "size": dot[mine],
                }
        return sides
