"""Kraken's REST resources: errors come with HTTP 200, inside the envelope."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from monitor.simulate.market.listings import OLD_NAMES, Listing
from monitor.simulate.market.market import Instrument
from monitor.simulate.venues.venue import Answer, answer
from monitor.simulate.wire.wire_format import SECOND_NS, decimal, stamp

_KEYS = {"BTC": "XXBT", "DOGE": "XDG", "ETH": "XETH", "XRP": "XXRP", "USD": "ZUSD"}


def get(
    by_symbol: Mapping[str, Instrument], path: str, query: Mapping[str, str], now_ns: int
) -> Answer:
    resources: dict[str, Callable[[Instrument, Mapping[str, str]], Any]] = {
        "Ticker": lambda item, _: _ticker(item),
        "Depth": lambda item, query: _depth(item, query, now_ns),
        "Trades": _trades,
    }
    name = path.removeprefix("/0/public/")
    match name:
        case "Time":
            return _result({"unixtime": now_ns // SECOND_NS, "rfc1123": stamp(now_ns, 3)})
        case "SystemStatus":
            return _result({"status": "online", "timestamp": stamp(now_ns, 3)})
        case "Assets":
            return _assets(by_symbol)
        case "AssetPairs":
            return _asset_pairs(by_symbol, query)
        case "Ticker" if "pair" not in query:
            return _result({_key(item.listing): _ticker(item) for item in by_symbol.values()})
    if name not in resources:
        return _error("EGeneral:Unknown method")
    asked = query.get("pair", "")
    item = _find(by_symbol, asked)
    if item is None:
        return _error(
            "EQuery:Unknown asset pair" if "pair" in query else "EGeneral:Invalid arguments"
        )
    found = resources[name](item, query)
    key = _told(item.listing, asked)
    if name == "Trades":
        told = {trade.trade_id: trade.at_ns for trade in item.trades}
        return _result({key: found, "last": str(told[found[-1][-1]] if found else item.last.at_ns)})
    return _result({key: found})


def fault(status: int) -> Answer:
    if status == 429:
        return answer({"error": ["EAPI:Rate limit exceeded"]}, status, {"Retry-After": "1"})
    page = f"<html><head><title>{status}</title></head><body>cloudflare</body></html>"
    return Answer(status, page, {"Content-Type": "text/html"})


def _assets(by_symbol: Mapping[str, Instrument]) -> Answer:
    listings = [item.listing for item in by_symbol.values()]
    names = [name for listing in listings for name in (listing.base, listing.quote_asset)]
    return _result(
        {
            _KEYS.get(name, name): {
                "aclass": "currency",
                "altname": _old(name),
                "decimals": 4 if name == "USD" else 10,
                "display_decimals": 2 if name == "USD" else 5,
                "status": "enabled",
            }
            for name in dict.fromkeys(names)
        }
    )


def _asset_pairs(by_symbol: Mapping[str, Instrument], query: Mapping[str, str]) -> Answer:
    if "pair" not in query:
        return _result({_key(item.listing): _pair(item.listing) for item in by_symbol.values()})
    items = {name: _find(by_symbol, name) for name in query["pair"].split(",")}
    found = {name: item.listing for name, item in items.items() if item is not None}
    if len(found) < len(items):
        return _error("EQuery:Unknown asset pair")
    return _result({_told(listing, name): _pair(listing) for name, listing in found.items()})


def _ticker(item: Instrument) -> dict[str, Any]:
    listing, top, last = item.listing, item.top(), item.last
    prices, sizes = listing.price_places, listing.size_places
    volume, vwap = decimal(item.volume, sizes), decimal(item.turnover // item.volume, prices)
    low, high = decimal(item.low, prices), decimal(item.high, prices)

    def side(price: int, size: int) -> list[str]:
        return [decimal(price, prices), str(-(-size // 10**sizes)), f"{size / 10**sizes:.3f}"]

    return {
        "a": side(top.ask, top.ask_size),
        "b": side(top.bid, top.bid_size),
        "c": [decimal(last.price, prices), decimal(last.size, sizes)],
        "v": [volume, volume],
        "p": [vwap, vwap],
        "t": [item.trade_count, item.trade_count],
        "l": [low, low],
        "h": [high, high],
        "o": decimal(item.opened, prices),
    }


def _depth(item: Instrument, query: Mapping[str, str], now_ns: int) -> dict[str, Any]:
    count, listing = _count(query, 100, 500), item.listing
    return {
        name: [
            [
                decimal(price, listing.price_places),
                decimal(size, listing.size_places),
                now_ns // SECOND_NS,
            ]
            for price, size in side.top(count)
        ]
        for name, side in (("asks", item.asks), ("bids", item.bids))
    }


def _trades(item: Instrument, query: Mapping[str, str]) -> list[Any]:
    listing, since = item.listing, query.get("since", "0")
    # The cursor is in ns; users also give seconds.
    after_ns = int(float(since) * (1 if len(since) > 12 else SECOND_NS)) if _is_number(since) else 0
    chosen = [trade for trade in item.trades if trade.at_ns > after_ns]
    count = _count(query, 1000, 1000)
    # From a time on the first ones, without one the last.
    chosen = chosen[:count] if after_ns else chosen[-count:]
    return [
        [
            decimal(trade.price, listing.price_places),
            decimal(trade.size, listing.size_places),
            trade.at_ns / SECOND_NS,
            "b" if trade.buy else "s",
            "m" if trade.order_id % 3 else "l",
            "",
            trade.trade_id,
        ]
        for trade in chosen
    ]


def _pair(listing: Listing) -> dict[str, Any]:
    base, quote = _old(listing.base), _old(listing.quote_asset)
    return {
        "altname": f"{base}{quote}",
        "wsname": f"{base}/{quote}",
        "aclass_base": "currency",
        "base": _KEYS.get(listing.base, listing.base),
        "aclass_quote": "currency",
        "quote": _KEYS.get(listing.quote_asset, listing.quote_asset),
        "pair_decimals": listing.price_places,
        "lot_decimals": listing.size_places,
        "cost_decimals": 5,
        "tick_size": decimal(1, listing.price_places),
        "ordermin": decimal(5000, listing.size_places),
        "status": "online",
    }


def _find(by_symbol: Mapping[str, Instrument], name: str) -> Instrument | None:
    for item in by_symbol.values():
        listing = item.listing
        old = _pair(listing)
        spellings = (listing.raw_symbol, old["altname"], old["wsname"], _key(listing))
        if name in (*spellings, listing.raw_symbol.replace("/", "")):
            return item
    return None


def _key(listing: Listing) -> str:
    if listing.base == "DOGE" or listing.quote_asset != "USD" or listing.base == "SOL":
        return f"{_old(listing.base)}{listing.quote_asset}"
    return f"{_KEYS[listing.base]}{_KEYS[listing.quote_asset]}"


def _told(listing: Listing, asked: str) -> str:
    """Return the key of a result: a name with a slash comes back as it was asked for."""
    return asked if "/" in asked else _key(listing)


def _old(asset: str) -> str:
    return OLD_NAMES.get(asset, asset)


def _count(query: Mapping[str, str], usual: int, most: int) -> int:
    text = query.get("count", "")
    return max(1, min(int(text), most)) if text.isascii() and text.isdigit() else usual


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit() and text.isascii()


def _result(value: Any) -> Answer:
    return answer({"error": [], "result": value})


def _error(text: str) -> Answer:
    return answer({"error": [text]})
