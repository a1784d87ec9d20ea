"""Kraken spot as the simulated exchange speaks it: WebSocket v2, numbers as bare padded tokens."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monitor.simulate.market.market import Event, Instrument
from monitor.simulate.venues.kraken import checksummed_book, rest, texts
from monitor.simulate.venues.kraken.checksummed_book import DEPTHS, Audience, Key
from monitor.simulate.venues.venue import Answer
from monitor.simulate.wire.client import Client
from monitor.simulate.wire.listeners import Pace
from monitor.simulate.wire.wire_format import SECOND_NS, stamp

# What the venue says of itself.
SYSTEM = ("online", "maintenance", "post_only", "cancel_only")
HEARTBEAT_NS, IDLE_NS = SECOND_NS, 60 * SECOND_NS
TRADES_IN_SNAPSHOT = 50
# The venue publishes no number; so many no sensible client sends.
REQUESTS_PER_S = 50
CHANNELS = ("ticker", "trade", "book", "instrument", "heartbeat", "status")
TRIGGERS = ("trades", "bbo")


class Kraken:
    """The venue: what it lists, and who listens."""

    cues = SYSTEM

    def __init__(self, instruments: list[Instrument]) -> None:
        self.by_symbol = {item.listing.raw_symbol: item for item in instruments}
        self.audience = Audience()
        self._system = SYSTEM[0]

    def opens(self, path: str) -> bool:
        return path.rstrip("/") == "/v2"

    def open(
        self, client: Client, path: str, query: Mapping[str, str], now_ns: int
    ) -> KrakenSession:
        session = KrakenSession(self, client, now_ns)
        client.reply(self._status(client))
        return session

    def cue(self, name: str, clients: Sequence[Client]) -> None:
        self._system = name
        for client in clients:
            client.reply(self._status(client))

    def wanted(self) -> Iterable[Instrument]:
        symbols = self.audience.symbols()
        return [self.by_symbol[symbol] for symbol in sorted(symbols & self.by_symbol.keys())]

    def publish(self, event: Event) -> None:
        symbol, audience = event.instrument.listing.raw_symbol, self.audience
        if event.trades:
            audience.send(Key("trade", symbol), lambda: texts.trades(event, "update"))
            audience.send(Key("ticker", symbol, "trades"), lambda: texts.ticker(event))
        if event.top_moved:
            audience.send(Key("ticker", symbol, "bbo"), lambda: texts.ticker(event))
        for key, view in audience.views(symbol):
            changed = view.update(event)
            if changed is not None:
                text = checksummed_book.book("update", event.instrument, *changed, event.now_ns)
                audience.send(key, lambda text=text: text)  # type: ignore[misc]

    def tick(self, now_ns: int) -> None:
        """Heartbeats are each connection's own."""

    def rest(self, path: str, query: Mapping[str, str], now_ns: int) -> Answer:
        return rest.get(self.by_symbol, path, query, now_ns)

    def fault(self, status: int) -> Answer:
        return rest.fault(status)

    def _status(self, client: Client) -> str:
        return (
            f'{{"channel":"status","type":"update","data":[{{"version":"2.0.10",'
            f'"system":"{self._system}","api_version":"v2",'
            f'"connection_id":{connection_id(client)},"upcoming_maintenance":[],'
            '"emergency":[]}]}'
        )


def connection_id(client: Client) -> int:
    """Return a number larger than a signed 64-bit integer holds, as the venue's are."""
    return (1 << 63) + id(client)


class KrakenLine:
    """What a connection is in either version: its subscriptions, its heartbeats and its pace."""

    heartbeat: str

    def __init__(self, audience: Audience, client: Client, now_ns: int) -> None:
        self.client = client
        self._audience = audience
        self._subscribed: dict[tuple[str, str], Key] = {}
        self._asked_ns = self._beat_ns = now_ns
        self._sent = 0
        self._pace = Pace(REQUESTS_PER_S)

    def control(self, is_pong: bool, payload: bytes, now_ns: int) -> None:
        self._asked_ns = now_ns

    def tick(self, now_ns: int) -> None:
        if self.client.sent != self._sent:
            self._sent, self._beat_ns = self.client.sent, now_ns
        elif self._subscribed and now_ns - self._beat_ns >= HEARTBEAT_NS:
            self._beat_ns = now_ns
            # No answer, yet spared like one: nobody could count a lost heartbeat.
            self.client.reply(self.heartbeat)
            self._sent = self.client.sent
        if not self._subscribed and now_ns - self._asked_ns >= IDLE_NS:
            self.client.close(1000, "idle")

    def closed(self) -> None:
        for key in self._subscribed.values():
            self._audience.drop(key, self.client)

    def _read(self, text: str, now_ns: int) -> dict[str, Any]:
        """Return the fields of a request; none, if it is not one."""
        self._asked_ns = now_ns
        try:
            request = json.loads(text)
        except ValueError:
            return {}
        return request if isinstance(request, dict) else {}

    def _listen(self, key: Key, instrument: Instrument) -> None:
        self._subscribed[key.channel, key.symbol] = key
        self._audience.add(key, self.client, instrument)

    def _ignore(self, key: Key) -> None:
        del self._subscribed[key.channel, key.symbol]
        self._audience.drop(key, self.client)


