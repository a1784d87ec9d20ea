"""Coinbase Exchange: one flat message for each product and event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation

from .capture import Record
from .row import SNAPSHOT, Level, Row, book, quote, rfc3339, trade


class Decoder:
    def rows(self, record: Record) -> Iterator[Row]:
        frame = record.frame() if record.kind == "ws" else {}
        kind, symbol = frame.get("type"), frame.get("product_id")
        ts_event = rfc3339(frame["time"]) if "time" in frame else None
        if kind in ("match", "last_match"):
            yield trade(
                symbol,
                frame["price"],
                frame["size"],
                # The venue names the maker's side.
                side={"buy": "sell", "sell": "buy"}[frame["side"]],
                trade_id=str(frame["trade_id"]),
                ts_event=ts_event,
                seq=frame["sequence"],
                flags=SNAPSHOT if kind == "last_match" else 0,
            )
        elif kind == "ticker":
            bid = frame["best_bid"], frame.get("best_bid_size")
            ask = frame["best_ask"], frame.get("best_ask_size")
            yield from quote(symbol, bid, ask, ts_event=ts_event, seq=frame["sequence"])
        elif kind == "snapshot":
            yield from book(symbol, _levels(frame["bids"]), _levels(frame["asks"]), flags=SNAPSHOT)
        elif kind == "l2update":
            bids, asks = (
                _levels((price, size) for side, price, size in frame["changes"] if side == wanted)
                for wanted in ("buy", "sell")
            )
            yield from book(symbol, bids, asks, ts_event=ts_event)


def _levels(pairs: Iterable[Iterable[str]]) -> list[Level]:
    return [level for price, size, *_ in pairs if (level := _level(price, size))]


def _level(price: str, size: str) -> Level | None:
    # The venue once sent a size of `0.-10000`; the levels beside it were sound.
    try:
        return Level(Decimal(price), Decimal(size))
    except InvalidOperation:
        return None
