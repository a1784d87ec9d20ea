"""The hub: recent columns per instrument in rings, and the state of every source."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.hub.readings import Instrument, Mark, Quote, SourceStatus, Totals, without_rows
from monitor.recordings import Past
from monitor.rows import DUPLICATE, Authority, Batch, column
from monitor.state import (
    BOUNDS,
    MARK_KINDS,
    SILENT_NS,
    UP,
    Alerts,
    Candles,
    Columns,
    Followed,
    Incident,
    Minute,
    Place,
    Present,
    Quality,
    Ring,
    columns_of,
    in_order,
    updates,
)

MARKS = 2_000
SIGNALS = 500
# Signals of these levels are marks too, under their level.
ALERT_LEVELS = frozenset(("warn", "alert"))


class Hub:
    """A sink that any number of views read, at their own pace, from other threads.

    The live hub has the `present`: it measures ages on this machine's clock, and after 2 s without
    a row no source counts as connected. Without it ages are measured on the rows' clock, as in a
    replay. `epoch` is unique for each filling, across all hubs.
    """

    _epochs = itertools.count()

    def __init__(self, present: Present | None = None) -> None:
        self._lock = threading.Lock()
        self._present = present
        self.epoch, self.now_ns = next(self._epochs), 0
        # Of the last row, -1 before the first.
        self.last_ord = -1
        # Start of the counts in ns, if there were earlier rows; else 0.
        self.since_ns = 0
        self._clear()

    def reset(self) -> None:
        """Clear everything: rows of another time follow. Views notice by `epoch`."""
        with self._lock:
            self.epoch = next(self._epochs)
            self._clear()

    def __call__(self, batch: Batch) -> None:
        with self._lock:
            self.alerts(batch)
            if "signal" in batch:
                signals = batch["signal"].to_pylist()
                self._signals.extend(signals)
                self._mark_alerts(signals)
            self.now_ns = max(self.now_ns, batch.now_ns or 0)
            if ords := batch.ords:
                if self._present and self.last_ord < 0 < ords[0]:
                    self.since_ns = batch.first_ns or 0
                self.last_ord = ords[1]
            if self._present:
                self._present.arrived()
            quotes = self._authority.quotes(batch)
            if quotes.rows.num_rows:
                self._take("quote", *quotes)
            for kind in ("trade", "depth", "stat"):
                if kind in batch:
                    self._take(kind, batch[kind], *batch.by_instrument(kind))
            for instrument, last_ns, by_tenth in updates(batch):
                self._source(instrument).count(last_ns, by_tenth)
            for row, at_ns in in_order(batch):
                if "scope" in row:
                    self._follow(row, at_ns)
                else:
                    self._source((row["venue"], row["symbol"])).measure(row, at_ns)
                    self._quality.measure(row, at_ns)

    def prime(self, in_force: Batch) -> None:
        """Begin with states and origins in force before the first row.

        Their status rows are not counted.
        """
        with self._lock:
            self._authority.quotes(in_force)
            for row, at_ns in in_order(in_force):
                self._follow_state(row, at_ns)

    def remember(self, past: Past) -> None:
        """Begin with the state before the first row, as if the hub had seen every earlier row."""
        self.last_ord = 0
        # An operator's action on an alert follows its signal.
        for kinds in (("signal",), ("status", "stat")):
            self(Batch({kind: past.rows[kind] for kind in kinds if kind in past.rows}))
        with self._lock:
            # The `stat` rows with counts come again among the last rows.
            self._rings.clear()
            for kind, rows in past.lasts.kinds.items():
                self._take(kind, rows, *past.lasts.by_instrument(kind))
            for instrument, known in past.known.items():
                source = self._source(instrument)
                source.updates, source.last_ns = known.updates, known.last_ns
                self.now_ns = max(self.now_ns, known.last_ns)
                bars = {
                    length: by[instrument] for length, by in past.bars.items() if instrument in by
                }
                self._candles[instrument] = Candles(bars)
            in_order = sorted(self._marks, key=_time_of)
            self._marks.clear()
            self._marks.extend(in_order)

    def since(self, kind: str, instrument: Instrument, cursor: int) -> tuple[int, Columns]:
        """Return the next cursor, and columns of the kept rows from `cursor` on.

        Times are int64 ns since 1970; `latency_ms` is NaN where the venue gave no time.
        """
        with self._lock:
            ring = self._rings.get((kind, *instrument))
            return (ring.written, ring.since(cursor)) if ring else (0, {})

    def last(self, kind: str, instrument: Instrument, count: int = 1) -> Columns:
        """Return columns of the last rows, at most `count`; nothing if there are none."""
        with self._lock:
            ring = self._rings.get((kind, *instrument))
            return ring.since(ring.written - count) if ring else {}

    def recent(
        self, kind: str, instrument: Instrument, name: str, span_ns: int
    ) -> npt.NDArray[np.float64]:
        """Return one column of the kept rows of the last `span_ns`."""
        with self._lock:
            ring = self._rings.get((kind, *instrument))
            if ring is None:
                return np.empty(0)
            now_ns = self.now_ns
            if self._present and self.is_silent:
                now_ns = self._present.at_ns(now_ns)
            return ring.column(name)[ring.column("ts_recv") > now_ns - span_ns]

    def candles(self, instrument: Instrument, interval_s: int, cursor: int) -> tuple[int, Columns]:
        """Return the next cursor, and the bars that changed since `cursor`: see `Candles`."""
        with self._lock:
            candles = self._candles.get(instrument)
            return candles.since(interval_s, cursor) if candles else (0, {})

    def instruments(self) -> list[Instrument]:
        """Return the followed instruments, without removed ones."""
        with self._lock:
            return [instrument for instrument, _ in self._followed()]

    @property
    def silence_ms(self) -> float:
        """Time since the last new row in ms, by this machine's clock; 0 in a replay."""
        return self._present.silence_ns(self.now_ns) / 1e6 if self._present else 0.0

    @property
    def is_silent(self) -> bool:
        return self.silence_ms > SILENT_NS / 1e6

    def _present_ns(self) -> int:
        """Return the time from which ages are measured."""
        return self._present.at_ns(self.now_ns) if self._present else self.now_ns

    def sources(self) -> list[SourceStatus]:
        """Return every source's state; while the hub is silent none is connected."""
        with self._lock:
            present_ns = self._present_ns()
            found = [
                SourceStatus(
                    venue,
                    symbol,
                    state,
                    source.updates,
                    source.rate(self.now_ns),
                    _age_ms(present_ns, source.last_ns) if source.last_ns else None,
                    *source.latencies_ms(self.now_ns),
                    source.price,
                    self._quality.losses((venue, symbol)) + self._quality.losses((venue, None)),
                    source.book(self.now_ns),
                    source.mids(self.now_ns),
                    error,
                )
                for (venue, symbol), source in self._followed()
                for state, error in [source.standing(self.now_ns)]
            ]
            return [without_rows(source) for source in found] if self.is_silent else found

    def states(self) -> dict[Instrument, str]:
        """Return every source's state: much cheaper than `sources`."""
        with self._lock:
            states = {at: source.standing(self.now_ns)[0] for at, source in self._followed()}
        if self.is_silent:
            return {at: "stale" if state in UP else state for at, state in states.items()}
        return states

    def quotes(self) -> list[Quote]:
        """Return the last quote of every instrument that has one."""
        quotes = []
        with self._lock:
            present_ns = self._present_ns()
            for (kind, venue, symbol), ring in sorted(self._rings.items()):
                if kind == "quote" and not self._source((venue, symbol)).removed:
                    names = ("bid", "bid_size", "ask", "ask_size")
                    last = {name: ring.last(name) for name in names}
                    age_ms = _age_ms(present_ns, int(ring.last("ts_recv")))
                    quotes.append(Quote(venue, symbol, **last, age_ms=age_ms))
        return quotes

    def quality(self) -> tuple[dict[Place, dict[int, Minute]], list[Incident]]:
        """Return faults by place and minute, and the last incidents, the oldest first."""
        with self._lock:
            return self._quality.minutes(self.now_ns), self._quality.incidents(self.now_ns)

    def totals(self) -> list[Totals]:
        """Return the counts of each instrument, and of each connection that has any."""
        with self._lock:
            places = [place for place, _ in self._followed()]
            venues = {venue for venue, _ in places}
            lines = [(venue, None) for venue in self._quality.connections() if venue in venues]
            return [
                Totals(*place, *self._quality.total(place, self.now_ns))
                for place in (*places, *lines)
            ]

    @property
    def updates(self) -> int:
        """The number of quotes, trades and book messages."""
        with self._lock:
            return sum(source.updates for source in self._sources.values())

    def marks(self, cursor: int = 0) -> tuple[int, list[Mark]]:
        """Return the next cursor, and the kept marks from `cursor` on."""
        with self._lock:
            fresh = min(self._mark_count - cursor, len(self._marks))
            found = list(self._marks)[len(self._marks) - fresh :]
        # In a batch signals come before or after status rows, whatever their times.
        return self._mark_count, sorted(found, key=_time_of)

    def signals(self) -> list[dict[str, Any]]:
        """Return the last signals, the newest last, as rows of the contract."""
        with self._lock:
            return sorted(self._signals, key=lambda row: int(row["ts_recv"].value))

    def _clear(self) -> None:
        self.now_ns, self.last_ord = 0, -1
        self.since_ns = 0
        self._authority = Authority()
        self._rings: dict[tuple[str, str, str], Ring] = {}
        self._candles: dict[Instrument, Candles] = {}
        self._sources: dict[Instrument, Followed] = {}
        self._marks: deque[Mark] = deque(maxlen=MARKS)
        self._mark_count = 0
        self._quality = Quality()
        self._signals: deque[dict[str, Any]] = deque(maxlen=SIGNALS)
        self.alerts = Alerts()

    def _take(
        self, kind: str, rows: pa.RecordBatch, codes: np.ndarray, instruments: list[Instrument]
    ) -> None:
        columns = columns_of(kind, rows)
        fresh = column(rows, "flags") & DUPLICATE == 0
        # Grouped by instrument, the rows of each in order.
        order = np.flatnonzero(fresh)
        order = order[np.argsort(codes[order], kind="stable")]
        bounds = np.searchsorted(codes[order], np.arange(len(instruments) + 1))
        for code, instrument in enumerate(instruments):
            at = order[bounds[code] : bounds[code + 1]]
            if len(at):
                mine = {name: values[at] for name, values in columns.items()}
                self._rings.setdefault((kind, *instrument), Ring(BOUNDS[kind])).extend(mine)
                if kind == "quote":
                    self._source(instrument).quote(mine["ts_recv"], mine["bid"], mine["ask"])
                if kind == "trade":
                    if instrument not in self._candles:
                        self._candles[instrument] = Candles(since_ns=self.since_ns)
                    self._candles[instrument].take(mine)
                    source = self._source(instrument)
                    newest = len(at) - 1 - int(np.argmax(mine["traded"][::-1]))
                    if mine["traded"][newest] >= source.traded_ns:
                        source.traded_ns = int(mine["traded"][newest])
                        source.price = float(mine["price"][newest])

    def _mark_alerts(self, signals: list[dict[str, Any]]) -> None:
        for row in signals:
            if row["level"] in ALERT_LEVELS:
                text = f"{row['hook']}: {row['text']} ({row['origin']})"
                self._mark_count += 1
                self._marks.append(
                    Mark(row["ts_recv"].value, row["venue"], row["symbol"], row["level"], text)
                )

    def _source(self, instrument: Instrument) -> Followed:
        found = self._sources.get(instrument)
        if found is None:
            found = self._sources[instrument] = Followed()
        return found

    def _followed(self) -> list[tuple[Instrument, Followed]]:
        return [(of, source) for of, source in sorted(self._sources.items()) if not source.removed]

    def _follow(self, row: dict[str, Any], at_ns: int) -> None:
        """Take a row of kind `status`."""
        venue, symbol, kind = row["venue"], row["symbol"], row["kind"]
        self._quality.follow(row, at_ns)
        self._follow_state(row, at_ns)
        if kind in MARK_KINDS and not (kind in ("disconnected", "stopped") and symbol):
            lost = f" ({row['count']})" if row["count"] else ""
            self._mark_count += 1
            self._marks.append(Mark(at_ns, venue, symbol, kind, f"{row['detail'] or ''}{lost}"))

    def _follow_state(self, row: dict[str, Any], at_ns: int) -> None:
        if row["scope"] == "symbol" and row["symbol"] and row["kind"] != "symbol_assumed":
            self._source((row["venue"], row["symbol"])).follow(row, at_ns)


def _time_of(mark: Mark) -> int:
    return mark.ts_recv


def _age_ms(now_ns: int, since_ns: int) -> float:
    return max(0, now_ns - since_ns) / 1e6
