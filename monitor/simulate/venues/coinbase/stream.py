"""Coinbase Advanced Trade as the simulated exchange speaks it: one sequence per connection."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from monitor.simulate.market.market import Event, Instrument, Trade
from monitor.simulate.venues.coinbase import rest, texts
from monitor.simulate.venues.venue import Answer
from monitor.simulate.wire.client import Client
from monitor.simulate.wire.wire_format import SECOND_NS, go_stamp

SUBSCRIBE_WITHIN_NS, SILENCE_NS = 5 * SECOND_NS, 90 * SECOND_NS
HEARTBEAT_NS, TICKER_BATCH_NS, TRADES_NS = SECOND_NS, 5 * SECOND_NS, SECOND_NS // 4
TRADES_IN_SNAPSHOT = 100
CHANNELS = (
    "heartbeats",
    "ticker",
    "ticker_batch",
    "level2",
    "market_trades",
    "status",
    "candles",
)
SIGNED_CHANNELS = ("user", "futures_balance_summary")


class Coinbase:
    """The venue: who listens to which channel of which product, and the trades held for a batch."""

    def __init__(self, instruments: list[Instrument]) -> None:
        self.by_product = {item.listing.raw_symbol: item for item in instruments}
        # A product in USDC is an alias: it is answered under its USD name.
        self.aliases = {
            product.replace("-USD", "-USDC"): product
            for product in self.by_product
            if product.endswith("-USD")
        }
        self._listeners: dict[tuple[str, str], dict[CoinbaseSession, None]] = {}
        self._trades: dict[str, list[Trade]] = {}
        self._trades_due_ns = self._batch_due_ns = 0

    def opens(self, path: str) -> bool:
        return path in ("", "/")

    def open(
        self, client: Client, path: str, query: Mapping[str, str], now_ns: int
    ) -> CoinbaseSession:
        return CoinbaseSession(self, client, now_ns)

    def wanted(self) -> Iterable[Instrument]:
        products = {product for _, product in self._listeners}
        return [self.by_product[product] for product in sorted(products & self.by_product.keys())]

    def listen(self, channel: str, product: str, session: CoinbaseSession, now_ns: int) -> None:
        if channel == "market_trades":
            # The snapshot holds what waits for the batch: it must not be told twice.
            self._flush_trades(product, now_ns)
        self._listeners.setdefault((channel, product), {})[session] = None

    def ignore(self, channel: str, product: str, session: CoinbaseSession) -> None:
        listeners = self._listeners.get((channel, product), {})
        listeners.pop(session, None)
        if not listeners:
            self._listeners.pop((channel, product), None)

    def publish(self, event: Event) -> None:
        product, now_ns = event.instrument.listing.raw_symbol, event.now_ns
        if event.trades and ("market_trades", product) in self._listeners:
            self._trades.setdefault(product, []).extend(event.trades)
        if event.top_moved or event.trades:
            ticker = ("ticker", product)
            self._fan(ticker, "ticker", now_ns, lambda: texts.ticker(event, "update"))
        if event.changes:
            level2 = ("level2", product)
            self._fan(level2, "l2_data", now_ns, lambda: texts.level2_update(event))

    def tick(self, now_ns: int) -> None:
        if now_ns >= self._trades_due_ns:
            self._trades_due_ns = now_ns + TRADES_NS
            for product in list(self._trades):
                self._flush_trades(product, now_ns)
        if now_ns >= self._batch_due_ns:
            self._batch_due_ns = now_ns + TICKER_BATCH_NS
            for product, item in self.by_product.items():
                key = ("ticker_batch", product)
                event = Event(item, now_ns, [], [], item.top(), False)
                self._fan(
                    key,
                    "ticker_batch",
                    now_ns,
                    lambda event=event: texts.ticker_batch(event, "update"),  # type: ignore[misc]
                )

    def rest(self, path: str, query: Mapping[str, str], now_ns: int) -> Answer:
        return rest.get(self.by_product, self.aliases, path, query, now_ns)

    def fault(self, status: int) -> Answer:
        return rest.fault(status)

    def _flush_trades(self, product: str, now_ns: int) -> None:
        trades = self._trades.pop(product, None)
        if trades:
            item = self.by_product[product]
            key = ("market_trades", product)
            text = texts.trades(item, trades, "update")
            self._fan(key, "market_trades", now_ns, lambda: text)

    def _fan(
        self, key: tuple[str, str], channel: str, now_ns: int, events: Callable[[], str]
    ) -> None:
        listeners = self._listeners.get(key)
        if listeners:
            text = events()
            for session in listeners:
                session.send(channel, text, now_ns)


class CoinbaseSession:
    """One connection: its channels and products, and the sequence that counts all its frames."""

    def __init__(self, venue: Coinbase, client: Client, now_ns: int) -> None:
        self.client = client
        self._venue = venue
        self._subscribed: dict[str, list[str]] = {}
        self._sequence = 0
        self._beats = 0
        self._opened_ns = self._sent_ns = self._beat_ns = now_ns
        self._ever_subscribed = False

    def send(self, channel: str, events: str, now_ns: int) -> None:
        self.client.send(self._enveloped(channel, events, now_ns))

    def control(self, is_pong: bool, payload: bytes, now_ns: int) -> None:
        """Pings and pongs do not count as subscribing."""

    def tick(self, now_ns: int) -> None:
        if not self._ever_subscribed and now_ns - self._opened_ns > SUBSCRIBE_WITHIN_NS:
            self.client.close(1008, "no subscription within 5 s")
        elif now_ns - self._sent_ns > SILENCE_NS:
            self.client.close(1000, "no updates")
        elif "heartbeats" in self._subscribed and now_ns - self._beat_ns >= HEARTBEAT_NS:
            self._beat_ns = now_ns
            self._beats += 1
            uptime_ns = now_ns - self._opened_ns + 41_691 * SECOND_NS
            text = texts.heartbeat(now_ns, uptime_ns, 41_691 + self._beats)
            self.send("heartbeats", text, now_ns)

    def closed(self) -> None:
        for channel, products in self._subscribed.items():
            for product in products:
                self._venue.ignore(channel, product, self)

    def receive(self, text: str, now_ns: int) -> None:
        try:
            request = json.loads(text)
        except ValueError:
            request = None
        kind = request.get("type") if isinstance(request, dict) else None
        if not isinstance(request, dict) or kind not in ("subscribe", "unsubscribe"):
            self._refuse("malformed request: expected type subscribe or unsubscribe")
            return
        channel, products = request.get("channel"), request.get("product_ids", [])
        if channel in SIGNED_CHANNELS:
            self._refuse("authentication failure")
        elif channel not in CHANNELS:
            self._refuse(f"channel {channel} is not a valid channel")
        elif not isinstance(products, list):
            self._refuse("malformed request: expected product_ids to be a list")
        else:
            self._about(str(kind), str(channel), products, now_ns)

    def _about(self, kind: str, channel: str, asked: list[Any], now_ns: int) -> None:
        venue = self._venue
        products = [venue.aliases.get(product, product) for product in map(str, asked)]
        unknown = [product for product in products if product not in venue.by_product]
        if channel == "heartbeats":
            products = ["heartbeats"]
        elif unknown:
            self._refuse(f"{unknown[0]} is not a valid product_id")
            return
        elif not products:
            products = list(venue.by_product)
        known = self._subscribed.setdefault(channel, [])
        if kind == "subscribe":
            self._ever_subscribed = True
            fresh = [product for product in dict.fromkeys(products) if product not in known]
            for product in fresh:
                known.append(product)
                venue.listen(channel, product, self, now_ns)
            # As in production: the snapshots go before the acknowledgement.
            self._snapshots(channel, fresh, now_ns)
        else:
            for product in products:
                if product in known:
                    known.remove(product)
                    venue.ignore(channel, product, self)
        if not known:
            del self._subscribed[channel]
        state = json.dumps([{"subscriptions": self._subscribed}], separators=(",", ":"))
        self._reply("subscriptions", state, now_ns)

    def _snapshots(self, channel: str, products: list[str], now_ns: int) -> None:
        items = [self._venue.by_product[p] for p in products if p != "heartbeats"]
        if channel == "status" and items:
            self._reply("status", texts.status(items), now_ns)
        for item in items:
            event = Event(item, now_ns, [], [], item.top(), False)
            match channel:
                case "ticker":
                    self._reply("ticker", texts.ticker(event, "snapshot"), now_ns)
                case "ticker_batch":
                    text = texts.ticker_batch(event, "snapshot")
                    self._reply("ticker_batch", text, now_ns)
                case "level2":
                    self._reply("l2_data", texts.level2_snapshot(event), now_ns)
                case "market_trades":
                    last = list(item.trades)[-TRADES_IN_SNAPSHOT:]
                    text = texts.trades(item, last, "snapshot")
                    self._reply("market_trades", text, now_ns)

    def _reply(self, channel: str, events: str, now_ns: int) -> None:
        self.client.reply(self._enveloped(channel, events, now_ns))

    def _refuse(self, message: str) -> None:
        self.client.reply(json.dumps({"type": "error", "message": message}))

    def _enveloped(self, channel: str, events: str, now_ns: int) -> str:
        sequence, self._sequence = self._sequence, self._sequence + 1
        self._sent_ns = now_ns
        return (
            f'{{"channel":"{channel}","timestamp":"{go_stamp(now_ns)}",'
            f'"sequence_num":{sequence},"events":{events}}}'
        )
