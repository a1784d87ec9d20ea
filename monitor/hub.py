"""The hub: rings of recent columns per instrument, and every source's state. Views pull."""

from __future__ import annotations

import itertools
import math
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from monitor.alerts import Alerts
from monitor.authority import Authority
from monitor.batches import DUPLICATE, Batch, column, updates
from monitor.candles import Candles
from monitor.past import Past
from monitor.quality import LOSSES, Incident, Minute, Place, Quality
from monitor.rings import BOUNDS, Columns, Ring, columns_of

MARKS = 2_000
SIGNALS = 500
UNBELIEVED = frozenset(("stale", "failed"))
# Of each source's mid, one a second.
MIDS = 60
# Rates are taken over this long at least.
RATE_NS = 500_000_000
# Status rows that belong on the time axis.
MARK_KINDS = frozenset(
    (
        *("gap", "crossed", "checksum", "mismatch", "resync", "undecodable", "replaced"),
        *("disconnected", "half_open", "no_data", "silent", "refused", "fallback", "handback"),
        *("overflow", "unrecorded", "clock_jump", "stopped", "unclean_end"),
    )
)

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

    Latencies and `updates_s` are those of the last second; negative latencies show a venue's clock
    that runs ahead. `last` is the last trade's price. `mids` holds one a second, NaN without one.
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
    gaps: int
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


class _Source:
    """What the rows said of one source."""

    def __init__(self) -> None:
        self.state, self.updates, self.last_ns, self.error = "initialising", 0, 0, ""
        self.latencies_ms = (math.nan, math.nan)
        self.book_health = ""
        # When the last trade happened, and its price: one that was missing comes behind later ones.
        self.traded_ns, self.price = 0, math.nan
        self.gaps, self.updates_s = 0, math.nan
        self.mids: deque[float] = deque(maxlen=MIDS)
        self._rated = (0, 0)

    def rate(self, now_ns: int) -> bool:
        """Work out the rate since it was last; False if that is too short a time ago."""
        then_ns, then = self._rated
        if now_ns - then_ns < RATE_NS:
            return False
        if then_ns:
            self.updates_s = (self.updates - then) / (now_ns - then_ns) * 1e9
        self._rated = (now_ns, self.updates)
        return True


