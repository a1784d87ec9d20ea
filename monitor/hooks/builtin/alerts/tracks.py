"""Values over time, for all subjects: between two samples and in a window."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# A window slides by a sixtieth of its length.
BUCKETS = 60


def widen(values: npt.NDArray[Any], count: int, fill: float) -> npt.NDArray[Any]:
    """Return an array with room for `count` subjects, which are its last axis."""
    more = [(0, 0)] * (values.ndim - 1) + [(0, count - values.shape[-1])]
    return np.pad(values, more, constant_values=fill) if more[-1][1] else values


class Gathered:
    """One figure of each interval and subject, such as a sum; the last interval is still open."""

    def __init__(self, ufunc: np.ufunc, start: float) -> None:
        self._ufunc, self._start = ufunc, start
        self.table = np.empty((1, 0))

    def begin(self, intervals: int, subjects: int) -> None:
        """Make room for intervals; the first is the one left open."""
        table = np.full((intervals, subjects), self._start)
        table[0, : self.table.shape[1]] = self.table[-1]
        self.table = table

    def take(self, slots: Ints, subjects: npt.NDArray[Any], values: Any) -> None:
        self._ufunc.at(self.table, (slots, subjects), values)


class Track:
    """A value that holds until the next row: its lowest and highest in each interval."""

    def __init__(self) -> None:
        self._low, self._high = Gathered(np.fmin, np.nan), Gathered(np.fmax, np.nan)
        self._count = Gathered(np.add, 0)
        self._last = np.empty((1, 0))
        self.now = np.empty(0)

    def begin(self, intervals: int, subjects: int) -> None:
        for gathered in (self._low, self._high, self._count):
            gathered.begin(intervals, subjects)
        last = np.full((intervals, subjects), np.nan)
        last[0, : self._last.shape[1]] = self._last[-1]
        self._last = last
        self.now = widen(self.now, subjects, np.nan)

    def take(self, slots: Ints, subjects: npt.NDArray[Any], values: Floats) -> None:
        """Take rows in `ord` order; NaN ends a value."""
        for gathered in (self._low, self._high):
            gathered.take(slots, subjects, values)
        self._count.take(slots, subjects, 1)
        self._last[slots, subjects] = values

    def look(self, slot: int) -> tuple[Floats, Floats]:
        """Return the lowest and highest of an interval, including the value at its start."""
        low = np.fmin(self._low.table[slot], self.now)
        high = np.fmax(self._high.table[slot], self.now)
        self.now = np.where(self._count.table[slot] > 0, self._last[slot], self.now)
        return low, high


class Window:
    """A figure over the last `window_s`: a ufunc joins those of its sixtieths."""

    def __init__(self, ufunc: np.ufunc, start: float, window_s: float) -> None:
        self._ufunc, self._start = ufunc, start
        self._width_ns = int(window_s * 1e9) // BUCKETS
        self._buckets = np.empty((BUCKETS, 0))
        self._number = 0
        self._before = np.empty(0)

    def add(self, now_ns: int, values: Floats) -> Floats:
        """Take the present values of all subjects; return the figure over the window."""
        number = now_ns // self._width_ns
        passed = min(number - self._number, BUCKETS)
        before = self._buckets.shape[-1]
        self._buckets = widen(self._buckets, len(values), self._start)
        for step in range(passed):
            self._buckets[(number - step) % BUCKETS] = self._start
        at = number % BUCKETS
        if passed or before != len(values):
            others = np.arange(BUCKETS) != at
            self._before = self._ufunc.reduce(self._buckets[others])
        self._number = number
        self._buckets[at] = self._ufunc(self._buckets[at], values)
        joined: Floats = self._ufunc(self._before, self._buckets[at])
        return joined
