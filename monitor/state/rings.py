"""Rings: the last rows of one kind of one instrument, column by column, bounded."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.rows import BACKFILL, MAYBE_BAD_BOOK, REST, SNAPSHOT, column

WINDOW_ROWS = 20_000
# A minute of book snapshots: at most one comes in 100 ms.
DEPTH_ROWS = 600
# Five minutes of a source's three channels, once a second.
STAT_ROWS = 900
BOUNDS = {"quote": WINDOW_ROWS, "trade": WINDOW_ROWS, "depth": DEPTH_ROWS, "stat": STAT_ROWS}
DEPTH_LEVELS = 20
FIRST_ROWS = 64

Columns = dict[str, npt.NDArray[Any]]


class Ring:
    """The last rows by column; grows up to its bound. A column may have rows of many values."""

    def __init__(self, bound_rows: int = WINDOW_ROWS) -> None:
        self.written = 0
        self._bound_rows = bound_rows
        self._columns: Columns = {}
        self._rows = FIRST_ROWS

    def extend(self, rows: Columns) -> None:
        skipped = max(0, len(rows["ts_recv"]) - self._bound_rows)
        self.written += skipped
        count = len(rows["ts_recv"]) - skipped
        self._make_room(rows, count)
        at = self.written % self._rows
        fits = min(count, self._rows - at)
        for name, values in rows.items():
            kept = self._columns[name]
            kept[at : at + fits] = values[skipped : skipped + fits]
            if fits < count:
                kept[: count - fits] = values[skipped + fits :]
        self.written += count

    def since(self, cursor: int) -> Columns:
        """Return copies of the kept rows numbered from `cursor` on."""
        at = np.arange(max(cursor, self.written - self._rows, 0), self.written) % self._rows
        return {name: values[at] for name, values in self._columns.items()}

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a copy of one column of all rows that are kept."""
        at = np.arange(max(self.written - self._rows, 0), self.written) % self._rows
        return self._columns[name][at]

    def last(self, name: str) -> float:
        return float(self._columns[name][(self.written - 1) % self._rows])

    def _make_room(self, rows: Columns, count: int) -> None:
        if not self._columns:
            self._columns = self._empty(rows)
        wanted = min(self.written + count, self._bound_rows)
        if wanted <= self._rows:
            return
        kept = self.since(0)
        self._rows = min(max(self._rows * 2, wanted), self._bound_rows)
        self._columns = self._empty(rows)
        at = np.arange(self.written - len(kept["ts_recv"]), self.written) % self._rows
        for name, values in kept.items():
            self._columns[name][at] = values

    def _empty(self, rows: Columns) -> Columns:
        return {n: np.empty((self._rows, *v.shape[1:]), v.dtype) for n, v in rows.items()}


def is_overrun(before: int, written: int, rows: Columns) -> bool:
    """Whether rows since the cursor `before` have left the ring, if anything was read."""
    return bool(before and rows) and written - len(rows["ts_recv"]) > before


def columns_of(kind: str, rows: pa.RecordBatch) -> Columns:
    """Return the ring's columns of rows of a kind; times are int64 ns since 1970, 0 if unknown."""
    columns: Columns = {"ts_recv": column(rows, "ts_recv")}
    if kind == "depth":
        for name in ("bid_prices", "bid_sizes", "ask_prices", "ask_sizes"):
            columns[name] = _levels(rows.column(name))
        return columns | {"bad": column(rows, "flags") & MAYBE_BAD_BOOK != 0}
    if kind == "stat":
        for name in ("rows", "latency_p50_ms", "latency_p99_ms", "latency_max_ms"):
            columns[name] = column(rows, name)
        return columns
    event, sent = column(rows, "ts_event"), column(rows, "ts_sent")
    flags = column(rows, "flags")
    if kind == "quote":
        names = ("bid", "bid_size", "ask", "ask_size")
        columns |= {name: column(rows, name) for name in names}
    else:
        columns |= {"price": column(rows, "price"), "size": column(rows, "size")}
        buys, sells = (pc.equal(rows["side"], side).fill_null(False) for side in ("buy", "sell"))
        columns["side"] = np.asarray(buys).astype(np.int8) - np.asarray(sells).astype(np.int8)
        columns["ts_event"] = event
        # A backfilled or repeated trade belongs to its own `ts_event`.
        old = (flags & (SNAPSHOT | BACKFILL) != 0) & (event > 0)
        columns["traded"] = np.where(old, event, columns["ts_recv"])
    then = np.where(event > 0, event, sent)
    live = (then > 0) & (flags & (SNAPSHOT | BACKFILL | REST) == 0)
    columns["latency_ms"] = np.where(live, (columns["ts_recv"] - then) / 1e6, np.nan)
    return columns


def _levels(lists: pa.ListArray) -> npt.NDArray[np.float64]:
    """Return lists of prices or sizes as one row each, padded with NaN."""
    lengths = np.asarray(pc.list_value_length(lists).fill_null(0)).astype(np.int64)
    row = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    levels = np.full((len(lengths), DEPTH_LEVELS), np.nan)
    kept = place < DEPTH_LEVELS
    levels[row[kept], place[kept]] = np.asarray(lists.flatten())[kept]
    return levels
