"""The value range of the visible time window, for the value axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.rows import SECOND_NS

# A glyph's names of its lower and upper ends.
_HEIGHTS = ("y", "y0", "y1", "bottom", "top")
# A row is in view as long as the last of these times.
_TIMES = ("until", "right", "time")


class Window:
    """The lowest and highest value of each second, for the range of the visible ones."""

    def __init__(self) -> None:
        self._seconds: dict[int, tuple[float, float]] = {}

    def clear(self) -> None:
        self._seconds.clear()

    def add(self, times: npt.NDArray[Any], values: npt.NDArray[Any]) -> None:
        """Record values at times in ns since 1970; skip NaN."""
        if not len(times):
            return
        first, last = times.min(), times.max()
        if first // SECOND_NS == last // SECOND_NS:
            # The usual case: a few rows of the same second.
            low, high = np.fmin.reduce(values), np.fmax.reduce(values)
            if np.isfinite(low) and np.isfinite(high):
                self._widen(int(first // SECOND_NS), float(low), float(high))
            return
        known = np.isfinite(values) & np.isfinite(times.astype(float))
        if not known.any():
            return
        seconds, values = times[known].astype(np.int64) // SECOND_NS, values[known]
        order = np.argsort(seconds, kind="stable")
        seconds, values = seconds[order], values[order]
        starts = np.flatnonzero(np.diff(seconds, prepend=seconds[0] - 1))
        lows, highs = (ends.reduceat(values, starts) for ends in (np.minimum, np.maximum))
        for second, low, high in zip(
            seconds[starts].tolist(), lows.tolist(), highs.tolist(), strict=True
        ):
            self._widen(second, low, high)

    def _widen(self, second: int, low: float, high: float) -> None:
        before = self._seconds.get(second, (low, high))
        self._seconds[second] = min(before[0], low), max(before[1], high)

    def ends(self, span_s: float) -> tuple[int, float, float] | None:
        """Return the newest second, and the lowest and highest value of a span before it.

        Drop older values.
        """
        if not self._seconds:
            return None
        newest = max(self._seconds)
        for second in [second for second in self._seconds if second < newest - span_s]:
            del self._seconds[second]
        lows, highs = zip(*self._seconds.values(), strict=True)
        return newest, min(lows), max(highs)


def heights(glyph: Any) -> list[str]:
    """Return the columns of a glyph's lower and upper ends; this is slow."""
    known = glyph.properties()
    found = [getattr(glyph, name) for name in _HEIGHTS if name in known]
    names = [getattr(one, "field", one) for one in found]
    return [name for name in names if isinstance(name, str)]


def times(columns: dict[str, Any]) -> Any:
    """Return the time up to which each row is in view; None for rows without a time."""
    return next((columns[name] for name in _TIMES if name in columns), None)
