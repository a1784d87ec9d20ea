"""Rows a second and latency of each source, from `stat` rows."""

from __future__ import annotations

import numpy as np

from monitor.hub import Hub, Instrument, Mark
from monitor.page.views import line_plot
from monitor.state import Columns, is_overrun

# The rows of a source's channels arrive together; the newest may be incomplete.
SETTLE_NS = 100_000_000


class BySource(line_plot.Lines):
    """A line for each source, with a point a second."""

    kinds = ()
    height = None
    legend = "right"

    def __init__(self) -> None:
        self._read: dict[Instrument, int] = {}
        super().__init__()

    def concerns(self, mark: Mark, instrument: Instrument) -> bool:
        return True

    def all_of_them(self, hub: Hub, instrument: Instrument) -> list[Instrument]:
        return hub.instruments()

    def line(self, hub: Hub, owner: Instrument, anew: bool) -> Columns | None:
        until_ns = hub.now_ns - SETTLE_NS
        before = 0 if anew else self._read.get(owner, 0)
        written, rows = hub.since("stat", owner, before)
        self.has_hole |= is_overrun(before, written, rows)
        if not rows or not len(rows["ts_recv"]):
            return None
        settled = int(np.searchsorted(rows["ts_recv"], until_ns))
        self._read[owner] = written - len(rows["ts_recv"]) + settled
        time, second = np.unique(rows["ts_recv"][:settled], return_inverse=True)
        return {"time": time, **self.seconds(rows, second, settled, len(time))}

    def seconds(self, rows: Columns, second: np.ndarray, rows_n: int, seconds_n: int) -> Columns:
        """Fold the first `rows_n` rows into the seconds that they belong to."""
        raise NotImplementedError


class Rates(BySource):
    title = "Rows a second by source"
    unit = "rows/s"
    tooltips = (("rows/s", "@y{0,0}"),)

    def seconds(self, rows: Columns, second: np.ndarray, rows_n: int, seconds_n: int) -> Columns:
        weights = np.nan_to_num(rows["rows"][:rows_n])
        return {"y": np.bincount(second, weights, seconds_n).astype(float)}


class Latencies(BySource):
    """The 99th percentile of the slowest channel; the hover shows the median."""

    title = "Latency by source: p99 of each second"
    unit = "ms"
    extra = ("p50_ms", "max_ms")
    tooltips = (("p99", "@y{0.000} ms"), ("p50", "@p50_ms{0.000} ms"), ("max", "@max_ms{0.000} ms"))

    def seconds(self, rows: Columns, second: np.ndarray, rows_n: int, seconds_n: int) -> Columns:
        worst = {}
        for name, kept in (("y", "p99"), ("p50_ms", "p50"), ("max_ms", "max")):
            worst[name] = np.full(seconds_n, np.nan)
            np.fmax.at(worst[name], second, rows[f"latency_{kept}_ms"][:rows_n])
        return worst
