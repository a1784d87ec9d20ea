"""Kraken spot as the simulated exchange speaks it: WebSocket v2, numbers as bare tokens."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

from monitor.simulate.client import Client
from monitor.simulate.market import Event, Listing, Market, Trade

# Larger than a signed 64-bit integer holds, as the venue's are.
CONNECTION_ID = 18125794168470749634
CHANNELS = ("ticker", "trade", "instrument", "heartbeat")


class Session:
    """One client's subscriptions: (channel, symbol), and the trigger of each ticker."""

    def __init__(self, client: Client, market: Market, query: dict[str, str], path: str) -> None:
        self.client = client
        self._listings = {
            f"{item.base}/{item.quote_asset}": item
            for item in market.listings
            if item.venue == "kraken"
        }
        self._subscribed: dict[tuple[str, str], dict[str, Any]] = {}
        self._beaten = 0
        status = {
            "version": "2.0.10",
            "system": "online",
            "api_version": "v2",
            "connection_id": CONNECTION_ID,
        }
        self._put({"channel": "status", "type": "update", "data": [status]})

    def receive(self, text: str) -> int | None:
        """Answer a request; the connection outlives a refused one."""
        now = _stamp()
        try:
            request = json.loads(text)
            method, params = request["method"], request.get("params", {})
        except (ValueError, KeyError, TypeError):
            self._put({"error": "Malformed request", "method": "error", "success": False})
            return None
        answer: dict[str, Any] = {"method": method}
        if "req_id" in request:
            answer["req_id"] = request["req_id"]
        times = {"time_in": now, "time_out": now}
        if method == "ping":
            self._put({**answer, "method": "pong", **times})
            return None
        channel = params.get("channel")
        if method not in ("subscribe", "unsubscribe") or channel not in CHANNELS:
            self._put({**answer, "error": "Malformed request", "success": False, **times})
            return None
        for symbol in params.get("symbol", [None]):
            refused = self._refusal(method, channel, symbol)
            if refused:
                about = {"symbol": symbol} if symbol else {}
                self._put({**answer, "error": refused, "success": False, **about, **times})
                continue
            result = {"channel": channel, "snapshot": params.get("snapshot", channel != "trade")}
            if symbol:
                result["symbol"] = symbol
            if channel == "ticker":
                result["event_trigger"] = params.get("event_trigger", "trades")
            self._put({**answer, "result": result, "success": True, **times})
            if method == "subscribe":
                self._subscribed[channel, symbol or ""] = result
                self._snapshot(channel, symbol, result)
            else:
                self._subscribed.pop((channel, symbol or ""), None)
        return None

    def publish(self, event: Event) -> None:
        symbol = f"{event.listing.base}/{event.listing.quote_asset}"
        if event.trade and ("trade", symbol) in self._subscribed:
            self.client.put(_trade(symbol, event.listing, event.trade))
        ticker = self._subscribed.get(("ticker", symbol))
        if ticker and (event.trade or (event.top_moved and ticker["event_trigger"] == "bbo")):
            self.client.put(_ticker(symbol, event.listing, "update"))

    def beat(self) -> None:
        """Once a second: a heartbeat, if something is subscribed to and nothing else was sent."""
        if self._subscribed and self.client.sent == self._beaten:
            self.client.put('{"channel":"heartbeat"}', data=False)
        self._beaten = self.client.sent

    def _refusal(self, method: str, channel: str, symbol: str | None) -> str | None:
        if symbol is None:
            return None
        if symbol not in self._listings:
            return f"Currency pair not supported {symbol}"
        if method == "subscribe" and (channel, symbol) in self._subscribed:
            return "Already subscribed"
        return None

    def _snapshot(self, channel: str, symbol: str | None, result: dict[str, Any]) -> None:
        if channel == "instrument":
            pairs = ",".join(_pair(name, item) for name, item in self._listings.items())
            data = f'{{"assets":[],"pairs":[{pairs}]}}'
            self.client.put(
                f'{{"channel":"instrument","type":"snapshot","data":{data}}}', data=False
            )
        elif channel == "ticker" and symbol and result["snapshot"]:
            self.client.put(_ticker(symbol, self._listings[symbol], "snapshot"), data=False)

    def _put(self, message: dict[str, Any]) -> None:
        self.client.put(json.dumps(message), data=False)


def rest(path: str, query: dict[str, str], market: Market) -> tuple[int, Any] | None:
    """Answer a REST request: status and JSON; None for a path that is not simulated."""
    resource = path.removeprefix("/0/public/")
    if resource == "SystemStatus":
        return 200, {"error": [], "result": {"status": "online", "timestamp": _stamp()}}
    if resource == "Time":
        return 200, {"error": [], "result": {"unixtime": int(time.time())}}
    return None


def _ticker(symbol: str, listing: Listing, kind: str) -> str:
    bid, ask = listing.best_bid, listing.best_ask
    last = listing.price(bid)
    return (
        f'{{"channel":"ticker","type":"{kind}","data":[{{"symbol":"{symbol}",'
        f'"bid":{listing.price(bid)},"bid_qty":{listing.size(listing.bids[bid])},'
        f'"ask":{listing.price(ask)},"ask_qty":{listing.size(listing.asks[ask])},'
        f'"last":{last},"volume":0.0,"vwap":{last},"low":{last},"high":{last},'
        f'"change":0.0,"change_pct":0.0,"timestamp":"{_stamp()}"}}]}}'
    )


def _trade(symbol: str, listing: Listing, trade: Trade) -> str:
    side = "buy" if trade.buy else "sell"
    return (
        f'{{"channel":"trade","type":"update","data":[{{"symbol":"{symbol}","side":"{side}",'
        f'"price":{listing.price(trade.ticks)},"qty":{listing.size(trade.units)},'
        f'"ord_type":"limit","trade_id":{trade.trade_id},"timestamp":"{_stamp()}"}}]}}'
    )


def _pair(symbol: str, listing: Listing) -> str:
    return (
        f'{{"symbol":"{symbol}","base":"{listing.base}","quote":"{listing.quote_asset}",'
        f'"status":"online","price_precision":{listing.price_decimals},'
        f'"qty_precision":{listing.size_decimals},"price_increment":{listing.price(1)},'
        f'"qty_increment":1e-0{listing.size_decimals}}}'
    )


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
