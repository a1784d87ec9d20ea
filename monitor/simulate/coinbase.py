"""Coinbase Advanced Trade as the simulated exchange speaks it: one sequence per connection."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

from monitor.simulate.client import Client
from monitor.simulate.market import Event, Listing, Market, Trade

SUBSCRIBE_WITHIN_S = 5.0
CHANNELS = ("ticker", "market_trades", "heartbeats")


class Session:
    """One client's subscriptions, and the sequence that counts all its frames."""

    def __init__(self, client: Client, market: Market, query: dict[str, str], path: str) -> None:
        self.client = client
        self._listings = {
            f"{item.base}-{item.quote_asset}": item
            for item in market.listings
            if item.venue == "coinbase"
        }
        self._subscribed: dict[str, list[str]] = {}
        self._sequence = 0
        self._beats = 3000
        self._opened_s = time.monotonic()

    def receive(self, text: str) -> int | None:
        """Answer a request with all that is subscribed to, or with an error."""
        try:
            request = json.loads(text)
            kind, channel = request["type"], request["channel"]
            products = request.get("product_ids", [])
        except (ValueError, KeyError, TypeError):
            self._refuse("malformed request")
            return None
        unknown = [product for product in products if product not in self._listings]
        if kind not in ("subscribe", "unsubscribe") or channel not in CHANNELS:
            self._refuse(f"channel {channel} is not supported")
            return None
        if unknown:
            self._refuse(f"{unknown[0]} is not a valid product")
            return None
        known = self._subscribed.setdefault(channel, [])
        fresh = [product for product in products if product not in known]
        if kind == "subscribe":
            known += fresh
            self._snapshots(channel, fresh)
        else:
            self._subscribed[channel] = [product for product in known if product not in products]
        told = {name: ids or [name] for name, ids in self._subscribed.items()}
        self._put("subscriptions", json.dumps([{"subscriptions": told}]), data=False)
        return None

    def publish(self, event: Event) -> None:
        product = f"{event.listing.base}-{event.listing.quote_asset}"
        if event.trade and product in self._subscribed.get("market_trades", ()):
            trades = _trade(product, event.listing, event.trade)
            self._put("market_trades", f'[{{"type":"update","trades":[{trades}]}}]')
        if event.top_moved and product in self._subscribed.get("ticker", ()):
            ticker = _ticker(product, event.listing)
            self._put("ticker", f'[{{"type":"update","tickers":[{ticker}]}}]')

    def beat(self) -> int | None:
        """Once a second: a heartbeat if asked for; a closing code if nothing was subscribed to."""
        if "heartbeats" in self._subscribed:
            self._beats += 1
            now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
            current = f"{now}000 +0000 UTC m=+{time.monotonic():.9f}"
            beat = {"current_time": current, "heartbeat_counter": self._beats}
            self._put("heartbeats", json.dumps([beat]), data=False)
        late = time.monotonic() - self._opened_s > SUBSCRIBE_WITHIN_S
        return 1008 if late and not self._subscribed else None

    def _snapshots(self, channel: str, products: list[str]) -> None:
        if channel == "ticker" and products:
            tickers = ",".join(_ticker(name, self._listings[name]) for name in products)
            self._put("ticker", f'[{{"type":"snapshot","tickers":[{tickers}]}}]', data=False)

    def _put(self, channel: str, events: str, data: bool = True) -> None:
        text = (
            f'{{"channel":"{channel}","timestamp":"{_stamp()}",'
            f'"sequence_num":{self._sequence},"events":{events}}}'
        )
        self._sequence += 1
        self.client.put(text, data)

    def _refuse(self, message: str) -> None:
        self.client.put(json.dumps({"type": "error", "message": message}), data=False)


def rest(path: str, query: dict[str, str], market: Market) -> tuple[int, Any] | None:
    """Answer a REST request: status and JSON; None for a path that is not simulated."""
    resource = path.removeprefix("/api/v3/brokerage/")
    if resource == "time":
        return 200, {"iso": _stamp(), "epochSeconds": str(int(time.time()))}
    if resource != "market/products":
        return None
    listings = [item for item in market.listings if item.venue == "coinbase"]
    return 200, {"products": [_product(item) for item in listings], "num_products": len(listings)}


def _ticker(product: str, listing: Listing) -> str:
    bid, ask = listing.best_bid, listing.best_ask
    return (
        f'{{"type":"ticker","product_id":"{product}","price":"{listing.price(bid)}",'
        f'"best_bid":"{listing.price(bid)}","best_bid_quantity":"{listing.size(listing.bids[bid])}",'
        f'"best_ask":"{listing.price(ask)}","best_ask_quantity":"{listing.size(listing.asks[ask])}"}}'
    )


def _trade(product: str, listing: Listing, trade: Trade) -> str:
    maker = "SELL" if trade.buy else "BUY"
    return (
        f'{{"trade_id":"{trade.trade_id}","product_id":"{product}",'
        f'"price":"{listing.price(trade.ticks)}","size":"{listing.size(trade.units)}",'
        f'"side":"{maker}","time":"{_stamp()}"}}'
    )


def _product(listing: Listing) -> dict[str, Any]:
    return {
        "product_id": f"{listing.base}-{listing.quote_asset}",
        "price_increment": listing.price(1),
        "quote_increment": listing.price(1),
        "base_increment": listing.size(1),
        "status": "online",
    }


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
