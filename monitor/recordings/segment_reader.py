"""Read a segment in `ord` order, all kinds together, piece by piece.

Rows are written in order, so reading needs no sort: it is several times as fast, and takes only
the memory of a piece of each kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import duckdb
import numpy as np
import pyarrow as pa

from monitor.rows import KINDS, SCHEMAS, Batch, column, order_key

# One DuckDB row group; smaller reads took up to 50 % longer. Fewer for wide rows.
PIECE_ROWS, WIDE_ROWS = 122_880, 25_000
WIDE = ("depth", "frame")
TIMED = [kind for kind in KINDS if kind != "signal"]


def read(
    con: duckdb.DuckDBPyConnection,
    rows: Mapping[str, int],
    low: int,
    high: int,
    signals_from: int,
    batch_rows: int,
) -> Iterator[Batch]:
    """Yield the rows from `ord` `low` to `high`, at most `batch_rows` of each kind per batch.

    `rows` is the row count by kind. Signals are placed at their cause, from `signals_from` on.
    ValueError if a kind is not in order.
    """
    streams: list[_Stream] = []
    # Not an ExitStack: it ties the rows read ahead to the exception that ends a reader early, and
    # hundreds of MB wait for the garbage collector.
    try:
        for kind in KINDS:
            if rows[kind]:
                first = signals_from if kind == "signal" else low
                streams.append(_Stream(con.cursor(), kind, first, high))
        while left := [stream for stream in streams if stream.fill()]:
            end = min(stream.last(batch_rows) for stream in left)
            kinds = {stream.kind: stream.take(end) for stream in left}
            yield Batch({kind: taken for kind, taken in kinds.items() if taken.num_rows})
    finally:
        for stream in streams:
            stream.close()


class _Stream:
    """The unread rows of one kind; reads the next piece when none is left."""

    def __init__(self, con: duckdb.DuckDBPyConnection, kind: str, first: int, last: int) -> None:
        self.kind, self._key, self._con = kind, order_key(kind), con
        # Signals are few, and their causes need not be in order.
        order = " ORDER BY cause_ord" if kind == "signal" else ""
        query = f"FROM {kind} WHERE {self._key} >= {first} AND {self._key} <= {last}{order}"
        self._pieces = con.sql(query).to_arrow_reader(WIDE_ROWS if kind in WIDE else PIECE_ROWS)
        self._rows: pa.RecordBatch = pa.RecordBatch.from_pylist([], schema=SCHEMAS[kind])
        self._ords = np.empty(0, np.uint64)
        self._before = -1

    def fill(self) -> bool:
        """Read the next piece if no row is left; return whether there is a row."""
        while not len(self._ords):
            try:
                piece = self._pieces.read_next_batch()
            except StopIteration:
                return False
            self._rows = piece.cast(SCHEMAS[self.kind])
            self._ords = column(self._rows, self._key)
            self._check()
        return True

    def last(self, most: int) -> int:
        """Return the last `ord` of the next `most` rows."""
        return int(self._ords[min(most, len(self._ords)) - 1])

    def take(self, end: int) -> pa.RecordBatch:
        """Take the rows up to and including an `ord`."""
        count = int(np.searchsorted(self._ords, end, "right"))
        taken = self._rows.slice(0, count)
        self._rows, self._ords = self._rows.slice(count), self._ords[count:]
        return taken

    def close(self) -> None:
        self._pieces.close()
        self._con.close()

    def _check(self) -> None:
        if not len(self._ords):
            return
        if int(self._ords[0]) < self._before or np.any(self._ords[1:] < self._ords[:-1]):
            raise ValueError(f"expected {self.kind} rows in the order of {self._key}, found others")
        self._before = int(self._ords[-1])


def first_from(con: duckdb.DuckDBPyConnection, at_ns: int) -> int | None:
    """Return the lowest `ord` of the rows at a time or later, or None if there is none."""
    # Rows are stored in order, so the first match is the lowest: the scan stops there.
    at = f"SELECT ord FROM {{}} WHERE ts_recv >= make_timestamp_ns({at_ns}) LIMIT 1"
    found = [con.sql(at.format(kind)).fetchall() for kind in TIMED]
    return min((int(rows[0][0]) for rows in found if rows), default=None)


def last_before(con: duckdb.DuckDBPyConnection, number: int) -> int | None:
    """Return the last `ord` below a number, or None if there is none."""
    before = " UNION ALL ".join(
        f"SELECT max(ord) AS o FROM {k} WHERE ord < {number}" for k in TIMED
    )
    ((last,),) = con.sql(f"SELECT max(o) FROM ({before})").fetchall()
    return None if last is None else int(last)
