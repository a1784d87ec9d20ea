"""Kraken spot over WebSocket v1: arrays whose decimals are strings."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from .books import KrakenBook
from .capture import Record
from .row import SNAPSHOT, Level, Row, book, quote, slashed, trade


class Decoder:
    def __init__(self) -> None:
        self.books: dict[tuple[str, str], KrakenBook] = {}

    def rows(self, record: Record) -> Iterator[Row]:
        frame = record.frame() if record.kind == "ws" else None
        if not isinstance(frame, list):
            return
        _, *payloads, channel, raw = frame
        symbol = slashed(raw)
        if channel == "trade":
            for price, size, time, side, *_ in payloads[0]:
                aggressor = {"b": "buy", "s": "sell"}[side]
                yield trade(symbol, price, size, side=aggressor, ts_event=_ns(time))
        elif channel == "ticker":
            (bid, _, bid_size), (ask, _, ask_size) = payloads[0]["b"], payloads[0]["a"]
            yield from quote(symbol, (bid, bid_size), (ask, ask_size))
        elif channel == "spread":
            bid, ask, time, bid_size, ask_size = payloads[0]
            yield from quote(symbol, (bid, bid_size), (ask, ask_size), ts_event=_ns(time))
        elif channel.startswith("book-"):
            yield from self._book(record.conn, symbol, channel, payloads)

    def _book(
        self, conn: str, symbol: str, channel: str, payloads: list[dict[str, Any]]
    ) -> list[Row]:
        # Both sides may come as one map, or as one map each.
        found = {key: value for payload in payloads for key, value in payload.items()}
        snapshot = "as" in found or "bs" in found
        wire_bids, wire_asks = (found.get(key, []) for key in (("bs", "as") if snapshot else "ba"))
        bids, asks = _levels(wire_bids), _levels(wire_asks)
        if snapshot:
            depth = int(channel.removeprefix("book-"))
            self.books[conn, symbol] = KrakenBook(depth)
        held = self.books.get((conn, symbol))
        if held:
            held.change(bids, asks)
        return book(
            symbol,
            bids,
            asks,
            pushed=held.pushed if held else ((), ()),
            ts_event=max((_ns(level[2]) for level in [*wire_bids, *wire_asks]), default=None),
            flags=SNAPSHOT if snapshot else 0,
        )


def _levels(items: list[list[str]]) -> list[Level]:
    return [Level(Decimal(price), Decimal(size)) for price, size, *_ in items]


def _ns(time: str) -> int:
    return int(Decimal(time) * 10**9)