class Hub:
    """A sink that any number of views read, at their own pace, from other threads.

    `epoch` tells one filling from every other, those of other hubs too.
    """

    _epochs = itertools.count()

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.epoch, self.now_ns = next(self._epochs), 0
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
            quotes = self._authority.quotes(batch)
            if quotes.rows.num_rows:
                self._take("quote", *quotes)
            for kind in ("trade", "depth", "stat"):
                if kind in batch:
                    self._take(kind, batch[kind], *batch.by_instrument(kind))
            for instrument, count, last_ns in updates(batch):
                source = self._sources.setdefault(instrument, _Source())
                source.updates += count
                source.last_ns = max(source.last_ns, last_ns)
            if "status" in batch:
                self._follow(batch["status"])
            if "stat" in batch:
                self._measure(batch["stat"])

    def remember(self, past: Past) -> None:
        """Begin with what was before the rows that follow, as if these had all been seen."""
        # What somebody did about an alert follows its signal.
        self(Batch({"signal": past.rows["signal"]} if "signal" in past.rows else {}))
        first = {instrument: known.first_ns for instrument, known in past.known.items()}
        for instrument, rows in _appearances(past.rows["status"], first):
            self(Batch({"status": rows} if rows.num_rows else {}))
            if instrument:
                self._sources.setdefault(instrument, _Source())
        self(Batch({"stat": past.rows["stat"]} if "stat" in past.rows else {}))
        with self._lock:
            for instrument, known in past.known.items():
                source = self._sources[instrument]
                source.updates, source.last_ns = known.updates, known.last_ns
                self.now_ns = max(self.now_ns, known.last_ns)
            self._rings.clear()
            for kind, rows in past.lasts.kinds.items():
                self._take(kind, rows, *past.lasts.by_instrument(kind))
            for instrument in past.known:
                bars = {
                    kept_s: by[instrument] for kept_s, by in past.bars.items() if instrument in by
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

    def candles(self, instrument: Instrument, interval_s: int, cursor: int) -> tuple[int, Columns]:
        """Return the next cursor, and the bars that changed behind `cursor`: see `Candles`."""
        with self._lock:
            candles = self._candles.get(instrument)
            return candles.since(interval_s, cursor) if candles else (0, {})

    def instruments(self) -> list[Instrument]:
        with self._lock:
            return sorted(self._sources)

    def sources(self) -> list[SourceStatus]:
        with self._lock:
            return [
                SourceStatus(
                    venue,
                    symbol,
                    source.state,
                    source.updates,
                    source.updates_s,
                    (self.now_ns - source.last_ns) / 1e6 if source.last_ns else None,
                    *source.latencies_ms,
                    source.price,
                    source.gaps,
                    source.book_health,
                    tuple(source.mids),
                    source.error,
                )
                for (venue, symbol), source in sorted(self._sources.items())
            ]

    def quotes(self) -> list[Quote]:
        """Return the last quote of every instrument that has one."""
        quotes = []
        with self._lock:
            for (kind, venue, symbol), ring in sorted(self._rings.items()):
                if kind == "quote":
                    names = ("bid", "bid_size", "ask", "ask_size")
                    last = {name: ring.last(name) for name in names}
                    age_ms = (self.now_ns - ring.last("ts_recv")) / 1e6
                    quotes.append(Quote(venue, symbol, **last, age_ms=age_ms))
        return quotes

    def quality(self) -> tuple[dict[Place, dict[int, Minute]], list[Incident]]:
        """Return what was wrong by place and minute, and the last incidents, the oldest first."""
        with self._lock:
            return self._quality.minutes(), self._quality.incidents()

    def connections(self) -> tuple[int, int]:
        """Return how many venues' connections are up, and how many there should be."""
        with self._lock:
            states = list(self._connections.values())
        return sum(state not in ("failed", "stopped") for state in states), len(states)

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
        self.now_ns = 0
        self._authority = Authority()
        self._rings: dict[tuple[str, str, str], Ring] = {}
        self._candles: dict[Instrument, Candles] = {}
        self._sources: dict[Instrument, _Source] = {}
        self._connections: dict[str, str] = {}
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
                if kind == "trade":
                    self._candles.setdefault(instrument, Candles()).take(mine)
                    source = self._sources.setdefault(instrument, _Source())
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

    def _last(self, kind: str, instrument: Instrument, name: str) -> float:
        ring = self._rings.get((kind, *instrument))
        return ring.last(name) if ring else math.nan

    def _mid(self, instrument: Instrument) -> float:
        bid, ask = (self._last("quote", instrument, name) for name in ("bid", "ask"))
        return (bid + ask) / 2

    def _follow(self, rows: pa.RecordBatch) -> None:
        times = column(rows, "ts_recv")
        for row, ts_recv in zip(rows.drop_columns(["ts_recv"]).to_pylist(), times, strict=True):
            venue, symbol, kind = row["venue"], row["symbol"], row["kind"]
            detail = row["detail"] or ""
            if kind in LOSSES and not (symbol and kind == "gap"):
                self._lose(venue, symbol)
            self._quality.follow({**row, "detail": detail}, int(ts_recv))
            if row["scope"] == "symbol" and symbol and kind != "symbol_assumed":
                source = self._sources.setdefault((venue, symbol), _Source())
                source.state, source.error = row["state"], detail
            elif row["scope"] == "connection":
                self._connections[venue] = row["state"]
            if kind in MARK_KINDS and not (kind in ("disconnected", "stopped") and symbol):
                lost = f" ({row['count']})" if row["count"] else ""
                self._mark_count += 1
                self._marks.append(Mark(int(ts_recv), venue, symbol, kind, f"{detail}{lost}"))

    def _lose(self, venue: str, symbol: str | None) -> None:
        """Count a loss of an instrument, or one of its connection for all of the venue.

        Gaps of an instrument are counted by the rows of `stat`.
        """
        for instrument, source in self._sources.items():
            if instrument[0] == venue and symbol in (None, instrument[1]):
                source.gaps += 1

    def _measure(self, rows: pa.RecordBatch) -> None:
        names = ("venue", "symbol", "channel", "latency_p50_ms", "latency_p99_ms", "book_health")
        for venue, symbol, channel, p50, p99, health, gaps, duplicates, late, now_ns in zip(
            *(rows[name].to_pylist() for name in (*names, "gaps", "duplicates", "late")),
            column(rows, "ts_recv").tolist(),
            strict=True,
        ):
            source = self._sources.setdefault((venue, symbol), _Source())
            source.gaps += int(gaps or 0)
            wrong = Minute(*(int(count or 0) for count in (gaps, duplicates, late)))
            self._quality.add((venue, symbol), now_ns, wrong)
            if source.rate(now_ns):
                source.mids.append(self._mid((venue, symbol)))
                if source.state in UNBELIEVED:
                    self._quality.add((venue, symbol), now_ns, Minute(stale_s=1))
            if channel == "book":
                source.book_health = health or ""
            if p50 is not None:
                source.latencies_ms = (p50, p99)


def _time_of(mark: Mark) -> int:
    return mark.ts_recv


def _appearances(
    rows: pa.RecordBatch, first_ns: Mapping[Instrument, int]
) -> Iterator[tuple[Instrument | None, pa.RecordBatch]]:
    """Cut status rows where instruments appear: each with the rows before its first, then the rest.

    A connection's losses count for the instruments that are known by then.
    """
    times = np.maximum.accumulate(column(rows, "ts_recv"))
    start = 0
    for instrument in sorted(first_ns, key=lambda one: first_ns[one]):
        stop = int(np.searchsorted(times, first_ns[instrument]))
        yield instrument, rows.slice(start, stop - start)
        start = stop
    yield None, rows.slice(start)
