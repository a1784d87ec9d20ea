"""The rows of the contract as Arrow tables, and the batches in which they travel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_NS = pa.timestamp("ns")
_TEXT, _REAL, _U32, _U64 = pa.string(), pa.float64(), pa.uint32(), pa.uint64()
_REALS = pa.list_(_REAL)

_STAMP = [("ts_recv", _NS), ("ts_event", _NS), ("ts_sent", _NS)]
_ORIGIN = [("venue", _TEXT), ("symbol", _TEXT), ("conn", _U32), ("flags", _U32)]
_HEADER = [("ord", _U64), *_STAMP, *_ORIGIN]

_COLUMNS: dict[str, list[tuple[str, pa.DataType]]] = {
    "quote": [
        *_HEADER,
        *[(name, _REAL) for name in ("bid", "bid_size", "ask", "ask_size")],
        ("seq", _U64),
        ("origin", _TEXT),
    ],
    "trade": [
        *_HEADER,
        ("price", _REAL),
        ("size", _REAL),
        ("side", _TEXT),
        ("trade_id", _TEXT),
        ("seq", _U64),
        ("conditions", pa.list_(_TEXT)),
    ],
    "book": [
        *_HEADER,
        ("side", _TEXT),
        ("price", _REAL),
        ("size", _REAL),
        ("seq_first", _U64),
        ("seq", _U64),
    ],
    "depth": [
        *_HEADER,
        *[(name, _REALS) for name in ("bid_prices", "bid_sizes", "ask_prices", "ask_sizes")],
    ],
    "instrument": [
        *_HEADER,
        *[(name, _TEXT) for name in ("raw_symbol", "base", "quote_asset")],
        *[(name, _REAL) for name in ("tick_size", "lot_size", "price_precision", "size_precision")],
        *[(name, _TEXT) for name in ("seq_scope", "trading_status", "source")],
    ],
    "status": [
        *_HEADER,
        *[(name, _TEXT) for name in ("scope", "channel", "state", "kind", "detail")],
        *[(name, _U64) for name in ("expected", "got", "count")],
    ],
    "clock": [
        *_HEADER,
        ("offset_ns", pa.int64()),
        ("buffered_rows", _REAL),
        ("recorder_lag_ms", _REAL),
    ],
    "stat": [
        *_HEADER,
        ("channel", _TEXT),
        *[
            (name, _REAL)
            for name in (
                "rows",
                "bytes",
                "latency_p50_ms",
                "latency_p99_ms",
                "latency_max_ms",
                "age_ms",
                "gaps",
                "duplicates",
                "late",
            )
        ],
        ("book_health", _TEXT),
    ],
    "signal": [
        *_STAMP,
        *_ORIGIN,
        ("cause_ord", _U64),
        ("hook", _TEXT),
        ("level", _TEXT),
        ("value", _REAL),
        ("text", _TEXT),
        ("origin", _TEXT),
    ],
    "frame": [*_HEADER, ("raw", _TEXT)],
}

SCHEMAS: dict[str, pa.Schema] = {kind: pa.schema(cols) for kind, cols in _COLUMNS.items()}
KINDS: tuple[str, ...] = tuple(SCHEMAS)
# Made of nulls: an array from a Python list would load pandas, which takes 0.2 s.
_EMPTY = {
    k: pa.RecordBatch.from_arrays([pa.nulls(0, f.type) for f in s], schema=s)
    for k, s in SCHEMAS.items()
}

LAST, SNAPSHOT, BAD_TS_RECV, MAYBE_BAD_BOOK = 128, 32, 8, 4
GAP, DUPLICATE, LATE, BACKFILL, REST = 256, 512, 1024, 2048, 4096
SYNTHETIC, ROUNDED, INVALID, KEYFRAME = 8192, 16384, 32768, 65536

# The origin of quotes that counts for an instrument until a row changes it.
# The subject of a status row, beside whether it names an origin: its last row is in force.
_THINGS = ["venue", "symbol", "channel", "scope"]

FIRST_ORIGIN = "native"

WIRE_SCHEMA = pa.schema(
    [(kind, pa.list_(pa.struct(list(schema)))) for kind, schema in SCHEMAS.items()]
)


class ByInstrument(NamedTuple):
    """Each row's instrument as an index into (venue, symbol) pairs."""

    codes: np.ndarray
    pairs: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that travel together: one non-empty Arrow record batch per kind, each in `ord` order.

    Nothing may depend on where one batch ends and the next begins.
    """

    kinds: Mapping[str, pa.RecordBatch]
    # Results computed from the rows, for the next caller.
    notes: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __getitem__(self, kind: str) -> pa.RecordBatch:
        """Return the rows of `kind`, an empty record batch if there are none."""
        rows = self.kinds.get(kind)
        return _EMPTY[kind] if rows is None else rows

    def __contains__(self, kind: str) -> bool:
        return kind in self.kinds

    @property
    def row_count(self) -> int:
        return sum(rows.num_rows for rows in self.kinds.values())

    @property
    def nbytes(self) -> int:
        return sum(rows.nbytes for rows in self.kinds.values())

    @property
    def now_ns(self) -> int | None:
        """The latest `ts_recv`, in ns since 1970, or None without rows."""
        latest = [int(column(rows, "ts_recv").max()) for rows in self.kinds.values()]
        return max(latest, default=None)

    @property
    def first_ns(self) -> int | None:
        """The `ts_recv` of the first rows, in ns since 1970, or None without rows."""
        first = [int(column(rows.slice(0, 1), "ts_recv")[0]) for rows in self.kinds.values()]
        return min(first, default=None)

    def by_instrument(self, kind: str) -> ByInstrument:
        """Return the instrument of each row of a kind; computed once."""
        found: ByInstrument | None = self.notes.get(kind)
        if found is None:
            found = self.notes[kind] = by_instrument(self[kind])
        return found

    def between(self, first: int, below: int | None) -> Batch:
        """Return the rows whose `ord`, or whose cause's, is in [first, below)."""
        kinds = {}
        for kind, rows in self.kinds.items():
            ords = column(rows, order_key(kind))
            start = int(np.searchsorted(ords, first))
            stop = len(ords) if below is None else int(np.searchsorted(ords, below))
            if stop > start:
                kinds[kind] = rows.slice(start, stop - start)
        return Batch(kinds)

    @property
    def ords(self) -> tuple[int, int] | None:
        """The first and the last `ord`, or None if no row carries one."""
        spans = [column(rows, "ord") for kind, rows in self.kinds.items() if kind != "signal"]
        if not spans:
            return None
        return min(int(span[0]) for span in spans), max(int(span[-1]) for span in spans)


