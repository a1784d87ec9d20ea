"""The mock venue: REST only, and the same quotes and trades for a seed on every run.

- `/v1/instruments`: symbol, base, quote, tick_size, lot_size of each
- `/v1/quotes?symbols=A,B`: symbol, bid, bid_size, ask, ask_size, seq, time of each
- `/v1/trades?symbol=A&after=ID`: id, price, size, side, time of the last thousand

Prices and sizes are texts, times RFC 3339. `seq` grows, `id` counts up by one, `side` is the
aggressor's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitor.simulate.market.listings import ASSETS, Listing
from monitor.simulate.market.market import Instrument, Trade, Walk
from monitor.simulate.venues.venue import Answer, Polled, answer
from monitor.simulate.wire.wire_format import SECOND_NS, decimal, stamp, trimmed

# The market moves by the count of steps, never by the clock: that makes it the same every time.
STEP_NS = SECOND_NS // 10
HISTORY_STEPS = 600
# After a longer sleep of the machine the market stood still.
BEHIND_NS = 60 * SECOND_NS

# Places of its prices and of its sizes.
_PLACES = {"BTC": (2, 5), "ETH": (2, 4), "SOL": (2, 3), "XRP": (4, 1), "DOGE": (5, 0)}


class Mock(Polled):
    """The venue over a market of its own, which is stepped as time passes."""

    def __init__(self, seed: int, now_ns: int) -> None:
        self._by_symbol = {f"{base}-USD": _instrument(base, seed) for base in _PLACES}
        self._stepped_ns = now_ns - HISTORY_STEPS * STEP_NS
        self._catch_up(now_ns)

    def tick(self, now_ns: int) -> None:
        self._stepped_ns = max(self._stepped_ns, now_ns - BEHIND_NS)
        self._catch_up(now_ns)

    def rest(self, path: str, query: Mapping[str, str], now_ns: int) -> Answer:
        match path:
            case "/v1/instruments":
                found = [_listed(symbol, item) for symbol, item in self._by_symbol.items()]
                return answer({"instruments": found})
            case "/v1/quotes":
                return self._quotes(query.get("symbols", "").split(","))
            case "/v1/trades":
                return self._trades(query.get("symbol", ""), query.get("after", "0"))
        return _error(f"no resource {path}", 404)

    def fault(self, status: int) -> Answer:
        headers = {"Retry-After": "1"} if status in (418, 429) else {}
        return answer({"error": f"refused with {status}"}, status, headers)

    def _catch_up(self, now_ns: int) -> None:
        while self._stepped_ns + STEP_NS <= now_ns:
            self._stepped_ns += STEP_NS
            for item in self._by_symbol.values():
                item.step(self._stepped_ns)

    def _quotes(self, symbols: list[str]) -> Answer:
        unknown = [symbol for symbol in symbols if symbol not in self._by_symbol]
        if unknown:
            return _error(f"unknown symbol {unknown[0]}", 404)
        quotes = [_quote(symbol, self._by_symbol[symbol], self._stepped_ns) for symbol in symbols]
        return answer({"quotes": quotes})

    def _trades(self, symbol: str, after: str) -> Answer:
        item = self._by_symbol.get(symbol)
        if item is None:
            return _error(f"unknown symbol {symbol}", 404)
        if not (after.isascii() and after.isdigit()):
            return _error(f"expected after to be a trade id, found {after!r}", 400)
        trades = [trade for trade in item.trades if trade.trade_id > int(after)]
        return answer({"trades": [_trade(item.listing, trade) for trade in trades]})


def _instrument(base: str, seed: int) -> Instrument:
    listing = Listing("mock", base, "USD", f"{base}-USD", *_PLACES[base])
    return Instrument(listing, Walk(ASSETS[base].price, f"{seed}/mock/{base}"), seed)


def _listed(symbol: str, item: Instrument) -> dict[str, str]:
    listing = item.listing
    return {
        "symbol": symbol,
        "base": listing.base,
        "quote": listing.quote_asset,
        "tick_size": trimmed(1, listing.price_places),
        "lot_size": trimmed(1, listing.size_places),
    }


def _quote(symbol: str, item: Instrument, at_ns: int) -> dict[str, Any]:
    listing, top = item.listing, item.top()
    return {
        "symbol": symbol,
        "bid": decimal(top.bid, listing.price_places),
        "bid_size": decimal(top.bid_size, listing.size_places),
        "ask": decimal(top.ask, listing.price_places),
        "ask_size": decimal(top.ask_size, listing.size_places),
        "seq": item.update_id,
        "time": stamp(at_ns),
    }


def _trade(listing: Listing, trade: Trade) -> dict[str, Any]:
    return {
        "id": trade.trade_id,
        "price": decimal(trade.price, listing.price_places),
        "size": decimal(trade.size, listing.size_places),
        "side": "buy" if trade.buy else "sell",
        "time": stamp(trade.at_ns),
    }


def _error(text: str, status: int) -> Answer:
    return answer({"error": text}, status)
