"""Thins rows that come faster than a plot can show, and keeps of each moment what stood out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.rings import Columns

# Some pixels of a minute's axis: of so long a few rows are told apart, of more only the extremes.
BUCKET_NS = 100_000_000
FEW = 8


def thin(rows: Columns, values: Sequence[npt.NDArray[Any]]) -> Columns:
    """Keep of every tenth of a second its first and last row and the extremes of each of `values`.

    A tenth of a second of few rows is kept whole, and of rows without a value the first.
    """
    times = np.maximum.accumulate(rows["ts_recv"])
    count = len(times)
    span_ns = int(times[-1] - times[0]) if count else 0
    buckets = max(1, round(span_ns / BUCKET_NS))
    if count <= buckets * FEW:
        return rows
    bucket = np.minimum((times - times[0]) // (span_ns // buckets + 1), buckets - 1)
    starts = np.flatnonzero(np.diff(bucket, prepend=-1))
    lengths = np.diff(np.append(starts, count))
    place = np.repeat(np.arange(len(starts)), lengths)
    kept = (lengths <= FEW)[place]
    kept[starts] = kept[starts + lengths - 1] = True
    for of_rows in values:
        known = np.isfinite(of_rows)
        for sided in (of_rows, -of_rows):
            least = np.minimum.reduceat(np.where(known, sided, np.inf), starts)
            kept[_first(known & (sided == least[place]), place)] = True
        kept[_first(~known, place)] = True
    return {name: column[kept] for name, column in rows.items()}


def _first(which: npt.NDArray[np.bool_], place: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the first of the rows meant in each place."""
    at = np.flatnonzero(which)
    return at[np.flatnonzero(np.diff(place[at], prepend=-1))]