def order_key(kind: str) -> str:
    """Return the column by which rows of a kind are ordered: signals stand at their cause."""
    return "cause_ord" if kind == "signal" else "ord"


def column(rows: pa.RecordBatch, name: str) -> np.ndarray:
    """Return a column as a numpy array: timestamps as int64 ns (null 0), numbers with null as NaN.

    Text comes as an object array. Integers must not be null, but for timestamps.
    """
    array = rows.column(name)
    if pa.types.is_timestamp(array.type):
        if array.null_count == len(array):
            return np.zeros(len(array), np.int64)
        # A cast would take five times as long.
        array = array.view(pa.int64())
        if array.null_count:
            array = array.fill_null(0)
    return np.asarray(array.to_numpy(zero_copy_only=False))


def by_instrument(rows: pa.RecordBatch) -> ByInstrument:
    """Return each row's instrument; only pairs that occur are there."""
    venues, symbols = (rows.column(name).dictionary_encode() for name in ("venue", "symbol"))
    venue_names, symbol_names = venues.dictionary.to_pylist(), symbols.dictionary.to_pylist()
    # Small integers sort and compare several times as fast.
    count = len(venue_names) * len(symbol_names)
    small = np.int16 if count <= np.iinfo(np.int16).max else np.int64
    codes = venues.indices.to_numpy().astype(small)
    codes *= len(symbol_names)
    codes += symbols.indices.to_numpy().astype(small)
    is_used = np.bincount(codes, minlength=1) > 0
    used = np.flatnonzero(is_used)
    index = (np.cumsum(is_used) - 1).astype(small)[codes]
    pairs = [divmod(code, len(symbol_names)) for code in used.tolist()]
    return ByInstrument(index, [(venue_names[v], symbol_names[s]) for v, s in pairs])


def updates(batch: Batch) -> Iterator[tuple[tuple[str, str], int, int]]:
    """Count a batch's updates: quotes, trades, and book messages by their last row.

    Yield an instrument, its count and its latest `ts_recv` in ns, once per kind.
    """
    for kind in ("quote", "trade", "book"):
        rows = batch[kind]
        if not rows.num_rows:
            continue
        codes, instruments = batch.by_instrument(kind)
        times = column(rows, "ts_recv")
        if kind == "book":
            ends = np.flatnonzero(column(rows, "flags") & LAST)
            codes, times = codes[ends], times[ends]
        latest = np.zeros(len(instruments), np.int64)
        np.maximum.at(latest, codes, times)
        counts = np.bincount(codes, minlength=len(instruments)).tolist()
        for instrument, count, last_ns in zip(instruments, counts, latest.tolist(), strict=True):
            if count:
                yield instrument, count, last_ns


def concat(batches: Iterable[Batch]) -> Batch:
    """Join batches, given in order, into one."""
    parts: dict[str, list[pa.RecordBatch]] = {}
    for batch in batches:
        for kind, rows in batch.kinds.items():
            parts.setdefault(kind, []).append(rows)
    return Batch({k: p[0] if len(p) == 1 else pa.concat_batches(p) for k, p in parts.items()})


def last_of_each_thing(rows: pa.RecordBatch) -> Batch:
    """Return the status rows in force: the last one of each subject."""
    table = pa.table(rows.select(["ord", *_THINGS]))
    table = table.append_column("is_origin", pc.equal(rows["kind"], "origin"))
    last = table.group_by([*_THINGS, "is_origin"]).aggregate([("ord", "max")])["ord_max"]
    found = rows.filter(pc.is_in(rows["ord"], last.combine_chunks()))
    return Batch({"status": found} if found.num_rows else {})


def to_wire(batch: Batch) -> pa.RecordBatch:
    """Pack a batch into one Arrow row of lists, so that a stream of batches has one schema."""
    lists = []
    for kind, of_kind in zip(KINDS, WIRE_SCHEMA, strict=True):
        rows = batch[kind]
        offsets = pa.array([0, rows.num_rows], pa.int32())
        lists.append(pa.ListArray.from_arrays(offsets, rows.to_struct_array(), type=of_kind.type))
    return pa.RecordBatch.from_arrays(lists, schema=WIRE_SCHEMA)


def from_wire(record: pa.RecordBatch) -> Batch:
    """Unpack what `to_wire` packed."""
    kinds = {}
    for kind in KINDS:
        rows = record.column(kind).flatten()
        if len(rows):
            kinds[kind] = pa.RecordBatch.from_struct_array(rows)
    return Batch(kinds)
