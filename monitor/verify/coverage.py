"""The share of time that was verified, and the share that was clean, by instrument.

Everything is computed from rows. The *guard* of an instrument shows losses: its books by numbers
(`sequence`: a row says what range it covers, or `seq_scope` is `connection`) or by Kraken's
checksums (`checksum`); where it has no books, its trades by their numbers. Without one it is
`unverifiable`, and no time of it is verified or clean.

*Verified* is the time during which that guard stood: of a book, from a good snapshot to the row
that shows it bad, or to the last row before its connection ended or rows were lost; of trades, from
the first to the last of each connection. Time in which REST stood in for the stream, or the source
had failed or was stopped, is not verified.

*Clean* is what remains of it without the time, from the last row before, in which a loss was seen
(`gap`, `checksum`, `crossed`, `undecodable`, rows that this program lost), and without that in
which the source was `stale`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.rows import DUPLICATE, LATE, MAYBE_BAD_BOOK, SYNTHETIC, Batch, column
from monitor.verify.book_checks import Instruments
from monitor.verify.book_fold import Bools, Ints

Interval = tuple[int, int]
# Venues whose every book message carries a checksum: no row says so.
SUMMED = ("kraken", "kraken-v1")
# Venues that count their trades up by one, though no other numbers: no row says so.
COUNTED_TRADES = ("kraken",)
SEEN_LOSSES = ("gap", "checksum", "crossed", "mismatch", "undecodable")
TOLD = (
    *(*SEEN_LOSSES, "duplicate", "late", "resync", "disconnected", "half_open", "overflow"),
    *("unrecorded", "restart", "book_missing"),
)
AWAY, STALE = ("polling", "failed", "stopped"), ("stale",)
UNVERIFIABLE = "unverifiable"
_BITS = 44


@dataclass
class Source:
    """The coverage of one instrument, from its rows; times in ns since 1970."""

    rows: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    seq_scope: str | None = None
    has_ranges: bool = False
    conn: int = -1
    last_ns: int | None = None
    # Since when the book and the trade numbers are guarded; None where they are not.
    book_since: int | None = None
    trade_since: int | None = None
    books: list[Interval] = field(default_factory=list)
    trades: list[Interval] = field(default_factory=list)
    away: list[Interval] = field(default_factory=list)
    unclean: list[Interval] = field(default_factory=list)
    state: str = ""
    state_ns: int = 0

    def guard(self, venue: str) -> str:
        """Return the guard: `sequence`, `checksum`, or `unverifiable`."""
        if self.seq_scope == "connection":
            return "sequence"
        if self.rows["book"]:
            if self.has_ranges:
                return "sequence"
            return "checksum" if venue in SUMMED else UNVERIFIABLE
        counted = self.seq_scope == "symbol" or venue in COUNTED_TRADES
        return "sequence" if counted and self.rows["trade"] else UNVERIFIABLE

    def end_book(self, at_ns: int) -> None:
        if self.book_since is not None:
            self.books.append((self.book_since, at_ns))
            self.book_since = None

    def end_trades(self, at_ns: int) -> None:
        if self.trade_since is not None:
            self.trades.append((self.trade_since, at_ns))
            self.trade_since = None

    def be(self, state: str, at_ns: int) -> None:
        """Enter a state and end the one before."""
        if self.state in AWAY:
            self.away.append((self.state_ns, at_ns))
        elif self.state in STALE:
            self.unclean.append((self.state_ns, at_ns))
        self.state, self.state_ns = state, at_ns


class Coverage:
    """Follows the rows of batches, given in `ord` order."""

    def __init__(self, instruments: Instruments) -> None:
        self.told: Counter[str] = Counter()
        self._instruments = instruments
        self._sources: dict[int, Source] = {}

    def take(self, batch: Batch, holes: Iterable[int]) -> None:
        """Take the next rows; `holes` are the `ord`s right after missing rows."""
        seen = _Seen(batch, self._instruments)
        for kind, codes in seen.codes.items():
            for code, count in enumerate(np.bincount(codes).tolist()):
                if count:
                    self._source(code).rows[kind] += count
        for row in batch["instrument"].select(["venue", "symbol", "seq_scope"]).to_pylist():
            source = self._source(self._instruments.code((row["venue"], row["symbol"])))
            source.seq_scope = row["seq_scope"]
        if "book" in batch:
            ranged = np.asarray(batch["book"]["seq_first"].is_valid())
            for code in np.unique(seen.codes["book"][ranged]).tolist():
                self._source(code).has_ranges = True
        events: list[tuple[int, int, Any]] = [(hole, 0, None) for hole in holes]
        events += [(order, 1, (code, at_ns, good)) for order, code, at_ns, good in seen.turns()]
        events += [(order, 1, (code, at_ns, None)) for order, code, at_ns in seen.trades()]
        status = batch["status"]
        times = column(status, "ts_recv").tolist() if status.num_rows else []
        told = status.drop_columns(["ts_recv", "ts_event", "ts_sent"]).to_pylist()
        events += [
            (row["ord"], 2, {**row, "ts_recv": at_ns})
            for row, at_ns in zip(told, times, strict=True)
        ]
        events.sort(key=lambda event: event[:2])
        for order, what, event in events:
            if what == 0:
                self._lose_rows(order, seen)
            elif what == 1:
                self._turn(*event)
            else:
                self._take_status(event, seen)
        for code, (conn, last_ns) in seen.lasts().items():
            source = self._source(code)
            source.conn, source.last_ns = conn, last_ns

    def of(self, code: int, span: Interval) -> tuple[list[Interval], list[Interval]]:
        """Return when an instrument was verified, and when clean, within a span of time."""
        source = self._source(code)
        if source.guard(self._instruments.names[code][0]) == UNVERIFIABLE:
            return [], []
        books = source.rows["book"] > 0
        stood = [*(source.books if books else source.trades)]
        since = source.book_since if books else source.trade_since
        if since is not None:
            stood.append((since, span[1] if books else source.last_ns or since))
        away, unclean = list(source.away), list(source.unclean)
        if source.state in AWAY:
            away.append((source.state_ns, span[1]))
        elif source.state in STALE:
            unclean.append((source.state_ns, span[1]))
        verified = _minus(_merged(stood, span), _merged(away, span))
        return verified, _minus(verified, _merged(unclean, span))

    def sources(self) -> dict[int, Source]:
        """Return the instruments that have data or were listed."""
        return {code: s for code, s in self._sources.items() if s.rows or s.seq_scope is not None}

    def _source(self, code: int) -> Source:
        return self._sources.setdefault(code, Source())

    def _turn(self, code: int, at_ns: int, good: bool | None) -> None:
        source = self._source(code)
        if good is None:
            source.trade_since = at_ns if source.trade_since is None else source.trade_since
        elif not good:
            source.end_book(at_ns)
        elif source.book_since is None:
            source.book_since = at_ns

    def _lose_rows(self, order: int, seen: _Seen) -> None:
        after_ns = seen.time_at(order)
        for code, source in self._sources.items():
            before_ns = seen.last(code, order, source)[1]
            if before_ns is not None:
                source.end_book(before_ns)
                source.unclean.append((before_ns, max(before_ns, after_ns)))

    def _take_status(self, row: dict[str, Any], seen: _Seen) -> None:
        kind, at_ns, order = row["kind"], row["ts_recv"], row["ord"]
        restated = bool(row["flags"] & SYNTHETIC)
        # The state of each symbol repeats that of its connection.
        if kind in TOLD and not restated and row["scope"] != "symbol":
            self.told[kind] += 1
        if row["symbol"] is not None:
            code = self._instruments.code((row["venue"], row["symbol"]))
            source = self._source(code)
            if row["scope"] == "symbol":
                if kind != "symbol_assumed":
                    source.be(row["state"], at_ns)
                return
            if not restated:
                source.told[kind] += kind in TOLD
                self._see_loss(row, code, at_ns, seen)
            return
        if row["scope"] != "connection" or restated:
            return
        for code, source in list(self._sources.items()):
            conn, last_ns = seen.last(code, order, source)
            if self._instruments.names[code][0] == row["venue"] and conn == row["conn"]:
                source.told[kind] += kind in TOLD
                self._see_loss(row, code, at_ns, seen)
                if row["state"] in ("failed", "stopped") and last_ns is not None:
                    # Silence proves nothing if the connection ended after it.
                    source.end_book(last_ns)
                    source.end_trades(last_ns)

    def _see_loss(self, row: dict[str, Any], code: int, at_ns: int, seen: _Seen) -> None:
        if row["kind"] not in SEEN_LOSSES:
            return
        source = self._source(code)
        before_ns = seen.last(code, row["ord"], source)[1]
        source.unclean.append((at_ns if before_ns is None else before_ns, at_ns))
        whole = row["scope"] == "connection" and row["kind"] == "gap"
        if whole or row["channel"] == "book":
            source.end_book(at_ns)


class _Seen:
    """The data rows of a batch by instrument, and the last one before any `ord`."""

    def __init__(self, batch: Batch, instruments: Instruments) -> None:
        self._batch = batch
        kinds = [kind for kind in ("quote", "trade", "book") if kind in batch]
        self.codes = {kind: instruments.codes(batch[kind]) for kind in kinds}
        columns = {
            name: np.concatenate(
                [np.empty(0, np.int64), *(column(batch[k], name).astype(np.int64) for k in kinds)]
            )
            for name in ("ord", "ts_recv", "conn")
        }
        codes = np.concatenate([np.empty(0, np.int64), *self.codes.values()])
        keys = (codes << _BITS) | columns["ord"]
        order = np.argsort(keys)
        self._keys, self._codes = keys[order], codes[order]
        self._conns, self._times = columns["conn"][order], columns["ts_recv"][order]

    def last(self, code: int, order: int, source: Source) -> tuple[int, int | None]:
        """Return connection and time of an instrument's last row before an `ord`."""
        at = int(np.searchsorted(self._keys, (code << _BITS) | order)) - 1
        if at >= 0 and self._codes[at] == code:
            return int(self._conns[at]), int(self._times[at])
        return source.conn, source.last_ns

    def lasts(self) -> dict[int, tuple[int, int]]:
        """Return connection and time of each instrument's last row."""
        ends = np.flatnonzero(np.append(self._codes[1:] != self._codes[:-1], len(self._codes) > 0))
        names = (self._codes, self._conns, self._times)
        found = zip(*(values[ends].tolist() for values in names), strict=True)
        return {code: (conn, last_ns) for code, conn, last_ns in found}

    def time_at(self, order: int) -> int:
        """Return the time of the first row at or after an `ord`."""
        found = []
        for kind, rows in self._batch.kinds.items():
            if kind != "signal":
                at = int(np.searchsorted(column(rows, "ord"), order))
                if at < rows.num_rows:
                    found.append((int(column(rows, "ord")[at]), int(column(rows, "ts_recv")[at])))
        return min(found)[1] if found else 0

    def turns(self) -> list[tuple[int, int, int, bool]]:
        """Return `ord`, instrument, time and verdict where a book turns good or bad."""
        rows = self._batch["book"]
        if not rows.num_rows:
            return []
        flags, codes = column(rows, "flags"), self.codes["book"]
        bad = flags & MAYBE_BAD_BOOK != 0
        clears: Bools = ~np.asarray(rows["side"].is_valid())
        at = np.flatnonzero((bad | clears) & (flags & (DUPLICATE | LATE) == 0))
        at = at[np.argsort(codes[at], kind="stable")]
        changes = np.ones(len(at), np.bool_)
        changes[1:] = (codes[at][1:] != codes[at][:-1]) | (bad[at][1:] != bad[at][:-1])
        at = at[changes]
        return _listed(rows, at, codes, ~bad)

    def trades(self) -> list[tuple[int, int, int]]:
        """Return `ord`, instrument and time of each connection's first trade of an instrument."""
        rows = self._batch["trade"]
        if not rows.num_rows:
            return []
        conns = column(rows, "conn").astype(np.int64)
        _, at = np.unique((self.codes["trade"] << 32) | conns, return_index=True)
        return [turn[:3] for turn in _listed(rows, at, self.codes["trade"], conns >= 0)]


def _listed(
    rows: pa.RecordBatch, at: Ints, codes: Ints, verdict: Bools
) -> list[tuple[int, int, int, bool]]:
    columns = (column(rows, "ord"), codes, column(rows, "ts_recv"), verdict)
    return list(zip(*(values[at].tolist() for values in columns), strict=True))


def length_ns(intervals: Iterable[Interval]) -> int:
    return sum(end - start for start, end in intervals)


def _merged(intervals: Iterable[Interval], span: Interval) -> list[Interval]:
    """Join overlapping intervals, within a span."""
    merged: list[Interval] = []
    inside = ((max(start, span[0]), min(end, span[1])) for start, end in sorted(intervals))
    for start, end in inside:
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _minus(intervals: Iterable[Interval], holes: list[Interval]) -> list[Interval]:
    """Subtract merged intervals from others."""
    left, at = [], 0
    for start, end in intervals:
        while at < len(holes) and holes[at][1] <= start:
            at += 1
        since, next_at = start, at
        while next_at < len(holes) and holes[next_at][0] < end:
            if holes[next_at][0] > since:
                left.append((since, holes[next_at][0]))
            since = holes[next_at][1]
            next_at += 1
        if since < end:
            left.append((since, end))
    return left