class KrakenSession(KrakenLine):
    """One connection of WebSocket v2."""

    heartbeat = '{"channel":"heartbeat"}'

    def __init__(self, venue: Kraken, client: Client, now_ns: int) -> None:
        super().__init__(venue.audience, client, now_ns)
        self._venue = venue

    def receive(self, text: str, now_ns: int) -> None:
        request = self._read(text, now_ns)
        method, number = request.get("method"), request.get("req_id")
        params = request.get("params", {})
        if self._pace.exceeded(now_ns):
            self._answer(now_ns, number, error="Exceeded msg rate", method=method, success=False)
        elif method == "ping":
            self._answer(now_ns, number, method="pong")
        elif method not in ("subscribe", "unsubscribe") or not isinstance(params, dict):
            self._answer(now_ns, number, error="Malformed request", method="error", success=False)
        else:
            self._about(str(method), params, number, now_ns)

    def _about(self, method: str, params: dict[str, Any], number: Any, now_ns: int) -> None:
        channel, symbols = params.get("channel"), params.get("symbol", [])
        if channel in ("level3", "executions", "balances"):
            error = (
                "Private data and trading are unavailable on this endpoint. Try ws-auth.kraken.com"
            )
            self._answer(now_ns, number, error=error, method=method, success=False)
        elif channel not in CHANNELS or not _are_texts(symbols):
            self._answer(now_ns, number, error="Malformed request", method="error", success=False)
        elif channel in ("instrument", "heartbeat", "status"):
            self._whole(method, channel, params, number, now_ns)
        elif not symbols:
            error = "Symbol(s) not found"
            self._answer(now_ns, number, error=error, method=method, success=False)
        else:
            for symbol in symbols:
                self._one(method, channel, symbol, params, number, now_ns)

    def _whole(
        self, method: str, channel: str, params: dict[str, Any], number: Any, now_ns: int
    ) -> None:
        """Answer for a channel that has no symbols."""
        result: dict[str, Any] = {"channel": channel}
        if channel == "instrument":
            result["snapshot"] = params.get("snapshot", True) is not False
        self._answer(now_ns, number, method=method, result=result, success=True)
        if method == "unsubscribe":
            self._subscribed.pop((channel, ""), None)
            return
        self._subscribed[channel, ""] = Key(channel, "")
        if result.get("snapshot"):
            listings = [item.listing for item in self._venue.by_symbol.values()]
            self.client.reply(texts.instruments(listings))

    def _one(
        self,
        method: str,
        channel: str,
        symbol: str,
        params: dict[str, Any],
        number: Any,
        now_ns: int,
    ) -> None:
        form = {
            "ticker": params.get("event_trigger", "trades"),
            "book": params.get("depth", 10),
        }.get(channel)
        known = self._subscribed.get((channel, symbol))
        error = self._refusal(method, channel, symbol, form, known)
        if error is not None:
            self._answer(now_ns, number, error=error, method=method, success=False, symbol=symbol)
            return
        snapshot = params.get("snapshot", channel != "trade") is True
        result: dict[str, Any] = {"channel": channel}
        if channel == "book":
            result["depth"] = form
        if channel == "ticker":
            result["event_trigger"] = form
        if method == "subscribe":
            result["snapshot"] = snapshot
        result["symbol"] = symbol
        self._answer(now_ns, number, method=method, result=result, success=True)
        key = Key(channel, symbol, form)
        if method == "unsubscribe":
            self._ignore(key)
            return
        self._listen(key, self._venue.by_symbol[symbol])
        if snapshot:
            self.client.reply(self._snapshot(key, now_ns))

    def _snapshot(self, key: Key, now_ns: int) -> str:
        item = self._venue.by_symbol[key.symbol]
        if key.channel == "book":
            return checksummed_book.snapshot(self._venue.audience.view(key), now_ns)
        event = Event(item, now_ns, list(item.trades)[-TRADES_IN_SNAPSHOT:], [], item.top(), False)
        if key.channel == "trade":
            return texts.trades(event, "snapshot")
        return texts.ticker(event, "snapshot")

    def _refusal(
        self, method: str, channel: str, symbol: str, form: Any, known: Key | None
    ) -> str | None:
        if "/" not in symbol:
            return f"Currency pair not in ISO 4217-A3 format {symbol}"
        if symbol not in self._venue.by_symbol:
            return f"Currency pair not supported {symbol}"
        if channel == "book" and form not in DEPTHS:
            return "Subscription depth not supported"
        if channel == "ticker" and form not in TRIGGERS:
            return "Event trigger not supported"
        if method == "subscribe":
            return None if known is None else "Already subscribed"
        return None if known == Key(channel, symbol, form) else "Subscription Not Found"

    def _answer(self, now_ns: int, number: Any, **fields: Any) -> None:
        if number is not None:
            fields["req_id"] = number
        fields = dict(sorted(fields.items()))
        fields["time_in"], fields["time_out"] = stamp(now_ns), stamp(now_ns + 30_000)
        self.client.reply(json.dumps(fields, separators=(",", ":")))


def _are_texts(symbols: Any) -> bool:
    return isinstance(symbols, list) and all(isinstance(symbol, str) for symbol in symbols)
