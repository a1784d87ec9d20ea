"""Coinbase Advanced Trade's public REST resources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitor.simulate.market.listings import NAMES, Listing
from monitor.simulate.market.market import Instrument
from monitor.simulate.venues.venue import Answer, answer
from monitor.simulate.wire.wire_format import SECOND_NS, go_stamp, trimmed

PREFIX = "/api/v3/brokerage/"
TRADES_MAX, LEVELS_MAX = 100, 1000


def get(
    by_product: Mapping[str, Instrument],
    aliases: Mapping[str, str],
    path: str,
    query: Mapping[str, str],
    now_ns: int,
) -> Answer:
    resource = path.removeprefix(PREFIX)
    if resource == "time":
        second = str(now_ns // SECOND_NS)
        millis = str(now_ns // 1_000_000)
        return answer({"iso": go_stamp(now_ns), "epochSeconds": second, "epochMillis": millis})
    if resource == "market/products":
        return _products(by_product, aliases, query)
    if resource == "market/product_book":
        product, rest = query.get("product_id", ""), "book"
    elif resource.startswith("market/products/"):
        product, _, rest = resource.removeprefix("market/products/").partition("/")
    else:
        return answer({"error": "NOT_FOUND", "message": f"No resource {path}"}, 404)
    item = by_product.get(aliases.get(product, product))
    if item is None:
        message = f"Product {product} not supported"
        return answer({"error": "NOT_FOUND", "message": message}, 404)
    match rest:
        case "book":
            return answer(_book(item, product, _limit(query, LEVELS_MAX), now_ns))
        case "ticker":
            return answer(_ticker(item, product, query))
        case "":
            alias = aliases.get(product, "")
            return answer(_product(item, product, alias, _aliases_of(product, aliases)))
    return answer({"error": "NOT_FOUND", "message": f"No resource {path}"}, 404)


def fault(status: int) -> Answer:
    headers = {"Retry-After": "1"} if status in (418, 429) else {}
    errors = {429: "rate_limit_exceeded", 451: "UNAVAILABLE_FOR_LEGAL_REASONS"}
    error = errors.get(status, "PERMISSION_DENIED")
    return answer({"error": error, "message": error.lower().replace("_", " ")}, status, headers)


def _products(
    by_product: Mapping[str, Instrument], aliases: Mapping[str, str], query: Mapping[str, str]
) -> Answer:
    products = [
        _product(item, product, "", _aliases_of(product, aliases))
        for product, item in by_product.items()
    ]
    products += [_product(by_product[real], alias, real, []) for alias, real in aliases.items()]
    if "product_type" in query:
        products = [item for item in products if item["product_type"] == query["product_type"]]
    if "product_ids" in query:
        products = [item for item in products if item["product_id"] == query["product_ids"]]
    return answer({"products": products, "num_products": len(products), "pagination": None})


def _product(item: Instrument, product: str, alias: str, alias_to: list[str]) -> dict[str, Any]:
    listing = item.listing
    base, _, quote = product.partition("-")
    change = 100 * (item.last.price - item.opened) / item.opened
    return {
        "product_id": product,
        "price": _price(listing, item.last.price),
        "price_percentage_change_24h": f"{change:.14f}",
        "volume_24h": _size(listing, item.volume),
        "base_increment": _size(listing, 1),
        "quote_increment": _price(listing, 1),
        "base_min_size": _size(listing, 1),
        "base_name": NAMES[listing.base],
        "quote_name": "US Dollar" if quote == "USD" else quote,
        "is_disabled": False,
        "new": False,
        "status": "online",
        "cancel_only": False,
        "limit_only": False,
        "post_only": False,
        "trading_disabled": False,
        "auction_mode": False,
        "product_type": "SPOT",
        "quote_currency_id": quote,
        "base_currency_id": base,
        "alias": alias,
        "alias_to": alias_to,
        "price_increment": _price(listing, 1),
        "display_name": product,
        "product_venue": "CBE",
    }


def _aliases_of(product: str, aliases: Mapping[str, str]) -> list[str]:
    return [alias for alias, real in aliases.items() if real == product]


def _book(item: Instrument, product: str, limit: int, now_ns: int) -> dict[str, Any]:
    top, listing = item.top(), item.listing
    sides = {
        name: [
            {"price": _price(listing, price), "size": _size(listing, size)}
            for price, size in side.top(limit)
        ]
        for name, side in (("bids", item.bids), ("asks", item.asks))
    }
    middle = (top.bid + top.ask) / 2
    return {
        "pricebook": {"product_id": product, **sides, "time": go_stamp(now_ns)},
        "last": _price(listing, item.last.price),
        "mid_market": f"{middle / 10**listing.price_places:.{listing.price_places + 1}f}",
        "spread_bps": f"{(top.ask - top.bid) / middle * 1e4:.6f}",
        "spread_absolute": _price(listing, top.ask - top.bid),
    }


def _ticker(item: Instrument, product: str, query: Mapping[str, str]) -> dict[str, Any]:
    """Tell the last trades, of a window of seconds if one is asked for, the newest first."""
    listing, top, limit = item.listing, item.top(), _limit(query, TRADES_MAX)
    start, end = (_second(query, name) for name in ("start", "end"))
    trades = [
        trade
        for trade in item.trades
        if (start is None or trade.at_ns >= start) and (end is None or trade.at_ns < end)
    ]
    return {
        "trades": [
            {
                "trade_id": str(trade.trade_id),
                "product_id": product,
                "price": _price(listing, trade.price),
                "size": _size(listing, trade.size),
                "time": go_stamp(trade.at_ns),
                "side": "SELL" if trade.buy else "BUY",
                "exchange": "",
            }
            for trade in trades[: -limit - 1 : -1]
        ],
        "best_bid": _price(listing, top.bid),
        "best_ask": _price(listing, top.ask),
    }


def _limit(query: Mapping[str, str], most: int) -> int:
    text = query.get("limit", "")
    return max(1, min(int(text), most)) if text.isascii() and text.isdigit() else most


def _second(query: Mapping[str, str], name: str) -> int | None:
    """Read a UNIX time as ns."""
    text = query.get(name, "")
    return int(text) * SECOND_NS if text.isascii() and text.isdigit() else None


def _price(listing: Listing, price: int) -> str:
    return trimmed(price, listing.price_places)


def _size(listing: Listing, size: int) -> str:
    return trimmed(size, listing.size_places)
