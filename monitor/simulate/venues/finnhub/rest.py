"""Finnhub's REST resources: last prices, best quotes and symbol lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitor.simulate.market.market import Instrument
from monitor.simulate.venues.venue import Answer, answer
from monitor.simulate.wire.wire_format import SECOND_NS

# Listed and free to subscribe, but nobody trades them: what a closed market looks like.
_TICKERS = (
    "ABBV ABT ACN ADBE AMAT AMD AMGN AXP BA BAC BKNG BLK BMY C CAT COP COST CRM CSCO CVX DE DHR "
    "DIS GE GILD GS HD HON IBM INTC INTU ISRG JNJ JPM KO LIN LLY LMT LOW MA MCD MDT MRK MS NEE "
    "NFLX NKE ORCL PEP PFE PG"
)
SILENT = tuple(_TICKERS.split())

_EXCHANGES = {"crypto": ("BINANCE", "Binance"), "forex": ("OANDA", "Oanda")}
_ERRORS = {
    401: "Invalid API key.",
    403: "You don't have access to this resource.",
    429: "API limit reached. Please try again later. Remaining Limit: 0",
}


def get(
    by_symbol: Mapping[str, Instrument], path: str, query: Mapping[str, str], now_ns: int
) -> Answer:
    resource = path.removeprefix("/api/v1/")
    item = by_symbol.get(query.get("symbol", ""))
    match resource:
        case "quote":
            return answer(_quote(item))
        case "stock/bidask":
            return answer(_bid_and_ask(item, now_ns))
        case "stock/symbol":
            listed = query.get("exchange") == "US"
            symbols = [name for name, found in by_symbol.items() if name == found.listing.base]
            return answer([_stock(name) for name in (*symbols, *SILENT)] if listed else [])
        case "crypto/symbol" | "forex/symbol":
            code, name = _EXCHANGES[resource.partition("/")[0]]
            found = [
                _pair(name, item)
                for symbol, item in by_symbol.items()
                if symbol.startswith(f"{code}:") and query.get("exchange") == code
            ]
            return answer(found)
        case "stock/market-status":
            return answer(_market_status(query.get("exchange", ""), now_ns))
    return answer({"error": f"No resource {path}"}, 404)


def fault(status: int) -> Answer:
    headers = {"Retry-After": "1"} if status in (418, 429) else {}
    return answer({"error": _ERRORS.get(status, "Service unavailable.")}, status, headers)


def _quote(item: Instrument | None) -> dict[str, Any]:
    """Give the last price; what the venue does not know is all zeros, not an error."""
    if item is None:
        return {"c": 0, "d": None, "dp": None, "h": 0, "l": 0, "o": 0, "pc": 0, "t": 0}
    scale = 10**item.listing.price_places
    last, before = item.last.price, item.opened
    return {
        "c": last / scale,
        "d": (last - before) / scale,
        "dp": round(100 * (last - before) / before, 4),
        "h": item.high / scale,
        "l": item.low / scale,
        "o": item.opened / scale,
        "pc": before / scale,
        "t": item.last.at_ns // SECOND_NS,
    }


def _bid_and_ask(item: Instrument | None, now_ns: int) -> dict[str, Any]:
    if item is None:
        return {"a": 0, "av": 0, "b": 0, "bv": 0, "t": 0}
    top, listing = item.top(), item.listing
    prices, sizes = 10**listing.price_places, 10**listing.size_places
    return {
        "a": top.ask / prices,
        "av": top.ask_size / sizes,
        "b": top.bid / prices,
        "bv": top.bid_size / sizes,
        "t": now_ns // 1_000_000,
    }


def _stock(symbol: str) -> dict[str, str]:
    return {
        "currency": "USD",
        "description": f"{symbol} COMMON STOCK",
        "displaySymbol": symbol,
        "mic": "XNAS",
        "symbol": symbol,
        "type": "Common Stock",
    }


def _pair(exchange: str, item: Instrument) -> dict[str, str]:
    listing = item.listing
    pair = f"{listing.base}/{listing.quote_asset}"
    return {
        "description": f"{exchange} {pair}",
        "displaySymbol": pair,
        "symbol": listing.raw_symbol,
    }


def _market_status(exchange: str, now_ns: int) -> dict[str, Any]:
    return {
        "exchange": exchange,
        "holiday": None,
        "isOpen": True,
        "session": "regular",
        "timezone": "America/New_York",
        "t": now_ns // SECOND_NS,
    }
