"""Kraken's frozen WebSocket v1 as the simulated exchange speaks it: events and arrays."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monitor.simulate.market.market import Event, Instrument
from monitor.simulate.venues.kraken import rest
from monitor.simulate.venues.kraken.checksummed_book import DEPTHS, Audience, Key
from monitor.simulate.venues.kraken.stream import SYSTEM, KrakenLine, connection_id
from monitor.simulate.venues.kraken_v1 import texts
from monitor.simulate.venues.venue import Answer
from monitor.simulate.wire.client import Client

CHANNELS = ("ticker", "spread", "trade", "book")


class KrakenV1:
    """The venue: what it lists, who listens, and when each level last changed."""

    cues = SYSTEM

    def __init__(self, instruments: list[Instrument]) -> None:
        self.by_pair = {item.listing.raw_symbol: item for item in instruments}
        self.audience = Audience()
        self._system = SYSTEM[0]
        self._channel_ids: dict[Key, int] = {}
        self._changed_ns: dict[Instrument, dict[tuple[bool, int], int]] = {
            item: {
                (is_bid, price): item.changed_ns
                for is_bid, side in ((True, item.bids), (False, item.asks))
                for price in side.sizes
            }
            for item in instruments
        }

    def opens(self, path: str) -> bool:
        return path in ("", "/")

    def open(
        self, client: Client, path: str, query: Mapping[str, str], now_ns: int
    ) -> KrakenV1Session:
        client.reply(self._status(client))
        return KrakenV1Session(self, client, now_ns)

    def cue(self, name: str, clients: Sequence[Client]) -> None:
        self._system = name
        for client in clients:
            client.reply(self._status(client))

    def wanted(self) -> Iterable[Instrument]:
        return [self.by_pair[pair] for pair in sorted(self.audience.symbols())]

    def channel_id(self, key: Key) -> int:
        return self._channel_ids.setdefault(key, 336 + len(self._channel_ids))

    def publish(self, event: Event) -> None:
        pair, audience = event.instrument.listing.raw_symbol, self.audience
        changed_ns = self._changed_ns[event.instrument]
        for change in event.changes:
            if change.size:
                changed_ns[change.is_bid, change.price] = event.now_ns
            else:
                changed_ns.pop((change.is_bid, change.price), None)
        trade, ticker, spread = (Key(name, pair) for name in ("trade", "ticker", "spread"))
        if event.trades:
            audience.send(trade, lambda: texts.trades(self.channel_id(trade), event))
            audience.send(ticker, lambda: texts.ticker(self.channel_id(ticker), event))
        if event.top_moved:
            audience.send(spread, lambda: texts.spread(self.channel_id(spread), event))
        for key, view in audience.views(pair):
            sides = view.update(event)
            if sides is not None:
                text = texts.book_update(self.channel_id(key), event, key.form, sides, changed_ns)
                audience.send(key, lambda text=text: text)  # type: ignore[misc]

    def snapshot(self, key: Key, now_ns: int) -> str | None:
        """Return what a new subscriber is told first; of trades he is told nothing."""
        item, number = self.by_pair[key.symbol], self.channel_id(key)
        event = Event(item, now_ns, [], [], item.top(), False)
        match key.channel:
            case "book":
                view = self.audience.view(key)
                return texts.book_snapshot(number, view, key.form, self._changed_ns[item])
            case "ticker":
                return texts.ticker(number, event)
            case "spread":
                return texts.spread(number, event)
        return None

    def tick(self, now_ns: int) -> None:
        """Heartbeats are each connection's own."""

    def rest(self, path: str, query: Mapping[str, str], now_ns: int) -> Answer:
        return rest.get(self.by_pair, path, query, now_ns)

    def fault(self, status: int) -> Answer:
        return rest.fault(status)

    def _status(self, client: Client) -> str:
        return (
            f'{{"connectionID":{connection_id(client)},"event":"systemStatus",'
            f'"status":"{self._system}","version":"1.9.6"}}'
        )


class KrakenV1Session(KrakenLine):
    """One connection of WebSocket v1."""

    heartbeat = '{"event":"heartbeat"}'

    def __init__(self, venue: KrakenV1, client: Client, now_ns: int) -> None:
        super().__init__(venue.audience, client, now_ns)
        self._venue = venue

    def receive(self, text: str, now_ns: int) -> None:
        fields = self._read(text, now_ns)
        event, number = fields.get("event"), fields.get("reqid")
        pairs, asked = fields.get("pair"), fields.get("subscription")
        if self._pace.exceeded(now_ns):
            self._answer(number, event="error", errorMessage="Exceeded msg rate")
        elif event == "ping":
            self._answer(number, event="pong")
        elif (
            event not in ("subscribe", "unsubscribe")
            or not isinstance(pairs, list)
            or not isinstance(asked, dict)
        ):
            self._answer(number, event="error", errorMessage="Malformed request")
        else:
            for pair in pairs:
                self._about(str(event), str(pair), asked, number, now_ns)

    def _about(
        self, event: str, pair: str, asked: dict[str, Any], number: Any, now_ns: int
    ) -> None:
        """Answer for one pair of a request, as the venue does."""
        name = asked.get("name")
        subscription = {"name": name}
        if name == "book":
            subscription["depth"] = asked.get("depth", 10)
        key = Key(str(name), pair, subscription.get("depth"))
        error = self._refusal(event, key)
        status = {"event": "subscriptionStatus", "pair": pair}
        about = {"subscription": dict(sorted(subscription.items()))}
        if error is not None:
            self._answer(number, errorMessage=error, status="error", **status, **about)
            return
        self._answer(
            number,
            channelID=self._venue.channel_id(key),
            channelName=key.channel if key.form is None else f"{key.channel}-{key.form}",
            status=f"{event}d",
            **status,
            **about,
        )
        if event == "unsubscribe":
            self._ignore(key)
            return
        self._listen(key, self._venue.by_pair[pair])
        first = self._venue.snapshot(key, now_ns)
        if first is not None:
            self.client.reply(first)

    def _refusal(self, event: str, key: Key) -> str | None:
        if "/" not in key.symbol:
            return f"Currency pair not in ISO 4217-A3 format {key.symbol}"
        if key.symbol not in self._venue.by_pair:
            return f"Currency pair not supported {key.symbol}"
        if key.channel not in CHANNELS:
            return "Subscription name invalid"
        if key.channel == "book" and key.form not in DEPTHS:
            return "Subscription depth not supported"
        known = self._subscribed.get((key.channel, key.symbol))
        if event == "subscribe":
            return None if known is None else "Already subscribed"
        return None if known == key else "Subscription Not Found"

    def _answer(self, number: Any, **fields: Any) -> None:
        if number is not None:
            fields["reqid"] = number
        self.client.reply(json.dumps(dict(sorted(fields.items())), separators=(",", ":")))
