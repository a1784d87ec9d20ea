"""Coinbase Exchange's public REST resources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitor.simulate.market.market import Instrument
from monitor.simulate.venues.coinbase_exchange.texts import maker_side, pairs, price_of, size_of
from monitor.simulate.venues.venue import Answer, answer
from monitor.simulate.wire.wire_format import SECOND_NS, go_stamp, stamp

TRADES_MAX = 1000


def get(
    by_product: Mapping[str, Instrument], path: str, query: Mapping[str, str], now_ns: int
) -> Answer:
    match path.removeprefix("/").split("/"):
        case ["time"]:
            return answer({"iso": stamp(now_ns, 3), "epoch": now_ns / SECOND_NS})
        case ["products"]:
            return answer([_product(item) for item in by_product.values()])
        case ["products", product, *rest] if product in by_product:
            item = by_product[product]
        case _:
            return _NOT_FOUND
    match rest:
        case []:
            return answer(_product(item))
        case ["book"]:
            return _book(item, query.get("level", "1"), now_ns)
        case ["ticker"]:
            return answer(_ticker(item))
        case ["trades"]:
            return _trades(item, query)
    return _NOT_FOUND


def fault(status: int) -> Answer:
    headers = {"Retry-After": "1"} if status in (418, 429) else {}
    messages = {429: "Public rate limit exceeded", 451: "Unavailable for legal reasons"}
    return answer({"message": messages.get(status, "Forbidden")}, status, headers)


_NOT_FOUND = answer({"message": "NotFound"}, 404)


def _product(item: Instrument) -> dict[str, Any]:
    listing = item.listing
    return {
        "id": listing.raw_symbol,
        "base_currency": listing.base,
        "quote_currency": listing.quote_asset,
        "quote_increment": price_of(listing, 1),
        "base_increment": size_of(listing, 1),
        "display_name": f"{listing.base}-{listing.quote_asset}",
        "min_market_funds": "1",
        "margin_enabled": False,
        "post_only": False,
        "limit_only": False,
        "cancel_only": False,
        "status": "online",
        "status_message": "",
        "trading_disabled": False,
        "fx_stablecoin": False,
        "auction_mode": False,
    }


def _book(item: Instrument, level: str, now_ns: int) -> Answer:
    if level not in ("1", "2"):
        return answer({"message": "Invalid level"}, 400)
    # How many orders stand at a level, the market does not know: one.
    bids, asks = (
        [[price, size, 1] for price, size in pairs(item, side)] for side in (item.bids, item.asks)
    )
    shown = 1 if level == "1" else None
    return answer(
        {
            "bids": bids[:shown],
            "asks": asks[:shown],
            "sequence": item.full_sequence,
            "auction_mode": False,
            "auction": None,
            "time": go_stamp(now_ns),
        }
    )


def _ticker(item: Instrument) -> dict[str, Any]:
    listing, top, last = item.listing, item.top(), item.last
    return {
        "ask": price_of(listing, top.ask),
        "bid": price_of(listing, top.bid),
        "volume": size_of(listing, item.volume),
        "trade_id": last.trade_id,
        "price": price_of(listing, last.price),
        "size": size_of(listing, last.size),
        "time": go_stamp(last.at_ns),
    }


def _trades(item: Instrument, query: Mapping[str, str]) -> Answer:
    """Answer with trades, newest first; `after` asks for older ones, `before` for newer."""
    listing = item.listing
    limit, after, before = (_number(query, name) for name in ("limit", "after", "before"))
    chosen = [
        trade
        for trade in reversed(item.trades)
        if (after is None or trade.trade_id < after) and (before is None or trade.trade_id > before)
    ][: min(limit or TRADES_MAX, TRADES_MAX)]
    value = [
        {
            "time": go_stamp(trade.at_ns),
            "trade_id": trade.trade_id,
            "price": price_of(listing, trade.price),
            "size": size_of(listing, trade.size),
            "side": maker_side(trade),
        }
        for trade in chosen
    ]
    ends = {"cb-before": chosen[0], "cb-after": chosen[-1]} if chosen else {}
    return answer(value, headers={name: str(trade.trade_id) for name, trade in ends.items()})


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None
