"""What a hub gives to views: marks, sources, quotes and totals."""

from __future__ import annotations

import math
from typing import NamedTuple

from monitor.state import UP, Minute

Instrument = tuple[str, str]


class Mark(NamedTuple):
    """A mark on the plots; with `symbol` None it concerns the whole venue."""

    ts_recv: int
    venue: str
    symbol: str | None
    kind: str
    text: str


class SourceStatus(NamedTuple):
    """One line of the status grid; `age_ms` None before the first row, latencies NaN without any.

    Latencies and `updates_s` are of the last second, NaN without a connection; negative latencies
    show that the venue's clock runs ahead. `last` is the last trade's price. `losses` are those of
    the instrument and of its venue's connection. `mids` has one value a second.
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
    """Counts of an instrument, or of a venue's connection (symbol None)."""

    venue: str
    symbol: str | None
    counts: Minute
    incidents: int


def without_rows(source: SourceStatus) -> SourceStatus:
    """Return a source while no row arrives: its last prices and their age.

    A failed, stale or stopped state stays.
    """
    if source.state in UP:
        source = source._replace(state="stale", error="no rows come from the collector")
    return source._replace(
        updates_s=math.nan,
        latency_p50_ms=math.nan,
        latency_p99_ms=math.nan,
        book_health="",
    )
