"""The order book over time as a heat map: brighter where more size stands.

Every half second becomes a slice of at most 40 rectangles, from the last `depth` row before its
end. A slice never changes: it is streamed once when its time is over and rolls out at the other
end. Trades and the best bid and offer lie over it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from monitor.hub import Hub, Instrument
from monitor.page.views import elements, plot
from monitor.page.views.price import trade_points, trades_by_side
from monitor.page.views.refresh_pace import Pace
from monitor.state import Columns

SLICE_NS = 500_000_000
# A book without rows for this long is no longer shown.
HOLD_NS = 30_000_000_000
# A level extends half way to its neighbours, at most this many usual steps.
REACH_STEPS = 1.5
# Full brightness is at this quantile of the sizes; it adapts slowly.
BRIGHT_SHARE, BRIGHT_PACE = 0.97, 0.02
FAINTEST = 0.05
BIDS, ASKS, BEST, TRADES = 0, 1, 2, 4


class HeatMap(plot.Plot):
    title = "Order book over time"
    height = None
    kinds = ("quote", "trade", "depth")
    times = frozenset(("time", "left", "right"))

    def draw(self) -> list[Any]:
        # The first slice not drawn yet, and the last rows drawn.
        self._slice, self._bright = 0, np.nan
        self._pace = Pace(SLICE_NS)
        self._depth: Columns = {}
        self._quotes: Columns = {}
        levels = [
            elements.quads(
                *("", ("time", "price", "size", "fill_alpha")),
                fill_color=color,
                line_color=None,
                fill_alpha="fill_alpha",
                tools=[
                    elements.hover(
                        [(side, elements.exact("price")), (f"{side} size", elements.exact("size"))]
                    )
                ],
            )
            for side, color in (("bid", plot.BID), ("ask", plot.ASK))
        ]
        return [
            *levels,
            elements.curve("bid", "bid", plot.BID),
            elements.curve("ask", "ask", plot.ASK),
            *trade_points(),
        ]

    def series(self, kind: str, rows: Columns) -> dict[int, Columns]:
        time = rows["ts_recv"]
        if kind == "trade":
            return trades_by_side(rows, TRADES)
        if kind == "depth":
            self._depth = _behind(self._depth, rows)
            return {}
        self._quotes = _behind(self._quotes, {n: rows[n] for n in ("ts_recv", "bid", "ask")})
        return {
            BEST: {"time": time, "bid": rows["bid"]},
            BEST + 1: {"time": time, "ask": rows["ask"]},
        }

    def update(self, hub: Hub, instrument: Instrument, anew: bool) -> None:
        is_due = self._pace.is_due(hub)
        if anew:
            self._slice, self._bright, self._depth, self._quotes = 0, np.nan, {}, {}
        elif not is_due:
            return
        # Rows that arrive now belong to a slice that has not ended.
        now = hub.now_ns // SLICE_NS
        new = self.collect(hub, instrument, anew)
        if self._depth:
            new |= self._slices(now)
        for at in range(len(self._sources)):
            self.append(at, new.get(at), anew)

    def _slices(self, now: int) -> dict[int, Columns]:
        """Return the levels of every slice that ended before the slice `now`."""
        times, quotes = self._depth["ts_recv"], self._quotes
        slices = np.arange(max(self._slice, int(times[0]) // SLICE_NS), now)
        ends = (slices + 1) * SLICE_NS
        at = np.searchsorted(times, ends) - 1
        stands = ends - times[at] <= HOLD_NS
        if quotes:
            # A quote without prices means that the book is bad.
            quote = np.searchsorted(quotes["ts_recv"], ends) - 1
            ended = np.isnan(quotes["bid"][quote]) & np.isnan(quotes["ask"][quote])
            stands &= (quote < 0) | ~ended
        rows = {name: values[at[stands]] for name, values in self._depth.items()}
        left = slices[stands] * SLICE_NS
        self._slice = now
        self._depth = _from(self._depth, now * SLICE_NS)
        self._quotes = _from(quotes, now * SLICE_NS)
        if not len(left):
            return {}
        sizes = np.concatenate([rows["bid_sizes"], rows["ask_sizes"]], axis=None)
        sizes = sizes[np.isfinite(sizes)]
        if len(sizes):
            bright = float(np.quantile(sizes, BRIGHT_SHARE))
            known = np.isfinite(self._bright)
            self._bright = self._bright + BRIGHT_PACE * (bright - self._bright) if known else bright
        inner = (rows["ask_prices"][:, 0] - rows["bid_prices"][:, 0]) / 2
        return {
            BIDS: self._levels(left, rows["bid_prices"], rows["bid_sizes"], inner, -1),
            ASKS: self._levels(left, rows["ask_prices"], rows["ask_sizes"], inner, 1),
        }

    def _levels(
        self, left: np.ndarray, prices: np.ndarray, sizes: np.ndarray, inner: np.ndarray, away: int
    ) -> Columns:
        """Return the rectangles of one side; `away` is the direction of its prices."""
        count = np.maximum(np.isfinite(prices).sum(axis=1), 1)
        rows = np.arange(len(prices))
        step = np.abs(prices[rows, count - 1] - prices[:, 0]) / np.maximum(count - 1, 1)
        step = np.where(step > 0, step, np.fmin(np.abs(inner) * 2, prices[:, 0]))
        gaps = np.abs(np.diff(prices, axis=1))
        nearer = np.hstack([np.fmin(step, np.abs(inner) * 2)[:, None], gaps])
        further = np.hstack([gaps, step[:, None]])
        reach = (step * REACH_STEPS)[:, None]
        near = prices - away * np.fmin(nearer, reach) / 2
        far = prices + away * np.fmin(further, reach) / 2
        known = np.isfinite(prices) & np.isfinite(sizes)
        share = np.sqrt(np.clip(sizes[known] / self._bright, 0, 1))
        start = np.broadcast_to(left[:, None], prices.shape)[known]
        return {
            "left": start,
            "right": start + SLICE_NS,
            "bottom": np.fmin(near, far)[known],
            "top": np.fmax(near, far)[known],
            "time": start,
            "price": prices[known],
            "size": sizes[known],
            "fill_alpha": FAINTEST + (1 - FAINTEST) * share,
        }


def _from(rows: Columns, at_ns: int) -> Columns:
    """Return the last row up to a moment, and all later ones."""
    if not rows:
        return {}
    first = max(0, int(np.searchsorted(rows["ts_recv"], at_ns, "right")) - 1)
    return {name: values[first:] for name, values in rows.items()}


def _behind(before: Columns, rows: Columns) -> Columns:
    return {n: np.concatenate([before[n], v]) if before else v for n, v in rows.items()}
