"""Thin rows that arrive faster than a plot can show, and keep each interval's extremes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.state import Columns

# Some pixels of a minute's axis: a few rows in it can be told apart, of more only the extremes.
BUCKET_NS = 100_000_000
FEW = 8
Floats = npt.NDArray[Any]
Places = npt.NDArray[np.int64]


def thin(rows: Columns, values: Sequence[Floats]) -> Columns:
    """Keep the first and last row of every tenth of a second, and the extremes of each of `values`.

    Keep a tenth of a second with few rows whole, and the first of rows without a value.
    """
    found = _buckets(rows, BUCKET_NS, FEW)
    if found is None:
        return rows
    starts, lengths, place = found
    kept = (lengths <= FEW)[place]
    kept[starts] = kept[starts + lengths - 1] = True
    for of_rows in values:
        for sided in (of_rows, -of_rows):
            kept[_least(sided, starts, place)] = True
        kept[_first(~np.isfinite(of_rows), place)] = True
    return {name: column[kept] for name, column in rows.items()}


def thin_dots(rows: Columns, values: Sequence[Floats], bucket_ns: int = BUCKET_NS) -> Columns:
    """Keep the rows of every bucket where each of `values` is least, for dots without a line.

    A dot takes a browser as long as many pieces of a line.
    """
    found = _buckets(rows, bucket_ns, len(values))
    if found is None:
        return rows
    starts, lengths, place = found
    kept = (lengths <= len(values))[place]
    for of_rows in values:
        kept[_least(of_rows, starts, place)] = True
    return {name: column[kept] for name, column in rows.items()}


def _buckets(rows: Columns, bucket_ns: int, few: int) -> tuple[Places, Places, Places] | None:
    """Return where each bucket starts, how long it is, and each row's bucket; None if all fit."""
    times = np.maximum.accumulate(rows["ts_recv"])
    count = len(times)
    span_ns = int(times[-1] - times[0]) if count else 0
    buckets = max(1, round(span_ns / bucket_ns))
    if count <= buckets * few:
        return None
    bucket = np.minimum((times - times[0]) // (span_ns // buckets + 1), buckets - 1)
    starts = np.flatnonzero(np.diff(bucket, prepend=-1))
    lengths = np.diff(np.append(starts, count))
    return starts, lengths, np.repeat(np.arange(len(starts)), lengths)


def _least(values: Floats, starts: Places, place: Places) -> Places:
    """Return the first row of each bucket with the least `values`; none where all are NaN."""
    known = np.isfinite(values)
    least = np.minimum.reduceat(np.where(known, values, np.inf), starts)
    return _first(known & (values == least[place]), place)


def _first(which: npt.NDArray[np.bool_], place: Places) -> Places:
    """Return the first selected row of each bucket."""
    at = np.flatnonzero(which)
    return at[np.flatnonzero(np.diff(place[at], prepend=-1))]
