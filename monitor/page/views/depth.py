"""The depth curve: cumulative size at each price, best twenty levels a side."""

from __future__ import annotations

from typing import Any

import numpy as np

from monitor.hub import Hub, Instrument
from monitor.page.views import elements, plot
from monitor.page.views.refresh_pace import Pace
from monitor.state import Columns

EXTRA = ("price", "size", "cumulative")


class DepthCurve(plot.Plot):
    title = "Depth, cumulative size by price"
    height = None
    kinds = ()
    has_time_axis = False
    times = frozenset()

    def draw(self) -> list[Any]:
        self._pace = Pace()
        return [
            elements.quads(
                *(label, EXTRA, "price"),
                fill_color=color,
                line_color=color,
                fill_alpha=0.3,
                line_alpha=0.9,
                tools=[
                    elements.hover(
                        [
                            (label, elements.exact("price")),
                            ("size", elements.exact("size")),
                            ("cumulative", elements.exact("cumulative")),
                        ],
                        time=False,
                    )
                ],
            )
            for label, color in (("bids", plot.BID), ("asks", plot.ASK))
        ]

    def update(self, hub: Hub, instrument: Instrument, anew: bool) -> None:
        if not self._pace.is_due(hub) and not anew:
            return
        rows = hub.last("depth", instrument)
        if not rows:
            for at in range(2):
                self.append(at, None, anew)
            return
        for at, side, away in ((0, "bid", -1), (1, "ask", 1)):
            steps = _steps(rows[f"{side}_prices"][0], rows[f"{side}_sizes"][0], away)
            if len(self._sources[at].data["price"]):
                self.patch(at, steps, anew)
            else:
                self.append(at, steps, anew)


def _steps(prices: np.ndarray, sizes: np.ndarray, away: int) -> Columns:
    """Return a step for each level, up to the next one; padded with NaN to a fixed number."""
    count = int(np.isfinite(prices).sum())
    further = np.append(prices[1:], np.nan)
    if count > 1:
        further[count - 1] = prices[count - 1] + away * abs(prices[count - 1] - prices[0]) / count
    cumulative = np.where(np.isfinite(prices), np.nancumsum(sizes), np.nan)
    return {
        "left": np.fmin(prices, further),
        "right": np.fmax(prices, further),
        "bottom": np.where(np.isfinite(prices), 0.0, np.nan),
        "top": cumulative,
        "price": prices,
        "size": sizes,
        "cumulative": cumulative,
    }
