"""Candles with volume at a chosen interval; an interval without a trade stays empty.

Closed bars are streamed. The forming one has a source of one row for each element, which is
patched. A late trade changes a closed bar: then that one row is patched.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import Range1d

from monitor.hub import Hub, Instrument
from monitor.page.views import elements, plot
from monitor.rows import SECOND_NS
from monitor.state import Columns

INTERVALS_S = {"1 s": 1, "5 s": 5, "1 min": 60, "5 min": 300}
# Number of candles in view before the time axis follows.
SHOWN_BARS = 72
ROLLOVER_BARS = 1_000
# Share of an interval's width that a candle takes.
BODY = 0.72
# Volume takes the lowest part of the plot: its axis ends so many times above its highest bar.
VOLUME_ROOM = 5.0
# It is fitted anew when a bar is too high, or less of it is used than this; then it has some spare.
VOLUME_CALM, VOLUME_SPARE = 0.7, 1.2
NS_PER_MS = 1_000_000
# The elements by number: wick, body and volume of the closed bars and of the forming one.
CLOSED, FORMING, BODIES, VOLUMES = (0, 2, 4), (1, 3, 5), (2, 3), (4, 5)
HOVER = [
    *((name, elements.exact(name)) for name in ("open", "high", "low", "close", "volume")),
    ("trades", "@trades"),
]
EXTRA = ("time", "open", "high", "low", "close", "volume", "trades", "color")


class Candles(plot.Plot):
    title = "Candles"
    height = None
    kinds = ()
    times = frozenset(("time", "until", "left", "right"))

    def __init__(self) -> None:
        self.interval_s = INTERVALS_S["1 s"]
        super().__init__()
        # Start times in the closed elements' sources, in order.
        self._starts = np.empty(0, np.int64)
        self._forming: Columns = {}
        self._cursor = 0
        self._volume_axis = Range1d(start=0, end=1)

    def choose(self, interval: str) -> None:
        """Draw bars of another interval from now on."""
        self.interval_s = INTERVALS_S[interval]
        self.follow_ms = SHOWN_BARS * self.interval_s * 1000
        self.begin_anew()

    def draw(self) -> list[Any]:
        look: dict[str, Any] = {"cmap": [plot.SELL, plot.BUY], "clim": (-1, 1)}
        wick: dict[str, Any] = {"color": "color", **look}
        body: dict[str, Any] = {"color": "color", **look}
        volume: dict[str, Any] = {"color": "color", "line_color": None, "fill_alpha": 0.35, **look}
        return [
            elements.segments("", ("color",), **wick),
            elements.segments("", ("color",), **wick),
            elements.quads("", EXTRA, tools=[elements.hover(HOVER)], **body),
            elements.quads(
                *("", EXTRA),
                tools=[elements.hover([("bar", "forming"), *HOVER])],
                fill_alpha=0.55,
                **body,
            ),
            elements.quads("", ("color",), **volume),
            elements.quads("", ("color",), **volume),
        ]

    def update(self, hub: Hub, instrument: Instrument, anew: bool) -> None:
        if anew:
            self._cursor, self._forming, self._starts = 0, {}, np.empty(0, np.int64)
        self._cursor, bars = hub.candles(instrument, self.interval_s, self._cursor)
        if self._forming and bars and self._forming["start"][0] not in bars["start"]:
            bars = {n: np.concatenate([self._forming[n], v]) for n, v in bars.items()}
            order = np.argsort(bars["start"])
            bars = {name: values[order] for name, values in bars.items()}
        if bars:
            self._forming = {name: values[-1:] for name, values in bars.items()}
            bars = {name: values[:-1][-ROLLOVER_BARS:] for name, values in bars.items()}
            known = np.isin(bars["start"], self._starts)
            self._patch_closed({name: values[known] for name, values in bars.items()})
            bars = {name: values[~known] for name, values in bars.items()}
            # In the order and number of the sources.
            self._starts = np.sort(np.append(self._starts, bars["start"]))[-ROLLOVER_BARS:]
        if anew or (bars and len(bars["start"])):
            for at, columns in zip(CLOSED, self._elements(bars), strict=True):
                self.append(at, columns, anew, ROLLOVER_BARS)
        for at, columns in zip(FORMING, self._elements(self._forming), strict=True):
            if columns and len(self._sources[at].data["color"]):
                self.patch(at, columns, anew)
            elif columns or anew:
                self.append(at, columns, anew, 1)
        self._fit_volumes()

    def _fit_volumes(self) -> None:
        """Fit the volume axis to the visible bars while it follows."""
        if not self._forming:
            return
        since = self._forming["start"][0] - self.follow_ms * NS_PER_MS
        closed = np.asarray(self._sources[VOLUMES[0]].data["top"])[self._starts >= since]
        highest = max(closed.max(initial=0), self._forming["volume"][0])
        end, axis = VOLUME_ROOM * float(highest), self._volume_axis
        if end and not VOLUME_CALM * axis.end <= end <= axis.end:
            axis.end = end * VOLUME_SPARE

    def finish(self, plot: Any, element: Any) -> None:
        """Give volumes their own axis, and exclude them from the price axis."""
        volumes = [self.renderers[at] for at in VOLUMES]
        if "volume" not in self.figure.extra_y_ranges:
            self.figure.extra_y_ranges = {"volume": self._volume_axis}
            for renderer in volumes:
                renderer.y_range_name = "volume"
        for at in BODIES:
            # A candle with equal open and close has no height: only its outline shows.
            glyph = self.renderers[at].glyph
            glyph.line_color = glyph.fill_color
        self.figure.y_range.range_padding = 0.3

    def _patch_closed(self, bars: Columns) -> None:
        places = [int(np.flatnonzero(self._starts == start)[0]) for start in bars.get("start", [])]
        if places:
            for at, columns in zip(CLOSED, self._elements(bars), strict=True):
                self.patch_rows(at, places, columns)

    def _elements(self, bars: Columns) -> tuple[Columns, ...]:
        """Return the bars as rows of each element: wick, body and volume."""
        if not bars:
            return {}, {}, {}
        width_ns = self.interval_s * SECOND_NS
        start = bars["start"]
        middle, half = start + width_ns // 2, int(width_ns * BODY / 2)
        color = np.where(bars["close"] >= bars["open"], 1.0, -1.0)
        sides = {"left": middle - half, "right": middle + half, "color": color}
        told = {name: bars[name] for name in ("open", "high", "low", "close", "volume", "trades")}
        return (
            {
                **{"time": middle, "from": bars["low"], "until": middle, "to": bars["high"]},
                "color": color,
            },
            {
                **sides,
                **{"bottom": np.minimum(bars["open"], bars["close"])},
                **{"top": np.maximum(bars["open"], bars["close"])},
                **{"time": start, **told},
            },
            {**sides, "bottom": np.zeros(len(start)), "top": bars["volume"]},
        )
