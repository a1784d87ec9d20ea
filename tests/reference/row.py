"""The rows that the reference yields, and what every venue's fields have in common."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

# Restated from the contract, not imported: a wrong bit in the product must not hide here.
SNAPSHOT, LAST, REST, SYNTHETIC = 32, 128, 4096, 8192

ALIASES = {"XBT": "BTC", "XDG": "DOGE"}
QUOTE_ASSETS = ["FDUSD", "USDT", "USDC", "BUSD", "TUSD", "BTC", "ETH", "BNB", "EUR", "TRY", "USD"]

Row = dict[str, Any]


class Level(NamedTuple):
    price: Decimal
    size: Decimal


def quote(
    symbol: str | None,
    bid: tuple[Any, Any],
    ask: tuple[Any, Any],
    *,
    ts_event: int | None = None,
    ts_sent: int | None = None,
    seq: int | None = None,
    flags: int = 0,
    origin: str = "native",
) -> list[Row]:
    """Return the row of a best bid and ask, or none where neither side has a price."""
    (bid_price, bid_size), (ask_price, ask_size) = _side(*bid), _side(*ask)
    if bid_price is None and ask_price is None:
        return []
    return [
        {
            "kind": "quote",
            **_header(symbol, ts_event, ts_sent, seq, flags),
            "bid": bid_price,
            "bid_size": bid_size,
            "ask": ask_price,
            "ask_size": ask_size,
            "origin": origin,
        }
    ]


def trade(
    symbol: str | None,
    price: Any,
    size: Any,
    *,
    side: str | None = None,
    trade_id: str | None = None,
    ts_event: int | None = None,
    ts_sent: int | None = None,
    seq: int | None = None,
    flags: int = 0,
    conditions: list[str] | None = None,
) -> Row:
    return {
        "kind": "trade",
        **_header(symbol, ts_event, ts_sent, seq, flags),
        "price": Decimal(price),
        "size": None if size is None else Decimal(size),
        "side": side,
        "trade_id": trade_id,
        "conditions": conditions,
    }


def book(
    symbol: str | None,
    bids: Iterable[Level],
    asks: Iterable[Level],
    *,
    pushed: tuple[Iterable[Level], Iterable[Level]] = ((), ()),
    ts_event: int | None = None,
    ts_sent: int | None = None,
    seq_first: int | None = None,
    seq: int | None = None,
    flags: int = 0,
) -> list[Row]:
    """Return one message's rows; `pushed` are the levels that the depth limit removes by it."""
    levels: list[tuple[str | None, Decimal | None, Decimal | None, int]] = []
    if flags & SNAPSHOT:
        levels.append((None, None, None, flags))
    levels += [("bid", *level, flags) for level in bids]
    levels += [("ask", *level, flags) for level in asks]
    for side, gone in zip(("bid", "ask"), pushed, strict=True):
        levels += [(side, level.price, Decimal(0), flags | SYNTHETIC) for level in gone]
    found = [
        {
            "kind": "book",
            **_header(symbol, ts_event, ts_sent, seq, own),
            "side": side,
            "price": price,
            "size": size,
            "seq_first": seq_first,
        }
        for side, price, size, own in levels
    ]
    if found:
        found[-1]["flags"] |= LAST
    return found


def synthetic(rows: Iterable[Row]) -> list[Row]:
    """Mark rows as written by us, not received just then."""
    return [{**row, "flags": row["flags"] | SYNTHETIC} for row in rows]


def rfc3339(text: str) -> int | None:
    """Return nanoseconds since 1970, or none for the year 1 that Coinbase sends now and then."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole + "+00:00").timestamp())
    return seconds * 10**9 + int(fraction.ljust(9, "0")) if seconds > 0 else None


def split(raw: str) -> str:
    """Cut an unseparated symbol before the longest quote asset that it ends with."""
    quote_asset = next(asset for asset in QUOTE_ASSETS if raw.endswith(asset))
    return f"{raw.removesuffix(quote_asset)}-{quote_asset}"


def slashed(raw: str) -> str:
    """Rename a `BASE/QUOTE` symbol of Kraken."""
    return "-".join(ALIASES.get(asset, asset) for asset in raw.split("/"))


def _side(price: Any, size: Any) -> tuple[Decimal | None, Decimal | None]:
    # A price of zero is how venues print an empty side.
    if not price or not Decimal(price):
        return None, None
    return Decimal(price), None if size is None else Decimal(size)


def _header(
    symbol: str | None, ts_event: int | None, ts_sent: int | None, seq: int | None, flags: int
) -> Row:
    return {
        "symbol": symbol,
        "ts_event": ts_event,
        "ts_sent": ts_sent,
        "seq": seq,
        "flags": flags,
    }
