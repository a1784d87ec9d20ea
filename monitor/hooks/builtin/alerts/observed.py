"""The state of every instrument, sampled from rows every 100 ms of recorded time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.hooks.builtin.alerts.tracks import Bools, Floats, Gathered, Ints, Track, widen
from monitor.rows import BACKFILL, DUPLICATE, INVALID, SNAPSHOT, Authority, Batch, column

STEP_NS = 100_000_000
# A longer batch is processed in pieces.
MOST_LOOKS = 256
# Status rows that are counted, by what they count as.
EVENTS = {
    "gap": "gap",
    "checksum": "checksum",
    "crossed": "crossed",
    "unrecorded": "unrecorded",
    "overflow": "unrecorded",
}
SPACE = {"low_space": 1.0, "space_again": 0.0}
GOOD = ("connected", "quiet", "polling")
UNTRUE = SNAPSHOT | BACKFILL | DUPLICATE

# A venue and a symbol; this program itself is the first subject, as its own rows name it.
Subject = tuple[str, str | None]
RECORDER: Subject = ("monitor", None)
# Samples are a tenth of a second apart, except where the clock was set forward.
JUMP, LEAST_JUMP_NS = "clock_jump", 1_000_000_000


class Sight:
    """All subjects at a sample. Arrays are by subject; an unknown value is NaN.

    A sample is taken at the first row of a new tenth of a second, from the rows before it: the
    batches do not matter.
    """

    def __init__(self) -> None:
        self.subjects: list[Subject] = [RECORDER]
        self.now_ns = 0
        self.seen = np.zeros(1, np.bool_)
        self.stopped = np.zeros(1, np.bool_)
        # When the last data came, and since when there has been no line; 0 while there is one.
        self.last_ns, self.down_ns = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self.spread: tuple[Floats, Floats] = (np.empty(0), np.empty(0))
        self.price: tuple[Floats, Floats] = (np.empty(0), np.empty(0))
        self.latency_ms = np.full(1, np.nan)
        self.lag_ms = self.low_space = 0.0
        # Since the last sample.
        self.messages = np.zeros(1)
        self.events: dict[str, Floats] = {}
        self._places: dict[Subject, int] = {RECORDER: 0}
        self._authority = Authority()
        self._grid: int | None = None
        self._latest_ns = 0
        self._spread, self._mid, self._trade = Track(), Track(), Track()
        self._quoted = np.zeros(1, np.bool_)
        self._data, self._rows = Gathered(np.fmax, 0), Gathered(np.add, 0)
        self._latency, self._present = Gathered(np.fmax, np.nan), Gathered(np.fmax, 0)
        self._lag = Gathered(np.fmax, 0)
        # Status rows of the interval that is still open.
        self._told: list[dict[str, Any]] = []

    def looks(self, batch: Batch) -> Iterator[tuple[int, int]]:
        """Take a batch; at each sample in it, yield the `ord` and `ts_recv` of its row."""
        ords, times = self._ticks(batch)
        if len(ords) <= MOST_LOOKS:
            yield from self._looks(batch, ords, times)
            return
        first = 0
        for start in range(0, len(ords), MOST_LOOKS):
            piece = slice(start, start + MOST_LOOKS)
            is_last = start + MOST_LOOKS >= len(ords)
            below = None if is_last else int(ords[start + MOST_LOOKS])
            yield from self._looks(batch.between(first, below), ords[piece], times[piece])
            first = below or 0

    def _ticks(self, batch: Batch) -> tuple[Ints, Ints]:
        timed = [rows for kind, rows in batch.kinds.items() if kind != "signal"]
        if not timed:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        ords = np.concatenate([column(rows, "ord") for rows in timed])
        times = np.concatenate([column(rows, "ts_recv") for rows in timed])
        order = np.argsort(ords, kind="stable")
        latest = np.maximum.accumulate(times[order])
        np.maximum(latest, self._latest_ns, out=latest)
        grid = latest // STEP_NS
        before = int(grid[0]) if self._grid is None else self._grid
        at = np.flatnonzero(np.diff(grid, prepend=before) > 0)
        self._latest_ns, self._grid = int(latest[-1]), int(grid[-1])
        return ords[order[at]], latest[at]

    def _looks(self, batch: Batch, ords: Ints, times: Ints) -> Iterator[tuple[int, int]]:
        told = self._take(batch, ords)
        for slot, (ord_, now_ns) in enumerate(zip(ords.tolist(), times.tolist(), strict=True)):
            self._look(slot, now_ns, told[slot])
            yield ord_, now_ns

    def _take(self, batch: Batch, ords: Ints) -> list[list[dict[str, Any]]]:
        """Sort a batch's rows into intervals: one before each sample, and an open one.

        Returns the status rows of each.
        """
        quotes, quoted, pairs = self._authority.quotes(batch)
        told = _telling(batch["status"])
        found = {kind: batch.by_instrument(kind) for kind in ("quote", "trade", "book", "stat")}
        self._know([pair for codes, names in found.values() for pair in names])
        self._know([subject for subject in map(_subject, told) if subject[1]])
        tables = (self._spread, self._mid, self._trade, self._data, self._rows, self._latency)
        for table in (*tables, self._present, self._lag):
            table.begin(len(ords) + 1, len(self.subjects))
        for kind, (codes, names) in found.items():
            rows = batch[kind]
            if not rows.num_rows:
                continue
            slots, subjects = _slots(ords, rows), self._at(names)[codes]
            times = column(rows, "ts_recv")
            self._present.take(slots, subjects, 1)
            if kind == "stat":
                self._rows.take(slots, subjects, column(rows, "rows"))
                self._latency.take(slots, subjects, column(rows, "latency_p99_ms"))
                continue
            # Backfilled rows do not show that the stream is alive.
            is_data = column(rows, "flags") & (INVALID | BACKFILL) == 0
            self._data.take(slots[is_data], subjects[is_data], times[is_data])
            if kind == "trade":
                true = column(rows, "flags") & UNTRUE == 0
                self._trade.take(slots[true], subjects[true], column(rows, "price")[true])
        if quotes.num_rows:
            slots, subjects = _slots(ords, quotes), self._at(pairs)[quoted]
            bid, ask = column(quotes, "bid"), column(quotes, "ask")
            mid = (bid + ask) / 2
            with np.errstate(divide="ignore", invalid="ignore"):
                self._spread.take(slots, subjects, (ask - bid) / mid * 1e4)
            self._mid.take(slots, subjects, mid)
        if clocks := batch.kinds.get("clock"):
            slots = _slots(ords, clocks)
            self._lag.take(slots, np.zeros_like(slots), column(clocks, "recorder_lag_ms"))
        by_slot: list[list[dict[str, Any]]] = [[] for _ in range(len(ords) + 1)]
        by_slot[0] = self._told
        for row in told:
            by_slot[int(np.searchsorted(ords, row["ord"], side="right"))].append(row)
        self._told = by_slot[-1]
        return by_slot

    def _look(self, slot: int, now_ns: int, told: list[dict[str, Any]]) -> None:
        """Advance everything to the end of an interval."""
        count = len(self.subjects)
        if any(row["kind"] == JUMP for row in told) and now_ns - self.now_ns > LEAST_JUMP_NS:
            # A step of the clock is no time without rows.
            self.last_ns += now_ns - self.now_ns
            self.down_ns[self.down_ns > 0] += now_ns - self.now_ns
        self.now_ns = now_ns
        data = self._data.table[slot].astype(np.int64)
        present = (self._present.table[slot] > 0) | (data > 0)
        present[[self._places[told_of] for told_of in map(_subject, told) if told_of[1]]] = True
        unheard = present & ~self.seen & (data == 0)
        self.seen |= present
        self.last_ns = np.where(unheard, now_ns, np.maximum(self.last_ns, data))
        self.spread = self._spread.look(slot)
        mid, trade = self._mid.look(slot), self._trade.look(slot)
        self._quoted |= ~np.isnan(mid[0])
        self.price = (
            np.where(self._quoted, mid[0], trade[0]),
            np.where(self._quoted, mid[1], trade[1]),
        )
        latency = self._latency.table[slot]
        self.latency_ms = np.where(np.isnan(latency), self.latency_ms, latency)
        self.messages = self._rows.table[slot]
        self.lag_ms = float(self._lag.table[slot, 0])
        self.events = {kind: np.zeros(count) for kind in EVENTS.values()}
        for row in told:
            self._hear(row)

    def _hear(self, row: dict[str, Any]) -> None:
        kind, place = row["kind"], self._places.get(_subject(row))
        if kind in SPACE:
            self.low_space = SPACE[kind]
        elif EVENTS.get(kind) == "unrecorded":
            self.events["unrecorded"][0] += 1
        elif kind in EVENTS:
            counts = self.events[EVENTS[kind]]
            counts[self._of_venue(row["venue"]) if place is None else place] += 1
        if row["scope"] == "symbol" and place and kind != "symbol_assumed":
            state = row["state"]
            self.stopped[place] = state == "stopped"
            if state in GOOD or state == "stopped":
                self.down_ns[place] = 0
            elif not self.down_ns[place]:
                self.down_ns[place] = row["ts_recv"]
            if state == "stopped":
                self.latency_ms[place] = np.nan

    def _of_venue(self, venue: str) -> Bools:
        of_it = np.array([name == venue for name, _ in self.subjects], np.bool_)
        return np.logical_and(self.seen, of_it)

    def _know(self, pairs: Sequence[Subject]) -> None:
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._places]
        if not new:
            return
        for pair in new:
            self._places[pair] = len(self.subjects)
            self.subjects.append(pair)
        count = len(self.subjects)
        self.seen, self.stopped, self._quoted = (
            widen(flags, count, 0) for flags in (self.seen, self.stopped, self._quoted)
        )
        self.last_ns, self.down_ns = (widen(t, count, 0) for t in (self.last_ns, self.down_ns))
        self.latency_ms = widen(self.latency_ms, count, np.nan)

    def _at(self, pairs: list[tuple[str, str]]) -> Ints:
        return np.array([self._places[pair] for pair in pairs], np.int64)


def _subject(row: dict[str, Any]) -> Subject:
    return row["venue"], row["symbol"]


def _slots(ords: Ints, rows: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """Return the interval of each row: a sample is taken before its own row."""
    return np.searchsorted(ords, column(rows, "ord"), side="right")


def _telling(rows: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return the status rows that matter here, times in ns."""
    if not rows.num_rows:
        return []
    kinds = pa.array([*EVENTS, *SPACE, JUMP])
    wanted = pc.or_(pc.equal(rows["scope"], "symbol"), pc.is_in(rows["kind"], kinds))
    names = ["ord", "venue", "symbol", "scope", "state", "kind"]
    chosen = rows.filter(wanted)
    times = column(chosen, "ts_recv").tolist()
    told = chosen.select(names).to_pylist()
    return [{**row, "ts_recv": at} for row, at in zip(told, times, strict=True)]
