"""Kraken spot over WebSocket v2, and its REST ticker."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from .books import KrakenBook
from .capture import Record
from .row import REST, SNAPSHOT, Level, Row, book, quote, rfc3339, slashed, trade


class Decoder:
    def __init__(self) -> None:
        self.asked: dict[tuple[str, str], int] = {}
        self.books: dict[tuple[str, str], KrakenBook] = {}

    def rows(self, record: Record) -> Iterator[Row]:
        frame = record.frame()
        if record.kind == "http":
            if record.path().endswith("/Ticker"):
                yield from _rest_ticker(frame["result"])
        elif frame.get("method") == "subscribe":
            self._subscribe(record.conn, frame.get("result") or frame.get("params") or {})
        elif frame.get("channel") in ("ticker", "trade", "book"):
            for item in frame["data"]:
                yield from self._item(record.conn, frame, item)

    def _item(self, conn: str, frame: dict[str, Any], item: dict[str, Any]) -> Iterator[Row]:
        symbol = slashed(item["symbol"])
        flags = SNAPSHOT if frame["type"] == "snapshot" else 0
        ts_event = rfc3339(item["timestamp"]) if "timestamp" in item else None
        if frame["channel"] == "ticker":
            bid, ask = (item["bid"], item["bid_qty"]), (item["ask"], item["ask_qty"])
            yield from quote(symbol, bid, ask, ts_event=ts_event, flags=flags)
        elif frame["channel"] == "trade":
            yield trade(
                symbol,
                item["price"],
                item["qty"],
                side=item["side"],
                trade_id=str(item["trade_id"]),
                ts_event=ts_event,
                seq=item["trade_id"],
                flags=flags,
            )
        else:
            bids, asks = _levels(item["bids"]), _levels(item["asks"])
            held = self._book((conn, item["symbol"]), bids, asks, bool(flags))
            pushed = held.pushed if held else ((), ())
            yield from book(symbol, bids, asks, pushed=pushed, ts_event=ts_event, flags=flags)

    def _subscribe(self, conn: str, params: dict[str, Any]) -> None:
        if params.get("channel") == "book":
            symbols = params["symbol"]
            for symbol in [symbols] if isinstance(symbols, str) else symbols:
                self.asked[conn, symbol] = params.get("depth", 10)

    def _book(
        self, key: tuple[str, str], bids: list[Level], asks: list[Level], snapshot: bool
    ) -> KrakenBook | None:
        if snapshot:
            depth = self.asked.get(key) or max(len(bids), len(asks))
            self.books[key] = KrakenBook(depth)
        held = self.books.get(key)
        if held:
            held.change(bids, asks)
        return held


def _levels(items: list[dict[str, Any]]) -> list[Level]:
    return [Level(Decimal(item["price"]), Decimal(item["qty"])) for item in items]


def _rest_ticker(pairs: dict[str, Any]) -> Iterator[Row]:
    for raw, item in pairs.items():
        (bid, _, bid_size), (ask, _, ask_size) = item["b"], item["a"]
        sides = (bid, bid_size), (ask, ask_size)
        yield from quote(slashed(raw), *sides, flags=REST, origin="rest")
