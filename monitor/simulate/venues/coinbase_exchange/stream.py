"""Coinbase Exchange as the simulated exchange speaks it: the channels that need no key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monitor.simulate.market.market import Event, Instrument
from monitor.simulate.market.order_book import Change
from monitor.simulate.venues.coinbase_exchange import rest, texts
from monitor.simulate.venues.venue import Answer
from monitor.simulate.wire.client import Client
from monitor.simulate.wire.listeners import Listeners
from monitor.simulate.wire.wire_format import SECOND_NS

SUBSCRIBE_WITHIN_NS, HEARTBEAT_NS, LEVEL2_NS = 5 * SECOND_NS, SECOND_NS, SECOND_NS // 20
# Each with the name that its acknowledgement has.
CHANNELS = {
    "heartbeat": "heartbeat",
    "ticker": "ticker",
    "matches": "matches",
    "level2_batch": "level2_50",
}
SIGNED_CHANNELS = ("level2", "level3", "full", "user")


class CoinbaseExchange:
    """The venue: who listens to which channel of which product, and the changes held for a batch.

    The numbers on matches, tickers and heartbeats are those of the full feed, which counts every
    change of the book too: they rise, with holes.
    """

    cues = ("slow-consumer",)

    def __init__(self, instruments: list[Instrument]) -> None:
        self.by_product = {item.listing.raw_symbol: item for item in instruments}
        self.listeners: Listeners[tuple[str, str]] = Listeners()
        self._held: dict[str, dict[tuple[bool, int], Change]] = {}
        self._matched = {item: item.full_sequence for item in instruments}
        self._level2_due_ns = 0

    def opens(self, path: str) -> bool:
        return path in ("", "/")

    def open(
        self, client: Client, path: str, query: Mapping[str, str], now_ns: int
    ) -> CoinbaseExchangeSession:
        return CoinbaseExchangeSession(self, client, now_ns)

    def wanted(self) -> Iterable[Instrument]:
        return [self.by_product[name] for name in sorted({name for _, name in self.listeners})]

    def publish(self, event: Event) -> None:
        item, listeners = event.instrument, self.listeners
        product = item.listing.raw_symbol
        before = item.update_id - len(event.changes)
        for trade in event.trades:
            self._matched[item] = sequence = before + trade.trade_id
            listeners.send(
                ("matches", product),
                lambda t=trade, s=sequence: texts.match(item, t, s),  # type: ignore[misc]
            )
        if event.trades:
            listeners.send(
                ("ticker", product), lambda: texts.ticker(item, event.top, self._matched[item])
            )
        if ("level2_batch", product) in listeners:
            held = self._held.setdefault(product, {})
            held.update({(change.is_bid, change.price): change for change in event.changes})

    def tick(self, now_ns: int) -> None:
        if now_ns >= self._level2_due_ns:
            self._level2_due_ns = now_ns + LEVEL2_NS
            held, self._held = self._held, {}
            for product, changes in held.items():
                text = texts.l2update(self.by_product[product], changes.values(), now_ns)
                self.listeners.send(("level2_batch", product), lambda text=text: text)  # type: ignore[misc]

    def snapshot(self, channel: str, product: str) -> str | None:
        """Return what a new subscriber is told first."""
        item = self.by_product[product]
        match channel:
            case "level2_batch":
                return texts.snapshot(item)
            case "ticker":
                return texts.ticker(item, item.top(), self._matched[item])
            case "matches":
                return texts.match(item, item.last, self._matched[item], "last_match")
        return None

    def rest(self, path: str, query: Mapping[str, str], now_ns: int) -> Answer:
        return rest.get(self.by_product, path, query, now_ns)

    def fault(self, status: int) -> Answer:
        return rest.fault(status)

    def cue(self, name: str, clients: Sequence[Client]) -> None:
        for client in clients:
            client.close(1008, "ErrSlowConsume")


class CoinbaseExchangeSession:
    """One connection: its channels and products."""

    def __init__(self, venue: CoinbaseExchange, client: Client, now_ns: int) -> None:
        self.client = client
        self._venue = venue
        self._subscribed: dict[str, list[str]] = {}
        self._opened_ns = self._beat_ns = now_ns
        self._ever_subscribed = False

    def control(self, is_pong: bool, payload: bytes, now_ns: int) -> None:
        """Pings and pongs do not count as subscribing."""

    def tick(self, now_ns: int) -> None:
        if not self._ever_subscribed and now_ns - self._opened_ns > SUBSCRIBE_WITHIN_NS:
            self.client.close(1008, "no subscription within 5 s")
        if now_ns - self._beat_ns >= HEARTBEAT_NS:
            self._beat_ns = now_ns
            for product in self._subscribed.get("heartbeat", ()):
                # No answer, yet spared like one: nobody could count a lost heartbeat.
                self.client.reply(texts.heartbeat(self._venue.by_product[product], now_ns))

    def closed(self) -> None:
        for channel, products in self._subscribed.items():
            for product in products:
                self._venue.listeners.drop((channel, product), self.client)

    def receive(self, text: str, now_ns: int) -> None:
        try:
            request = json.loads(text)
        except ValueError:
            self._refuse("Malformed JSON", None)
            return
        fields = request if isinstance(request, dict) else {}
        kind = fields.get("type")
        if kind not in ("subscribe", "unsubscribe"):
            self._refuse("Type has to be either subscribe or unsubscribe", None)
            return
        asked = _asked(fields)
        reason = self._refusal(asked)
        if reason is not None:
            self._refuse(f"Failed to {kind}", reason)
            return
        fresh = self._subscribe(asked) if kind == "subscribe" else self._unsubscribe(asked)
        self._acknowledge()
        for channel, product in fresh:
            first = self._venue.snapshot(channel, product)
            if first is not None:
                self.client.reply(first)

    def _subscribe(self, asked: Mapping[str, list[str]]) -> list[tuple[str, str]]:
        """Listen to what was asked for; return what of it is new."""
        self._ever_subscribed = True
        fresh = []
        for channel, products in asked.items():
            known = self._subscribed.setdefault(channel, [])
            for product in dict.fromkeys(products):
                if product not in known:
                    known.append(product)
                    self._venue.listeners.add((channel, product), self.client)
                    fresh.append((channel, product))
        return fresh

    def _unsubscribe(self, asked: Mapping[str, list[str]]) -> list[tuple[str, str]]:
        for channel, products in asked.items():
            known = self._subscribed.get(channel, [])
            # Without products a channel goes as a whole.
            for product in products or list(known):
                if product in known:
                    known.remove(product)
                    self._venue.listeners.drop((channel, product), self.client)
            if not known:
                self._subscribed.pop(channel, None)
        return []

    def _refusal(self, asked: Mapping[str, list[str]]) -> str | None:
        """Return why nothing of a request is done, if so."""
        if not asked:
            return "No channels provided"
        for channel, products in asked.items():
            if channel in SIGNED_CHANNELS:
                return (
                    "level2, level3, and full channels now require authentication. "
                    "https://docs.cdp.coinbase.com/exchange/docs/websocket-auth"
                )
            if channel not in CHANNELS:
                return f"{channel} is not a valid channel"
            for product in products:
                if product not in self._venue.by_product:
                    return f"{product} is not a valid product"
        return None

    def _acknowledge(self) -> None:
        channels = [
            {"name": CHANNELS[channel], "product_ids": products, "account_ids": None}
            for channel, products in self._subscribed.items()
        ]
        state = {"type": "subscriptions", "channels": channels}
        self.client.reply(json.dumps(state, separators=(",", ":")))

    def _refuse(self, message: str, reason: str | None) -> None:
        error = {"type": "error", "message": message}
        if reason is not None:
            error["reason"] = reason
        self.client.reply(json.dumps(error, separators=(",", ":")))


def _asked(fields: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the products of each channel: those named with it, and those named for all."""
    shared = fields.get("product_ids")
    for_all = [str(product) for product in shared] if isinstance(shared, list) else []
    channels = fields.get("channels")
    asked: dict[str, list[str]] = {}
    for channel in channels if isinstance(channels, list) else []:
        if isinstance(channel, dict):
            own = channel.get("product_ids")
            products = [str(product) for product in own] if isinstance(own, list) else []
            asked.setdefault(str(channel.get("name")), []).extend([*products, *for_all])
        else:
            asked.setdefault(str(channel), []).extend(for_all)
    return asked
