"""The state of a recording before a moment, as few rows and counts.

A page that is filled with the last minute alone would count losses, updates and bars only from
there. Ticks are counted in pieces of `PIECE_ORDS` rows, once while the recording is open.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.recordings.segment_files import SegmentFile, owned
from monitor.rows import (
    BACKFILL,
    DUPLICATE,
    FIRST_ORIGIN,
    LAST,
    SCHEMAS,
    SECOND_NS,
    SNAPSHOT,
    Batch,
    by_instrument,
    column,
    concat,
    last_of_each_thing,
    order_key,
)
from monitor.state import HOOK, KEPT_BARS, KEPT_S, LEVELS, Columns, folded

Instrument = tuple[str, str]
Bars = dict[Instrument, Columns]
Switch = tuple[int, str, str, str]
# Venue, time in ns and connection.
Refusal = tuple[str, int, int]

PIECE_ORDS = 262_144
# The number of signals of any hook, and of trades of each instrument, shown from before.
SIGNALS, TRADES = 500, 100
# Plots of rates reach back this far.
STAT_NS = 300 * SECOND_NS

_FRESH = f"flags & {DUPLICATE} = 0"
_TRADED = (
    f"CASE WHEN flags & {SNAPSHOT | BACKFILL} <> 0 THEN coalesce(ts_event, ts_recv)"
    " ELSE ts_recv END"
)


class Known(NamedTuple):
    """The number of updates of an instrument, and the times of the first and the last in ns."""

    updates: int
    first_ns: int
    last_ns: int


class Past(NamedTuple):
    """The state before a moment.

    `rows` are the rows that readers need one by one: all of `status`; of `stat` those that count
    gaps, duplicates or late rows, the first with newer data after each refusal and the last of each
    channel; and the signals that are still shown. `lasts` are the last rows of `quote`
    (authoritative only), `trade`, `depth` and `stat`. `bars` are of a second and of a minute, by
    their length in seconds. `in_force` are the last status rows of each thing.
    """

    known: dict[Instrument, Known]
    bars: dict[int, Bars]
    rows: Batch
    lasts: Batch
    in_force: Batch


class Ticks:
    """The ticks of one file, counted piece by piece up to the highest `ord` requested."""

    def __init__(self, file: SegmentFile, switches: Sequence[Switch]) -> None:
        self._file, self._ords = file, file.entry.ords
        self._switches = switches
        self._until = self._ords[0]
        self._counts: list[pa.Table] = []
        self._seconds: list[pa.Table] = []
        self._whole: dict[int, Bars] | None = None

    def counts(self, begin: int) -> pa.Table:
        """Count rows by kind and instrument below an `ord`; a group may have several rows."""
        at = self._count_to(begin)
        return pa.concat_tables(
            [*self._counts[:at], self._counted(self._piece(at), begin, str(at))]
        )

    def bars(self, begin: int) -> dict[int, Bars]:
        """Return the bars of the trades below an `ord`."""
        at = self._count_to(begin)
        if begin <= self._ords[1]:
            return _bars([*self._seconds[:at], self._folded(self._piece(at), begin)])
        if self._whole is None:
            self._whole = _bars([*self._seconds, self._folded(self._until, begin)])
        return self._whole

    def lasts(self, begin: int, from_ns: int, counts: pa.Table) -> Batch:
        """Return the last rows below an `ord`, given the counts up to it."""
        ends = counts.group_by(["kind", "venue", "symbol", "origin"])
        found = ends.aggregate([("last_ord", "max")]).to_pylist()
        depths = [row["last_ord_max"] for row in found if row["kind"] == "depth"]
        trades = f"ord >= {self._trades_from(counts)} AND ord < {begin} AND {_FRESH}"
        trades += " QUALIFY row_number() OVER (PARTITION BY venue, symbol ORDER BY ord DESC)"
        return self._batch(
            {
                "quote": _at(self._quotes(begin, [row for row in found if row["kind"] == "quote"])),
                "trade": f"{trades} <= {TRADES}",
                "depth": _at(depths),
                "stat": f"ord < {begin} AND ts_recv >= make_timestamp_ns({from_ns - STAT_NS})",
            }
        )

    def _quotes(self, begin: int, lasts: Sequence[dict[str, Any]]) -> Iterator[int | None]:
        """Yield the `ord` of each instrument's last authoritative quote, given all origins'."""
        known = {(row["venue"], row["symbol"], row["origin"]): row["last_ord_max"] for row in lasts}
        for venue, symbol in {(venue, symbol) for venue, symbol, _ in known}:
            until = begin - 1
            mine = [s for s in self._switches if s[1:3] == (venue, symbol) and s[0] < begin]
            for after, origin in [*((s[0], s[3]) for s in reversed(mine)), (-1, FIRST_ORIGIN)]:
                last = known.get((venue, symbol, origin))
                if last is not None and last > until:
                    # This origin continued after another became authoritative.
                    query = f"SELECT max(ord) FROM quote WHERE ord <= {until} AND {_FRESH}"
                    query += " AND venue = ? AND symbol = ? AND origin = ?"
                    values = [venue, symbol, origin]
                    (last,) = self._select(query, values).column(0).to_pylist()
                if last is not None and last > after:
                    yield last
                    break
                until = min(until, after)

    def rows(self, begin: int, refusals: Sequence[Refusal]) -> Batch:
        """Return the rows below an `ord` that readers need one by one."""
        counting = "coalesce(gaps, 0) + coalesce(duplicates, 0) + coalesce(late, 0) > 0"
        last = f"SELECT max(ord) FROM stat WHERE ord < {begin} GROUP BY venue, symbol, channel"
        after = self._after(begin, refusals)
        newest = f"SELECT cause_ord FROM signal WHERE cause_ord < {begin}"
        newest += f" ORDER BY cause_ord DESC LIMIT {SIGNALS}"
        levels = ", ".join(f"'{level}'" for level in LEVELS)
        return self._batch(
            {
                "status": f"ord < {begin}",
                "stat": f"ord < {begin} AND ({counting} OR ord IN ({last}) OR {after})",
                "signal": f"cause_ord < {begin} AND (hook = '{HOOK}' OR level IN ({levels})"
                f" OR cause_ord >= (SELECT min(cause_ord) FROM ({newest})))",
            }
        )

    def _after(self, begin: int, refusals: Sequence[Refusal]) -> str:
        """Return the SQL condition of the first `stat` row with newer data after each refusal."""
        found: set[int] = set()
        for venue, conn in {(venue, conn) for venue, _, conn in refusals}:
            query = (
                "SELECT ord, epoch_ns(ts_recv) - (coalesce(age_ms, 0) * 1e6)::BIGINT AS data_ns"
                f" FROM stat WHERE ord < {begin} AND rows > 0 AND venue = ? AND conn >= ?"
                " ORDER BY ord"
            )
            told = self._select(query, [venue, conn])
            newest = np.maximum.accumulate(told["data_ns"].to_numpy())
            times = [at_ns for name, at_ns, of in refusals if (name, of) == (venue, conn)]
            at = np.unique(np.searchsorted(newest, times, "right"))
            found.update(told["ord"].to_numpy()[at[at < len(newest)]].tolist())
        return f"({_at(found)})"

    def _batch(self, wanted: dict[str, str]) -> Batch:
        kinds = {}
        for kind, condition in wanted.items():
            key = "cause_ord" if kind == "signal" else "ord"
            table = self._select(f"FROM (FROM {kind} WHERE {condition}) ORDER BY {key}")
            rows = table.cast(SCHEMAS[kind]).combine_chunks()
            if rows.num_rows:
                kinds[kind] = rows.to_batches()[0]
        return Batch(kinds)

    def _select(self, query: str, params: Sequence[Any] = ()) -> pa.Table:
        with self._file.use() as con:
            return owned(con.sql(query, params=list(params) or None).to_arrow_table())

    def _piece(self, at: int) -> int:
        return self._ords[0] + at * PIECE_ORDS

    def _count_to(self, begin: int) -> int:
        """Count all whole pieces below an `ord`; return their number."""
        at = max(0, min(begin, self._ords[1] + 1) - self._ords[0]) // PIECE_ORDS
        end = self._piece(at)
        if end > self._until:
            piece = f"(ord - {self._ords[0]}) // {PIECE_ORDS}"
            for kept, read in ((self._counts, self._counted), (self._seconds, self._folded)):
                table = read(self._until, end, piece).sort_by("piece")
                places = table["piece"].to_numpy()
                first = len(kept)
                bounds = np.searchsorted(places, np.arange(first, at + 1))
                for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
                    kept.append(table.slice(start, stop - start))
            self._until = end
        return at

    def _counted(self, first: int, below: int, piece: str = "0") -> pa.Table:
        parts = []
        for kind in ("quote", "trade", "depth", "book"):
            ends = f" AND flags & {LAST} <> 0" if kind == "book" else ""
            parts.append(
                f"SELECT '{kind}' AS kind, ({piece})::BIGINT AS piece, venue, symbol,"
                f" {'origin' if kind == 'quote' else 'NULL'} AS origin, count(*) AS n,"
                " epoch_ns(min(ts_recv)) AS first, epoch_ns(max(ts_recv)) AS last,"
                f" max(ord) FILTER (WHERE {_FRESH}) AS last_ord FROM {kind}"
                f" WHERE ord >= {first} AND ord < {below} AND symbol IS NOT NULL{ends} GROUP BY ALL"
            )
        return self._select(" UNION ALL ".join(parts))

    def _folded(self, first: int, below: int, piece: str = "0") -> pa.Table:
        # Of trades at one time, the first received opens the bar and the last closes it.
        place = "traded::HUGEINT * 18446744073709551616 + ord"
        query = f"""
            SELECT ({piece})::BIGINT AS piece, venue, symbol,
                traded // {SECOND_NS} * {SECOND_NS} AS start,
                min(traded) AS first, arg_min(price, {place}) AS open,
                max(traded) AS last, arg_max(price, {place}) AS close,
                max(price) AS high, min(price) AS low, coalesce(sum(size), 0) AS volume,
                count(*) AS trades
            FROM (SELECT *, epoch_ns({_TRADED}) AS traded FROM trade
                WHERE {_FRESH} AND isfinite(price) AND symbol IS NOT NULL
                AND ord >= {first} AND ord < {below})
            GROUP BY ALL ORDER BY piece, start"""
        return self._select(query)

    def _trades_from(self, counts: pa.Table) -> int:
        """Return an `ord` from which each instrument has `TRADES` trades, or all its trades."""
        names = ("kind", "venue", "symbol", "piece", "n")
        found: dict[Instrument, int] = {}
        lowest = 0
        for kind, venue, symbol, piece, count in reversed(
            list(zip(*(counts[name].to_pylist() for name in names), strict=True))
        ):
            if kind == "trade" and found.get((venue, symbol), 0) < TRADES:
                found[venue, symbol] = found.get((venue, symbol), 0) + count
                lowest = piece
        return self._piece(lowest) if found and min(found.values()) >= TRADES else 0


class File(NamedTuple):
    """A file of a recording, and its first and last `ord`."""

    ticks: Ticks
    ords: tuple[int, int]


def read(files: Sequence[File], begin: int, from_ns: int, refusals: Sequence[Refusal]) -> Past:
    """Read the state before the `ord` `begin`, whose time is `from_ns`."""
    known: dict[Instrument, Known] = {}
    parts: list[dict[int, Bars]] = []
    rows, lasts = [], []
    for file in files:
        if file.ords[0] >= begin:
            break
        counts = file.ticks.counts(begin)
        known = _together(known, _known(counts))
        parts.append(file.ticks.bars(begin))
        rows.append(file.ticks.rows(begin, refusals))
        lasts.append(file.ticks.lasts(begin, from_ns, counts))
    before = concat(rows)
    return Past(known, _joined(parts), before, concat(lasts), last_of_each_thing(before["status"]))


def merged(pasts: Sequence[Past]) -> Past:
    """Return the state before a moment in several recordings that are read as one.

    An instrument in several recordings has its last quote by each recording's own origins.
    """
    known: dict[Instrument, Known] = {}
    for past in pasts:
        known = _together(known, past.known)
    rows, lasts, in_force = (
        _by_time([getattr(past, name) for past in pasts]) for name in ("rows", "lasts", "in_force")
    )
    return Past(known, _joined([past.bars for past in pasts]), rows, lasts, in_force)


def _by_time(batches: Sequence[Batch]) -> Batch:
    """Join rows of several recordings by time, and renumber them in that order."""
    joined = concat(batches)
    keys = []
    for which, batch in enumerate(batches):
        for kind, rows in batch.kinds.items():
            ords, times = column(rows, order_key(kind)), column(rows, "ts_recv")
            keys.append((kind, ords, np.full(len(ords), which), np.maximum.accumulate(times)))
    if not keys:
        return joined
    columns = (np.concatenate([key[at] for key in keys]) for at in (1, 2, 3))
    places = np.empty(joined.row_count, np.uint64)
    places[np.lexsort(tuple(columns))] = np.arange(joined.row_count)
    ends = np.cumsum([len(key[1]) for key in keys])
    parts = list(zip((key[0] for key in keys), np.split(places, ends[:-1]), strict=True))
    kinds = {}
    for kind, rows in joined.kinds.items():
        mine = np.concatenate([part for of, part in parts if of == kind])
        order = np.argsort(mine)
        name = order_key(kind)
        at = rows.schema.get_field_index(name)
        taken = rows.take(pa.array(order))
        kinds[kind] = taken.set_column(at, rows.schema.field(at), pa.array(mine[order]))
    return Batch(kinds)


def _together(
    one: dict[Instrument, Known], other: dict[Instrument, Known]
) -> dict[Instrument, Known]:
    both = dict(one)
    for instrument, new in other.items():
        old = both.get(instrument, Known(0, new.first_ns, 0))
        both[instrument] = Known(
            old.updates + new.updates,
            min(old.first_ns, new.first_ns),
            max(old.last_ns, new.last_ns),
        )
    return both


def _known(counts: pa.Table) -> dict[Instrument, Known]:
    # A `depth` row is a copy of a book, not a message of the venue.
    ticks = counts.filter(pc.not_equal(counts["kind"], "depth")).group_by(["venue", "symbol"])
    found = ticks.aggregate([("n", "sum"), ("first", "min"), ("last", "max")])
    names = ("venue", "symbol", "n_sum", "first_min", "last_max")
    rows = zip(*(found[name].to_pylist() for name in names), strict=True)
    return {(venue, symbol): Known(*values) for venue, symbol, *values in rows}


def _bars(tables: Iterable[pa.Table]) -> dict[int, Bars]:
    """Return the bars of each kept length, given one-second bars by piece."""
    table = pa.concat_tables(tables).combine_chunks()
    if not table.num_rows:
        return {}
    rows = table.to_batches()[0]
    codes, instruments = by_instrument(rows)
    columns = {name: column(rows, name) for name in rows.schema.names[3:]}
    columns["fold"] = np.ones(len(codes), np.int64)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(instruments) + 1))
    bars: dict[int, Bars] = {kept_s: {} for kept_s in KEPT_S}
    for code, instrument in enumerate(instruments):
        at = order[bounds[code] : bounds[code + 1]]
        mine = {name: values[at] for name, values in columns.items()}
        for kept_s in KEPT_S:
            bars[kept_s][instrument] = folded(mine, kept_s * SECOND_NS)
    return bars


def _joined(parts: Sequence[dict[int, Bars]]) -> dict[int, Bars]:
    """Join the bars of several files, given in order; keep the newest `KEPT_BARS`."""
    joined: dict[int, Bars] = {kept_s: {} for kept_s in KEPT_S}
    # Start with the newest, until there are enough.
    kept: dict[tuple[int, Instrument], deque[Columns]] = {}
    for part in reversed(parts):
        for kept_s, by_name in part.items():
            for instrument, bars in by_name.items():
                found = kept.setdefault((kept_s, instrument), deque())
                if sum(len(one["start"]) for one in found) <= KEPT_BARS + 1:
                    found.appendleft(bars)
    for (kept_s, instrument), found in kept.items():
        together = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
        bars = folded(together, kept_s * SECOND_NS) if len(found) > 1 else together
        joined[kept_s][instrument] = {name: values[-KEPT_BARS:] for name, values in bars.items()}
    return joined


def _at(ords: Iterable[int | None]) -> str:
    """Return the SQL condition of rows by `ord`; its bounds avoid reading the rest of the file."""
    found = [number for number in ords if number is not None]
    if not found:
        return "false"
    listed = ", ".join(str(number) for number in found)
    return f"ord >= {min(found)} AND ord <= {max(found)} AND ord IN ({listed})"
