"""The present state of one source: rate, latencies, book, and the mids of a minute.

No value outlives its rows: what `stat` rows report ends with them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.rows import LAST, SECOND_NS, Batch, column
from monitor.state.present import UP

# The last second consists of complete tenths.
TENTH_NS = 100_000_000
TENTHS = 10
# `stat` rows come once a second; older ones say nothing about the present.
STAT_NS = 3 * SECOND_NS
# A source that is up has a `stat` row every second, whether or not data come.
UNHEARD_NS = 30 * SECOND_NS
# Kept mids of each source, one a second.
MIDS = 60
# Without a connection nothing it delivered is current.
ENDED = frozenset(("failed", "stopped"))
# The columns read of rows of kinds `status` and `stat`.
STATUS = ["venue", "symbol", "conn", "flags", "scope", "channel", "state", "kind", "detail"]
STATUS += ["expected", "got", "count"]
STAT = ["venue", "symbol", "conn", "channel", "rows", "age_ms"]
STAT += ["latency_p50_ms", "latency_p99_ms", "book_health"]
# Details of the last status row of a former source: it was removed, or was a pattern that waited
# for its venue's instrument list.
GONE = ("removed on request", "its instruments are followed")

Instrument = tuple[str, str]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Followed:
    """A fold of one source's rows; times are those of the rows, in ns since 1970."""

    def __init__(self) -> None:
        self.state, self.error, self.removed = "initialising", "", False
        # When the last row of any kind about it arrived.
        self.heard_ns = 0
        self._is_told = False
        self.updates, self.last_ns = 0, 0
        # Time and price of the last trade: a backfilled one arrives after later ones.
        self.traded_ns, self.price = 0, math.nan
        self._tenths: dict[int, int] = {}
        # By channel, the last row of kind `stat`.
        self._stats: dict[str, dict[str, Any]] = {}
        self._mids: deque[tuple[int, float]] = deque(maxlen=MIDS + 1)
        # The mids last read, and their second.
        self._shown: tuple[int, tuple[float, ...]] = (0, ())

    def follow(self, row: dict[str, Any], at_ns: int) -> None:
        """Take a status row of the source's state."""
        self.state, self.error = row["state"], row["detail"] or ""
        self.heard_ns, self._is_told = max(self.heard_ns, at_ns), True
        self.removed = self.state == "stopped" and self.error in GONE
        if self.state in ENDED:
            self._stats.clear()

    def measure(self, row: dict[str, Any], at_ns: int) -> None:
        """Take a row of kind `stat`."""
        self._stats[row["channel"]] = {**row, "ts_recv": at_ns}
        self.heard_ns = max(self.heard_ns, at_ns)

    def count(self, last_ns: int, by_tenth: dict[int, int]) -> None:
        """Count updates, the last at `last_ns`, by tenths of a second numbered since 1970."""
        self.last_ns = max(self.last_ns, last_ns)
        self.heard_ns = max(self.heard_ns, last_ns)
        if not self._is_told:
            # Captured frames have no connection state.
            self.state = "unknown"
        for tenth, count in by_tenth.items():
            self.updates += count
            self._tenths[tenth] = self._tenths.get(tenth, 0) + count
        while len(self._tenths) > TENTHS + 2:
            del self._tenths[min(self._tenths)]

    def quote(self, times: Ints, bids: Floats, asks: Floats) -> None:
        """Keep the last mid of each second."""
        seconds = times // SECOND_NS
        if seconds[0] < self._shown[0]:
            # It changes mids of complete seconds.
            self._shown = (0, ())
        if seconds[0] == seconds[-1]:
            self._keep(int(seconds[-1]), float(bids[-1] + asks[-1]) / 2)
            return
        ends = np.flatnonzero(np.diff(seconds, append=np.iinfo(np.int64).max))[-MIDS - 1 :]
        mids = (bids[ends] + asks[ends]) / 2
        for second, mid in zip(seconds[ends].tolist(), mids.tolist(), strict=True):
            self._keep(second, mid)

    def _keep(self, second: int, mid: float) -> None:
        newest = max(second, self._mids[-1][0]) if self._mids else second
        if self._mids and self._mids[-1][0] == newest:
            self._mids.pop()
        self._mids.append((newest, mid))

    def standing(self, now_ns: int) -> tuple[str, str]:
        """Return its state and detail; without rows it is not up."""
        silence_ns = now_ns - self.heard_ns
        if self.state in UP and silence_ns > UNHEARD_NS:
            return "stale", f"nothing is heard of it for {silence_ns // SECOND_NS} s"
        return self.state, self.error

    def rate(self, now_ns: int) -> float:
        """Return the updates of the last second; NaN without a connection."""
        if self.state in ENDED:
            return math.nan
        end = now_ns // TENTH_NS
        return float(sum(self._tenths.get(end - back, 0) for back in range(1, TENTHS + 1)))

    def latencies_ms(self, now_ns: int) -> tuple[float, float]:
        """Return p50 and p99 of the last measured second, each of the slowest channel."""
        if self.state == "stale":
            return math.nan, math.nan
        current = self._current(now_ns)
        last_ns = max((row["ts_recv"] for row in current), default=0)
        last = [row for row in current if row["ts_recv"] == last_ns]
        p50, p99 = (
            max((row[name] for row in last if _is_known(row[name])), default=math.nan)
            for name in ("latency_p50_ms", "latency_p99_ms")
        )
        return p50, p99

    def book(self, now_ns: int) -> str:
        """Return the health of the book; empty without a book."""
        if self.state in ENDED:
            return ""
        health = [row["book_health"] for row in self._current(now_ns) if row["channel"] == "book"]
        return health[0] or "" if health else ""

    def mids(self, now_ns: int) -> tuple[float, ...]:
        """Return the mid at the end of each of the last complete seconds."""
        now = now_ns // SECOND_NS
        if self._mids and self._shown[0] != now:
            seconds, mids = zip(*self._mids, strict=True)
            wanted = np.arange(max(now - MIDS, seconds[0]), now)
            at = np.searchsorted(np.array(seconds), wanted, "right") - 1
            self._shown = now, tuple(mids[place] for place in at.tolist())
        return self._shown[1]

    def _current(self, now_ns: int) -> list[dict[str, Any]]:
        return [row for row in self._stats.values() if row["ts_recv"] > now_ns - STAT_NS]


