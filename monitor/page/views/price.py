"""Bid, ask and mid of one instrument, with trades coloured by aggressor side."""

from __future__ import annotations

from typing import Any

import numpy as np

from monitor.page.views import elements, plot
from monitor.state import Columns

QUOTE_HOVER = [(name, elements.exact(name)) for name in ("bid", "mid", "ask")]
TRADE_HOVER = [("price", elements.exact("price")), ("size", elements.exact("amount"))]


class Price(plot.Plot):
    title = "Price and trades"
    kinds = ("quote", "trade")

    def draw(self) -> list[Any]:
        return [
            elements.curve("bid", "bid", plot.BID),
            elements.curve("ask", "ask", plot.ASK),
            elements.curve(
                *("mid", "mid", plot.MID, ("bid", "ask")),
                line_dash="dotted",
                tools=[elements.hover(QUOTE_HOVER, mode="vline")],
            ),
            *trade_points(),
        ]

    def series(self, kind: str, rows: Columns) -> dict[int, Columns]:
        time = rows["ts_recv"]
        if kind == "quote":
            bid, ask = rows["bid"], rows["ask"]
            return {
                0: {"time": time, "bid": bid},
                1: {"time": time, "ask": ask},
                2: {"time": time, "mid": (bid + ask) / 2, "bid": bid, "ask": ask},
            }
        return trades_by_side(rows, 3)


def trade_points() -> list[Any]:
    """Make the points of buys and of sells."""
    return [
        elements.points(
            *("price", side, ("amount", "size")),
            color=color,
            marker=marker,
            line_color=None,
            fill_alpha=0.85,
            size="size",
            tools=[elements.hover([("aggressor", side), *TRADE_HOVER])],
        )
        for side, color, marker in (
            ("buy", plot.BUY, "triangle"),
            ("sell", plot.SELL, "inverted_triangle"),
        )
    ]


def trades_by_side(rows: Columns, first: int) -> dict[int, Columns]:
    """Return what belongs to the points of buys, which are element `first`, and of sells."""
    dot = 5 + 3 * np.log10(1 + rows["size"] * rows["price"] / 100)
    sides = {}
    for at, side in ((first, 1), (first + 1, -1)):
        mine = rows["side"] == side
        if mine.any():
            sides[at] = {
                "time": rows["traded"][mine],
                "price": rows["price"][mine],
                "amount": rows["size"][mine],
                "size": dot[mine],
            }
    return sides
