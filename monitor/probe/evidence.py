"""The facts that a probe has gathered about one source, from its rows."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.rows import BACKFILL, LAST, REST, SNAPSHOT, Authority, Batch, column

# The kind of rows that each channel brings.
KINDS = {"quote": "quote", "trade": "trade", "aggTrade": "trade", "book": "book"}
SPOILERS = ("gap", "checksum", "crossed", "mismatch")
QUOTES_KEPT, DELAYS_KEPT = 10_000, 200
SHOWN_CHARS = 300


class Quote(NamedTuple):
    """A best bid and ask (NaN where a side ended), and its `ts_recv` in ns since 1970."""

    ts_recv: int
    bid: float
    ask: float

    @property
    def stands(self) -> bool:
        return self.bid > 0 and self.ask > 0


class Seen:
    """The rows of one connection, reduced to the facts that a probe checks; times in ns."""

    def __init__(self, wanted: Sequence[str], is_polled: bool) -> None:
        self.wanted, self._is_polled = wanted, is_polled
        self.opened: tuple[int, str] | None = None
        self.lost: str | None = None
        # The detail of the last failed REST request or undecodable frame.
        self.trouble: str | None = None
        self.acked: dict[str, int] = {}
        self.refused: dict[str, str] = {}
        self.first: dict[str, int] = {}
        self.book_rows = 0
        self.spoiled: Counter[str] = Counter()
        self.health: str | None = None
        self.delays_ms: list[float] = []
        self.quotes: deque[Quote] = deque(maxlen=QUOTES_KEPT)
        self._authority = Authority()

    def take(self, batch: Batch) -> None:
        for row in batch["status"].to_pylist():
            self._take_status(row)
        for kind in dict.fromkeys(KINDS[channel] for channel in self.wanted):
            self._take_data(kind, batch[kind])
        for row in batch["stat"].to_pylist():
            self._take_stat(row)
        quotes = self._authority.quotes(batch).rows
        columns = (column(quotes, name).tolist() for name in ("ts_recv", "bid", "ask"))
        self.quotes.extend(map(Quote, *columns))

    @property
    def unanswered(self) -> list[str]:
        """The wanted channels without an acknowledgement, a refusal or data."""
        answered = self.acked.keys() | self.refused.keys() | self.first.keys()
        return [channel for channel in self.wanted if channel not in answered]

    @property
    def quote(self) -> Quote | None:
        """The current quote, None without both sides."""
        return self.quotes[-1] if self.quotes and self.quotes[-1].stands else None

    def around(self, since_ns: int, until_ns: int) -> list[Quote]:
        """Return the two-sided quotes in force at any time of a span."""
        kept = list(self.quotes)
        ends_ns = [*(quote.ts_recv for quote in kept[1:]), until_ns]
        return [
            quote
            for quote, end_ns in zip(kept, ends_ns, strict=False)
            if quote.ts_recv <= until_ns and end_ns >= since_ns and quote.stands
        ]

    def _take_status(self, row: Mapping[str, Any]) -> None:
        kind, channel = row["kind"], row["channel"]
        # The detail of an undecodable frame may have many lines; a step prints one.
        detail = " ".join((row["detail"] or "").split())[:SHOWN_CHARS]
        if kind == "refused":
            # A refusal without a channel concerns every channel that is not answered yet.
            for refused in [channel] if channel else self.unanswered:
                self.refused[refused] = detail
        elif kind == "subscribed":
            self.acked.setdefault(channel, row["ts_recv"].value)
        elif kind in SPOILERS and channel in (None, "book"):
            # A loss without a channel concerns every book of the connection.
            self.spoiled[kind] += 1
        elif kind == "undecodable":
            self.trouble = detail
        elif row["scope"] == "connection":
            self._take_connection(row, kind, detail)

    def _take_connection(self, row: Mapping[str, Any], kind: str, detail: str) -> None:
        said = detail if kind in ("disconnected", "fetch_failed") else f"{kind}: {detail}"
        if kind == "connected":
            self.opened = row["ts_recv"].value, detail
        elif detail.startswith("/") or (self._is_polled and row["state"] == "failed"):
            # The detail of a REST request begins with its path.
            self.trouble = said
        elif row["state"] == "failed":
            self.lost = said

    def _take_data(self, kind: str, rows: pa.RecordBatch) -> None:
        if kind == "quote":
            # The channel brings neither quotes made from a book nor quotes that end one.
            wire = pc.and_(pc.not_equal(rows["origin"], "book"), pc.is_valid(rows["bid"]))
            rows = rows.filter(wire)
        if not self._is_polled:
            # A book's snapshot may come by REST although the stream never brings changes.
            rows = rows.filter(pa.array(column(rows, "flags") & REST == 0))
        if not rows.num_rows:
            return
        channels = self._channels_of(kind)
        if len(channels) == 1:
            self.first.setdefault(channels[0], int(column(rows, "ts_recv")[0]))
        # Prefer `ts_sent` to `ts_event`: it is closer to the arrival.
        sent, event = column(rows, "ts_sent"), column(rows, "ts_event")
        then, flags = np.where(sent > 0, sent, event), column(rows, "flags")
        told = (then > 0) & (flags & (SNAPSHOT | BACKFILL | REST) == 0)
        if kind == "book":
            self.book_rows += rows.num_rows
            # A message is one measurement, however many levels it has.
            told &= flags & LAST != 0
        delays_ms = (column(rows, "ts_recv") - then)[told] / 1e6
        self.delays_ms.extend(delays_ms[: DELAYS_KEPT - len(self.delays_ms)].tolist())

    def _take_stat(self, row: Mapping[str, Any]) -> None:
        channel = row["channel"]
        # Where two channels bring the same kind, only `stat` rows tell them apart.
        if row["rows"] and len(self._channels_of(KINDS[channel])) > 1:
            self.first.setdefault(channel, row["ts_recv"].value)
        if row["book_health"]:
            self.health = row["book_health"]

    def _channels_of(self, kind: str) -> list[str]:
        return [channel for channel in self.wanted if KINDS[channel] == kind]
