"""Binance's REST resources, weighed as the venue weighs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Any, TypeVar

from monitor.simulate.market.listings import Listing
from monitor.simulate.market.market import TRADES_KEPT, Instrument
from monitor.simulate.venues.venue import Answer, answer
from monitor.simulate.wire.wire_format import SECOND_NS, decimal

MINUTE_NS = 60 * SECOND_NS
WEIGHT_PER_MINUTE = 6000
PLACES = 8
US_NS, MS_NS = 1_000, 1_000_000
# With `MICROSECOND` all times of an answer are in µs.
UNIT_HEADER = "X-MBX-TIME-UNIT"
DEPTH_MAX = 5000
# How late a book comes that is old already.
LATE_S = 1.0
T = TypeVar("T")
_DEPTH_WEIGHTS = ((100, 5), (500, 25), (1000, 50), (5000, 250))


class Rest:
    """The resources, and the weight used in this minute."""

    def __init__(self, instruments: list[Instrument]) -> None:
        self._by_symbol = {item.listing.raw_symbol: item for item in instruments}
        self._minute, self._weight = -1, 0
        self._kept: dict[str, Any] = {}

    def keep_books(self) -> None:
        """Answer the next request for each book late, and with the one of now."""
        self._kept = {symbol: _book(item, DEPTH_MAX) for symbol, item in self._by_symbol.items()}

    def get(self, path: str, query: Mapping[str, str], now_ns: int) -> Answer:
        minute, into_ns = divmod(now_ns, MINUTE_NS)
        if minute != self._minute:
            self._minute, self._weight = minute, 0
        kept = self._kept.pop(query.get("symbol", ""), None) if path.endswith("/depth") else None
        status, value = self._resource(path, query, now_ns)
        headers = {
            "X-MBX-USED-WEIGHT": str(self._weight),
            "X-MBX-USED-WEIGHT-1M": str(self._weight),
        }
        if self._weight > WEIGHT_PER_MINUTE:
            wait_s = (MINUTE_NS - into_ns) // SECOND_NS + 1
            refused = self.fault(429)
            return refused._replace(headers={**headers, "Retry-After": str(wait_s)})
        if kept is not None:
            return answer(kept, 200, headers)._replace(after_s=LATE_S)
        return answer(value, status, headers)

    def fault(self, status: int) -> Answer:
        match status:
            case 429 | 418:
                banned = (
                    "Way too many requests; IP banned" if status == 418 else "Too many requests"
                )
                return answer({"code": -1003, "msg": f"{banned}."}, status, {"Retry-After": "1"})
            case 451:
                reason = (
                    "Service unavailable from a restricted location according to "
                    "'b. Eligibility' in https://www.binance.com/en/terms."
                )
                return answer({"code": 0, "msg": reason}, status)
            case _:
                page = "<html><head><title>403 Forbidden</title></head><body></body></html>"
                return Answer(status, page, {"Content-Type": "text/html"})

    def _resource(self, path: str, query: Mapping[str, str], now_ns: int) -> tuple[int, Any]:
        match path.removeprefix("/api/v3/"):
            case "ping":
                self._weight += 1
                return 200, {}
            case "time":
                self._weight += 1
                return 200, {"serverTime": now_ns // _unit_ns(query)}
            case "exchangeInfo":
                self._weight += 20
                return self._exchange_info(query, now_ns)
            case "depth":
                return self._depth(query)
            case "ticker/bookTicker":
                self._weight += 2 if "symbol" in query else 4
                return self._book_ticker(query)
            case "trades" | "historicalTrades" as name:
                self._weight += 25
                return self._trades(query, name == "historicalTrades")
            case "aggTrades":
                self._weight += 4
                return self._agg_trades(query)
        return 404, {"code": -1, "msg": f"No resource {path} is simulated."}

    def _exchange_info(self, query: Mapping[str, str], now_ns: int) -> tuple[int, Any]:
        chosen = self._chosen(query)
        if chosen is None:
            return _BAD_SYMBOL
        limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1}
        return 200, {
            "timezone": "UTC",
            "serverTime": now_ns // _unit_ns(query),
            "rateLimits": [{**limit, "limit": WEIGHT_PER_MINUTE}],
            "exchangeFilters": [],
            "symbols": [_symbol(item.listing) for item in chosen],
        }

    def _depth(self, query: Mapping[str, str]) -> tuple[int, Any]:
        limit = _limit(query, 100, DEPTH_MAX)
        self._weight += next((w for most, w in _DEPTH_WEIGHTS if limit and limit <= most), 5)
        item = self._by_symbol.get(query.get("symbol", ""))
        if limit is None:
            return _BAD_LIMIT
        if item is None:
            return _BAD_SYMBOL if "symbol" in query else _NO_SYMBOL
        return 200, _book(item, limit)

    def _book_ticker(self, query: Mapping[str, str]) -> tuple[int, Any]:
        chosen = self._chosen(query)
        if chosen is None:
            return _BAD_SYMBOL
        tickers = [_ticker(item) for item in chosen]
        return 200, tickers[0] if "symbol" in query else tickers

    def _chosen(self, query: Mapping[str, str]) -> list[Instrument] | None:
        """Return what `symbol` or `symbols` names, all without either, None for an unknown one."""
        named = list(self._by_symbol)
        if "symbol" in query:
            named = [query["symbol"]]
        elif "symbols" in query:
            named = query["symbols"].strip("[]").replace('"', "").split(",")
        if any(symbol not in self._by_symbol for symbol in named):
            return None
        return [self._by_symbol[symbol] for symbol in named]

    def _trades(self, query: Mapping[str, str], old: bool) -> tuple[int, Any]:
        """Tell the last trades, or those from an id on, which only `historicalTrades` takes."""
        limit, item = _limit(query, 500, 1000), self._by_symbol.get(query.get("symbol", ""))
        if limit is None:
            return _BAD_LIMIT
        if item is None:
            return _BAD_SYMBOL if "symbol" in query else _NO_SYMBOL
        places = item.listing.price_places + item.listing.size_places
        return 200, [
            {
                "id": trade.trade_id,
                "price": _price(item, trade.price),
                "qty": _size(item, trade.size),
                "quoteQty": _padded(trade.price * trade.size, places),
                "time": trade.at_ns // _unit_ns(query),
                "isBuyerMaker": not trade.buy,
                "isBestMatch": True,
            }
            for trade in _from(item.trades, query if old else {}, limit, lambda t: t.trade_id)
        ]

    def _agg_trades(self, query: Mapping[str, str]) -> tuple[int, Any]:
        limit, item = _limit(query, 500, 1000), self._by_symbol.get(query.get("symbol", ""))
        if limit is None:
            return _BAD_LIMIT
        if item is None:
            return _BAD_SYMBOL if "symbol" in query else _NO_SYMBOL
        orders = [list(fills) for _, fills in groupby(item.trades, lambda trade: trade.order_id)]
        if len(item.trades) == TRADES_KEPT:
            # The oldest order may have lost its first fills.
            del orders[0]
        return 200, [
            {
                "a": fills[0].order_id,
                "p": _price(item, fills[0].price),
                "q": _size(item, sum(trade.size for trade in fills)),
                "f": fills[0].trade_id,
                "l": fills[-1].trade_id,
                "T": fills[0].at_ns // _unit_ns(query),
                "m": not fills[0].buy,
                "M": True,
            }
            for fills in _from(orders, query, limit, lambda fills: fills[0].order_id)
        ]


_BAD_SYMBOL = (400, {"code": -1121, "msg": "Invalid symbol."})
_NO_SYMBOL = (400, {"code": -1102, "msg": "Mandatory parameter 'symbol' was not sent."})
_BAD_LIMIT = (400, {"code": -1100, "msg": "Illegal characters found in parameter 'limit'."})


def _from(
    items: Iterable[T], query: Mapping[str, str], limit: int, number: Callable[[T], int]
) -> list[T]:
    """Return the first items from `fromId` on, or without that the last ones."""
    first = query.get("fromId", "")
    if not (first.isascii() and first.isdigit()):
        return list(items)[-limit:]
    return [item for item in items if number(item) >= int(first)][:limit]


def _book(item: Instrument, limit: int) -> dict[str, Any]:
    bids, asks = (
        [[_price(item, p), _size(item, s)] for p, s in side.top(limit)]
        for side in (item.bids, item.asks)
    )
    return {"lastUpdateId": item.update_id, "bids": bids, "asks": asks}


def _unit_ns(query: Mapping[str, str]) -> int:
    return US_NS if query.get("timeUnit", "").upper() == "MICROSECOND" else MS_NS


def _limit(query: Mapping[str, str], usual: int, most: int) -> int | None:
    text = query.get("limit", str(usual))
    return min(int(text), most) if text.isascii() and text.isdigit() and int(text) else None


def _ticker(item: Instrument) -> dict[str, str]:
    top = item.top()
    return {
        "symbol": item.listing.raw_symbol,
        "bidPrice": _price(item, top.bid),
        "bidQty": _size(item, top.bid_size),
        "askPrice": _price(item, top.ask),
        "askQty": _size(item, top.ask_size),
    }


def _symbol(listing: Listing) -> dict[str, Any]:
    tick, lot = _padded(1, listing.price_places), _padded(1, listing.size_places)
    return {
        "symbol": listing.raw_symbol,
        "status": "TRADING",
        "baseAsset": listing.base,
        "baseAssetPrecision": PLACES,
        "quoteAsset": listing.quote_asset,
        "quotePrecision": PLACES,
        "quoteAssetPrecision": PLACES,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "isSpotTradingAllowed": True,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": tick,
                "maxPrice": "1000000.00000000",
                "tickSize": tick,
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": lot,
                "maxQty": "900000.00000000",
                "stepSize": lot,
            },
        ],
    }


def _price(item: Instrument, price: int) -> str:
    return _padded(price, item.listing.price_places)


def _size(item: Instrument, size: int) -> str:
    return _padded(size, item.listing.size_places)


def _padded(number: int, places: int) -> str:
    return decimal(number * 10 ** (PLACES - places), PLACES)