def updates(batch: Batch) -> Iterator[tuple[Instrument, int, dict[int, int]]]:
    """Count updates: quotes, trades, and book messages, for which their last rows stand.

    Give an instrument, its latest `ts_recv`, and its counts by tenth of a second; tenths before
    the last second are counted together.
    """
    for kind in ("quote", "trade", "book"):
        if kind not in batch:
            continue
        codes, instruments = batch.by_instrument(kind)
        times = column(batch[kind], "ts_recv")
        if kind == "book":
            ends = np.flatnonzero(column(batch[kind], "flags") & LAST)
            codes, times = codes[ends], times[ends]
        if not len(times):
            continue
        latest = np.zeros(len(instruments), np.int64)
        np.maximum.at(latest, codes, times)
        first = max(int(times.min()) // TENTH_NS, int(times.max()) // TENTH_NS - TENTHS - 1)
        width = int(times.max()) // TENTH_NS - first + 1
        if width > 1:
            tenths = np.maximum(times // TENTH_NS - first, 0)
            codes = codes.astype(np.int64) * width + tenths
        counts = np.bincount(codes, minlength=len(instruments) * width)
        rows = counts.reshape(-1, width).tolist()
        for instrument, last_ns, row in zip(instruments, latest.tolist(), rows, strict=True):
            if last_ns:
                yield instrument, last_ns, {first + at: n for at, n in enumerate(row) if n}


def in_order(batch: Batch) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield the rows of kinds `status` and `stat` with their times, in common order."""
    found: list[tuple[int, dict[str, Any], int]] = []
    for kind, names in (("status", STATUS), ("stat", STAT)):
        if kind in batch:
            rows = batch[kind]
            times, ords = column(rows, "ts_recv").tolist(), column(rows, "ord").tolist()
            found += zip(ords, rows.select(names).to_pylist(), times, strict=True)
    for _, row, at_ns in sorted(found, key=lambda one: one[0]):
        yield row, at_ns


def _is_known(value: float | None) -> bool:
    return value is not None and not math.isnan(value)
