"""Binance and Binance US spot: streams, and the REST depth from which their books start."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from .books import BinanceBook, Diff
from .capture import Record
from .row import REST, SNAPSHOT, Level, Row, book, quote, split, synthetic, trade


class Decoder:
    def __init__(self) -> None:
        self.books: dict[str, BinanceBook] = {}
        self.names: dict[str, str] = {}

    def rows(self, record: Record) -> Iterator[Row]:
        if record.kind == "ws":
            yield from self._ws(record.frame())
        elif record.kind == "http":
            yield from self._http(record, record.frame())

    def _ws(self, frame: dict[str, Any]) -> Iterator[Row]:
        data, stream = frame.get("data", frame), frame.get("stream", "")
        if not isinstance(data, dict):
            return
        event = data.get("e")
        if event in ("trade", "aggTrade"):
            yield self._trade(data, data["t"] if event == "trade" else data["a"])
        elif event == "depthUpdate":
            yield from self._diff(data)
        elif event is None and {"u", "b", "B", "a", "A"} <= data.keys():
            bid, ask = (data["b"], data["B"]), (data["a"], data["A"])
            yield from quote(self._symbol(data["s"]), bid, ask, seq=data["u"])
        elif event is None and "lastUpdateId" in data:
            # Only the stream's name says whose levels these are.
            symbol = self._symbol(stream.partition("@")[0].upper()) if stream else None
            sides = _levels(data["bids"]), _levels(data["asks"])
            yield from book(symbol, *sides, seq=data["lastUpdateId"], flags=SNAPSHOT)

    def _http(self, record: Record, body: dict[str, Any]) -> Iterator[Row]:
        if record.path().endswith("/exchangeInfo"):
            for item in body["symbols"]:
                self.names[item["symbol"]] = f"{item['baseAsset']}-{item['quoteAsset']}"
        elif record.path().endswith("/ticker/bookTicker"):
            bid, ask = (body["bidPrice"], body["bidQty"]), (body["askPrice"], body["askQty"])
            yield from quote(self._symbol(body["symbol"]), bid, ask, flags=REST, origin="rest")
        elif record.path().endswith("/depth"):
            raw = record.query().get("symbol") or self._awaiting()
            last, sides = body["lastUpdateId"], (_levels(body["bids"]), _levels(body["asks"]))
            yield from book(self._symbol(raw), *sides, seq=last, flags=SNAPSHOT | REST)
            for diff in self._book(raw).snapshot(last, *sides):
                yield from synthetic(book(self._symbol(raw), diff.bids, diff.asks, **diff.header))

    def _trade(self, data: dict[str, Any], number: int) -> Row:
        return trade(
            self._symbol(data["s"]),
            data["p"],
            data["q"],
            # `m` says that the buyer was the maker, so the seller was the aggressor.
            side="sell" if data["m"] else "buy",
            trade_id=str(number),
            ts_event=_ns(data["T"]),
            ts_sent=_ns(data["E"]),
            seq=number,
        )

    def _diff(self, data: dict[str, Any]) -> list[Row]:
        header = {"ts_sent": _ns(data["E"]), "seq_first": data["U"], "seq": data["u"]}
        bids, asks = _levels(data["b"]), _levels(data["a"])
        self._book(data["s"]).diff(Diff(data["U"], data["u"], bids, asks, header))
        return book(self._symbol(data["s"]), bids, asks, **header)

    def _book(self, raw: str) -> BinanceBook:
        return self.books.setdefault(raw, BinanceBook())

    def _awaiting(self) -> str:
        [raw] = [raw for raw, held in self.books.items() if held.id is None]
        return raw

    def _symbol(self, raw: str) -> str:
        return self.names.get(raw) or split(raw)


def _levels(pairs: list[list[str]]) -> list[Level]:
    return [Level(Decimal(price), Decimal(size)) for price, size, *_ in pairs]


def _ns(time: int) -> int:
    """Turn milliseconds or microseconds, told apart by their digits, into nanoseconds."""
    return time * 10 ** (19 - len(str(time)))
