"""The hub: recent columns per instrument in rings, and the state of every source."""

from __future__ import annotations

import itertools
import math
import threading
from collections import deque
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

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
# Signals of these levels stand there too, under their level.
ALERT_LEVELS = frozenset(("warn", "alert"))

Instrument = tuple[str, str]


class Mark(NamedTuple):
    """A moment to be seen on the plots; `symbol` None concerns all of the venue."""

    ts_recv: int
    venue: str
    symbol: str | None
    kind: str
    text: str


class SourceStatus(NamedTuple):
    """One line of the status grid; `age_ms` None before the first row, latencies NaN without any.

    Latencies and `updates_s` are those of the last second, NaN where the line is gone; negative
    latencies show a venue's clock that runs ahead. `last` is the last trade's price. `losses` are
    those of the instrument and of its venue's connection. `mids` holds one a second.
    """

    venue: str
    symbol: str
    state: str
    updates: int
    updates_s: float
    age_ms: float | None
    latency_p50_ms: float
    latency_p99_ms: float
    last: float
    losses: int
    book_health: str
    mids: tuple[float, ...]
    error: str


class Quote(NamedTuple):
    """An instrument's last quote; NaN where a side is missing."""

    venue: str
    symbol: str
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    age_ms: float


class Totals(NamedTuple):
    """What was counted of an instrument, or of a venue's connection, whose symbol is None."""

    venue: str
    symbol: str | None
    counts: Minute
    incidents: int


class Hub:
    """A sink that any number of views read, at their own pace, from other threads.

    `epoch` tells one filling from every other, those of other hubs too.

    The hub of live rows is given the `present`: ages are then measured on this machine's clock,
    and once no row has come for 2 s no source is connected. Without it ages are measured on the
    rows' clock, as in a replay. `epoch` tells one filling from every other, of other hubs too.
    """

    _epochs = itertools.count()

    def __init__(self, present: Present | None = None) -> None:
        self._lock = threading.Lock()
        self._present = present
        self.epoch, self.now_ns = next(self._epochs), 0
        # Of the last row, -1 before the first.
        self.last_ord = -1
        # When the rows begin, if there were others before; else 0. All counts are since then.
        self.since_ns = 0
        self._clear()

    def reset(self) -> None:
        """Forget everything: rows of another time follow. Views see it by `epoch`."""
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
        """Begin with states and origins that hold since before the rows that follow.

        Their status rows count as nothing else.
        """
        with self._lock:
            self._authority.quotes(in_force)
            for row, at_ns in in_order(in_force):
                self._follow_state(row, at_ns)

    def remember(self, past: Past) -> None:
        """Begin with what was before the rows that follow, as if all of it had been seen."""
        self.last_ord = 0
        # What somebody did about an alert follows its signal.
        for kinds in (("signal",), ("status", "stat")):
            self(Batch({kind: past.rows[kind] for kind in kinds if kind in past.rows}))
        with self._lock:
            # The rows of `stat` that count something are among the last ones again.
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
        """Return the next cursor, and columns of the rows from `cursor` on that are still kept.

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
        """Return the next cursor, and the bars that changed behind `cursor`: see `Candles`."""
        with self._lock:
            candles = self._candles.get(instrument)
            return candles.since(interval_s, cursor) if candles else (0, {})

    def instruments(self) -> list[Instrument]:
        """Return the instruments that are followed; those that were removed are not."""
        with self._lock:
            return [instrument for instrument, _ in self._followed()]

    @property
    def silence_ms(self) -> float:
        """How long no new row has come, by this machine's clock; 0 in a replay."""
        return self._present.silence_ns(self.now_ns) / 1e6 if self._present else 0.0

    @property
    def is_silent(self) -> bool:
        return self.silence_ms > SILENT_NS / 1e6

    def _age_ms(self, since_ns: int) -> float:
        now_ns = self._present.at_ns(self.now_ns) if self._present else self.now_ns
        return max(0, now_ns - since_ns) / 1e6

    def sources(self) -> list[SourceStatus]:
        """Return every source's state; while the hub is silent none is connected."""
        with self._lock:
            found = [
                SourceStatus(
                    venue,
                    symbol,
                    state,
                    source.updates,
                    source.rate(self.now_ns),
                    self._age_ms(source.last_ns) if source.last_ns else None,
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
            return [_unknown(source) for source in found] if self.is_silent else found

    def quotes(self) -> list[Quote]:
        """Return the last quote of every instrument that has one."""
        quotes = []
        with self._lock:
            for (kind, venue, symbol), ring in sorted(self._rings.items()):
                if kind == "quote" and not self._source((venue, symbol)).removed:
                    names = ("bid", "bid_size", "ask", "ask_size")
                    last = {name: ring.last(name) for name in names}
                    age_ms = self._age_ms(int(ring.last("ts_recv")))
                    quotes.append(Quote(venue, symbol, **last, age_ms=age_ms))
        return quotes

    def quality(self) -> tuple[dict[Place, dict[int, Minute]], list[Incident]]:
        """Return what was wrong by place and minute, and the last incidents, the oldest first."""
        with self._lock:
            return self._quality.minutes(self.now_ns), self._quality.incidents(self.now_ns)

    def totals(self) -> list[Totals]:
        """Return what was counted of each instrument and, where there is any, each connection."""
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
        """How many quotes, trades and book messages there have been."""
        with self._lock:
            return sum(source.updates for source in self._sources.values())

    def marks(self, cursor: int = 0) -> tuple[int, list[Mark]]:
        """Return the next cursor, and the marks from `cursor` on that are still kept."""
        with self._lock:
            fresh = min(self._mark_count - cursor, len(self._marks))
            found = list(self._marks)[len(self._marks) - fresh :]
        # Signals come before or after the status rows of their batch, whenever they were.
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
        # One instrument behind the other, the rows of each in their order.
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


def _unknown(source: SourceStatus) -> SourceStatus:
    """Return what is known of a source while no row comes: its last prices, and how old they are.

    A state in which it was not believed stays.
    """
    if source.state in UP:
        source = source._replace(state="stale", error="no rows come from the collector")
    return source._replace(
        updates_s=math.nan,
        latency_p50_ms=math.nan,
        latency_p99_ms=math.nan,
        book_health="",
    )
