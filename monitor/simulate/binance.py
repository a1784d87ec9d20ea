"""Binance spot as the simulated exchange speaks it: combined streams and the REST resources."""

from __future__ import annotations

import json
import time
from collections import deque
from typing import Any

from monitor.simulate.client import Client
from monitor.simulate.market import Event, Listing, Market

MESSAGES_PER_S = 5
PING_EVERY_S = 20.0


class Session:
    """One client's streams, and its requests of the last second."""

    def __init__(self, client: Client, market: Market, query: dict[str, str], path: str) -> None:
        self.client = client
        self._market = market
        self._micros = query.get("timeUnit", "").upper() == "MICROSECOND"
        named = query.get("streams", "") or path.partition("/ws/")[2]
        self.streams = {stream for stream in named.split("/") if stream}
        self._combined = not path.rstrip("/").endswith("/ws") and "/ws/" not in path
        self._requests: deque[float] = deque()

    def receive(self, text: str) -> int | None:
        """Answer a request; return a closing code if the client asks too much."""
        now_s = time.monotonic()
        while self._requests and now_s - self._requests[0] >= 1:
            self._requests.popleft()
        self._requests.append(now_s)
        if len(self._requests) > MESSAGES_PER_S:
            return 1008
        try:
            request = json.loads(text)
        except ValueError as error:
            self._refuse(3, f"Invalid JSON: {error}", None)
            return None
        params, number = request.get("params", []), request.get("id")
        match request.get("method"):
            case "SUBSCRIBE" | "UNSUBSCRIBE" if not all(self._is_stream(p) for p in params):
                self._refuse(2, "Invalid request: invalid stream", number)
            case "SUBSCRIBE":
                self.streams |= set(params)
                self._answer(None, number)
            case "UNSUBSCRIBE":
                self.streams -= set(params)
                self._answer(None, number)
            case "LIST_SUBSCRIPTIONS":
                self._answer(sorted(self.streams), number)
            case "GET_PROPERTY":
                self._answer(self._combined, number)
            case "SET_PROPERTY":
                self._combined = bool(params[1])
                self._answer(None, number)
            case method:
                self._refuse(2, f"Invalid request: unknown variant {method!r}", number)
        return None

    def publish(self, event: Event) -> None:
        listing = event.listing
        symbol = listing.base + listing.quote_asset
        if event.trade and (stream := f"{symbol.lower()}@trade") in self.streams:
            trade, now = event.trade, self._now()
            price, size = listing.price(trade.ticks), listing.size(trade.units)
            maker = "false" if trade.buy else "true"
            self._send(
                stream,
                f'{{"e":"trade","E":{now},"s":"{symbol}","t":{trade.trade_id},"p":"{price}",'
                f'"q":"{size}","T":{now},"m":{maker},"M":true}}',
            )
        if event.top_moved and (stream := f"{symbol.lower()}@bookTicker") in self.streams:
            bid, ask = listing.best_bid, listing.best_ask
            self._send(
                stream,
                f'{{"u":{listing.update_id},"s":"{symbol}","b":"{listing.price(bid)}",'
                f'"B":"{listing.size(listing.bids[bid])}","a":"{listing.price(ask)}",'
                f'"A":"{listing.size(listing.asks[ask])}"}}',
            )

    def beat(self) -> None:
        """Binance has no heartbeat: its WebSocket pings are the server's."""

    def _send(self, stream: str, data: str) -> None:
        wrapped = f'{{"stream":"{stream}","data":{data}}}' if self._combined else data
        self.client.put(wrapped)

    def _now(self) -> int:
        return time.time_ns() // (1000 if self._micros else 1_000_000)

    def _is_stream(self, name: object) -> bool:
        return isinstance(name, str) and "@" in name

    def _answer(self, result: object, number: object) -> None:
        self.client.put(json.dumps({"result": result, "id": number}), data=False)

    def _refuse(self, code: int, message: str, number: object) -> None:
        error = {"error": {"code": code, "msg": message}, "id": number}
        self.client.put(json.dumps(error), data=False)


def rest(path: str, query: dict[str, str], market: Market) -> tuple[int, Any] | None:
    """Answer a REST request: status and JSON; None for a path that Binance does not have."""
    listings = {
        item.base + item.quote_asset: item for item in market.listings if item.venue == "binance"
    }
    resource = path.removeprefix("/api/v3/")
    if resource == "ping":
        return 200, {}
    if resource == "time":
        return 200, {"serverTime": time.time_ns() // 1_000_000}
    if resource == "exchangeInfo":
        return 200, {"symbols": [_symbol(name, item) for name, item in listings.items()]}
    if resource not in ("depth", "ticker/bookTicker"):
        return None
    listing = listings.get(query.get("symbol", ""))
    if listing is None:
        return 400, {"code": -1121, "msg": "Invalid symbol."}
    if resource == "depth":
        return 200, {
            "lastUpdateId": listing.update_id,
            "bids": [[listing.price(t), listing.size(listing.bids[t])] for t in _best(listing)[0]],
            "asks": [[listing.price(t), listing.size(listing.asks[t])] for t in _best(listing)[1]],
        }
    bid, ask = listing.best_bid, listing.best_ask
    return 200, {
        "symbol": listing.base + listing.quote_asset,
        "bidPrice": listing.price(bid),
        "bidQty": listing.size(listing.bids[bid]),
        "askPrice": listing.price(ask),
        "askQty": listing.size(listing.asks[ask]),
    }


def _best(listing: Listing) -> tuple[list[int], list[int]]:
    return sorted(listing.bids, reverse=True), sorted(listing.asks)


def _symbol(name: str, listing: Listing) -> dict[str, Any]:
    return {
        "symbol": name,
        "status": "TRADING",
        "baseAsset": listing.base,
        "quoteAsset": listing.quote_asset,
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": listing.price(1)},
            {"filterType": "LOT_SIZE", "stepSize": listing.size(1)},
        ],
    }
