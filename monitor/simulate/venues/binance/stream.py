"""Binance spot as the simulated exchange speaks it: streams, raw and combined."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from monitor.simulate.market.market import Event, Instrument
from monitor.simulate.market.order_book import Change
from monitor.simulate.venues.binance.rest import Rest
from monitor.simulate.venues.venue import Answer, levels
from monitor.simulate.wire.client import Client
from monitor.simulate.wire.listeners import Pace
from monitor.simulate.wire.wire_format import SECOND_NS, decimal

PLACES = 8
MESSAGES_PER_S = 5
STREAMS_MAX = 1024
PING_EVERY_NS, PONG_WITHIN_NS = 20 * SECOND_NS, 60 * SECOND_NS
MS_NS, US_NS = 1_000_000, 1_000

_STREAM = re.compile(r"[A-Za-z0-9]+@[A-Za-z0-9_]+(@\w+)?(@[+-]\d\d:\d\d)?|![A-Za-z0-9_@]+")
_BOOK = re.compile(r"([a-z0-9]+)@depth(5|10|20)?(@100ms|@1000ms)?")
_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class Binance:
    """The venue: who listens to which stream."""

    cues = ("stale-snapshot",)

    def __init__(self, instruments: list[Instrument]) -> None:
        self.streams: dict[str, dict[BinanceSession, None]] = {}
        self._by_symbol = {item.listing.raw_symbol.lower(): item for item in instruments}
        self._names = {
            item: tuple(f"{symbol}@{name}" for name in ("trade", "aggTrade", "bookTicker"))
            for symbol, item in self._by_symbol.items()
        }
        self._books: dict[str, BookStream] = {}
        self._rest = Rest(instruments)

    def opens(self, path: str) -> bool:
        return path.rstrip("/") in ("/ws", "/stream") or path.startswith("/ws/")

    def open(
        self, client: Client, path: str, query: Mapping[str, str], now_ns: int
    ) -> BinanceSession:
        session = BinanceSession(self, client, path.startswith("/stream"), query, now_ns)
        named = query.get("streams", "") if path.startswith("/stream") else path[len("/ws/") :]
        session.subscribe([name for name in named.split("/") if _STREAM.fullmatch(name)], now_ns)
        return session

    def wanted(self) -> Iterable[Instrument]:
        symbols = {name.partition("@")[0] for name in self.streams}
        return [self._by_symbol[symbol] for symbol in sorted(symbols & self._by_symbol.keys())]

    def listen(self, name: str, session: BinanceSession, now_ns: int) -> None:
        self.streams.setdefault(name, {})[session] = None
        found = _BOOK.fullmatch(name)
        if found and found[1] in self._by_symbol and name not in self._books:
            every_ns = SECOND_NS // 10 if found[3] == "@100ms" else SECOND_NS
            depth = int(found[2]) if found[2] else None
            self._books[name] = BookStream(self._by_symbol[found[1]], every_ns, depth, now_ns)

    def ignore(self, name: str, session: BinanceSession) -> None:
        listeners = self.streams.get(name, {})
        listeners.pop(session, None)
        if not listeners:
            self.streams.pop(name, None)
            self._books.pop(name, None)

    def publish(self, event: Event) -> None:
        trade, agg_trade, book_ticker = self._names[event.instrument]
        streams = self.streams
        if event.trades:
            if trade in streams:
                for at in range(len(event.trades)):
                    self._fan(trade, lambda unit, at=at: _trade(event, at, unit))  # type: ignore[misc]
            if agg_trade in streams:
                self._fan(agg_trade, lambda unit: _agg_trade(event, unit))
        if event.top_moved and book_ticker in streams:
            self._fan(book_ticker, lambda _: _book_ticker(event))
        for book in self._books.values():
            if book.instrument is event.instrument:
                book.add(event.changes)

    def tick(self, now_ns: int) -> None:
        for name, book in self._books.items():
            if now_ns >= book.due_ns and book.moved():
                first_id = book.first_id
                changes = book.take(now_ns)
                self._fan(
                    name,
                    lambda unit, b=book, f=first_id, c=changes: b.text(f, c, now_ns // unit),  # type: ignore[misc]
                )

    def rest(self, path: str, query: Mapping[str, str], now_ns: int) -> Answer:
        return self._rest.get(path, query, now_ns)

    def fault(self, status: int) -> Answer:
        return self._rest.fault(status)

    def cue(self, name: str, clients: Sequence[Client]) -> None:
        self._rest.keep_books()

    def _fan(self, name: str, text: Callable[[int], str]) -> None:
        """Send a stream's text to its listeners: one text for each unit of time."""
        texts: dict[int, str] = {}
        for session in self.streams[name]:
            unit = session.unit_ns
            if unit not in texts:
                texts[unit] = text(unit)
            if session.combined:
                session.client.send(f'{{"stream":"{name}","data":{texts[unit]}}}')
            else:
                session.client.send(texts[unit])


class BookStream:
    """A stream of book changes, or of the best `depth` levels, each time it is due."""

    def __init__(
        self, instrument: Instrument, every_ns: int, depth: int | None, now_ns: int
    ) -> None:
        self.instrument = instrument
        self.due_ns = now_ns + every_ns
        self.first_id = instrument.update_id + 1
        self._every_ns, self._depth = every_ns, depth
        self._changes: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def add(self, changes: list[Change]) -> None:
        if self._depth is None:
            for change in changes:
                self._changes[0 if change.is_bid else 1][change.price] = change.size

    def moved(self) -> bool:
        return self.instrument.update_id >= self.first_id

    def take(self, now_ns: int) -> tuple[dict[int, int], dict[int, int]]:
        """Return the changes since the last time, and begin anew."""
        changes, self._changes = self._changes, ({}, {})
        self.first_id = self.instrument.update_id + 1
        self.due_ns = now_ns + self._every_ns
        return changes

    def text(self, first_id: int, changes: tuple[dict[int, int], dict[int, int]], now: int) -> str:
        item = self.instrument
        if self._depth is not None:
            bids, asks = (_levels(item, side.top(self._depth)) for side in (item.bids, item.asks))
            return f'{{"lastUpdateId":{item.update_id},"bids":{bids},"asks":{asks}}}'
        bids = _levels(item, sorted(changes[0].items(), reverse=True))
        asks = _levels(item, sorted(changes[1].items()))
        return (
            f'{{"e":"depthUpdate","E":{now},"s":"{item.listing.raw_symbol}","U":{first_id},'
            f'"u":{item.update_id},"b":{bids},"a":{asks}}}'
        )


class BinanceSession:
    """One connection: its streams, its properties, and how often it asks."""

    def __init__(
        self, venue: Binance, client: Client, combined: bool, query: Mapping[str, str], now_ns: int
    ) -> None:
        self.client, self.combined = client, combined
        micros = query.get("timeUnit", "").upper() == "MICROSECOND"
        self.unit_ns = US_NS if micros else MS_NS
        self._venue = venue
        self._streams: dict[str, None] = {}
        self._pace = Pace(MESSAGES_PER_S)
        self._pinged_ns = self._ponged_ns = now_ns

    def subscribe(self, names: list[str], now_ns: int) -> None:
        for name in names:
            self._streams[name] = None
            self._venue.listen(name, self, now_ns)

    def control(self, is_pong: bool, payload: bytes, now_ns: int) -> None:
        # Only a pong that copies a ping's payload counts as its answer.
        if is_pong and payload:
            self._ponged_ns = now_ns
        self._is_too_fast(now_ns)

    def tick(self, now_ns: int) -> None:
        if now_ns - self._pinged_ns >= PING_EVERY_NS:
            self._pinged_ns = now_ns
            self.client.ping(str(now_ns // MS_NS).encode())
        if now_ns - self._ponged_ns > PONG_WITHIN_NS + PING_EVERY_NS:
            self.client.close(1008, "Pong timeout")
        if self.client.takes_notice():
            said = f'{{"e":"serverShutdown","E":{now_ns // self.unit_ns}}}'
            if self.combined:
                said = f'{{"stream":"!serverShutdown","data":{said}}}'
            self.client.reply(said)

    def closed(self) -> None:
        for name in self._streams:
            self._venue.ignore(name, self)

    def receive(self, text: str, now_ns: int) -> None:
        if self._is_too_fast(now_ns):
            return
        try:
            request = json.loads(text)
        except ValueError:
            self._refuse(3, "Invalid JSON: expected value at line 1 column 1", None)
            return
        if not isinstance(request, dict) or "method" not in request:
            self._refuse(2, "Invalid request: missing field `method` at line 1 column 2", None)
            return
        method, params = request["method"], request.get("params", [])
        number = request.get("id")
        if not _is_id(number):
            self._refuse(2, "Invalid request: request ID must be an unsigned integer", None)
        elif method not in _METHODS:
            variants = ", ".join(f"`{name}`" for name in _METHODS)
            self._refuse(
                2,
                f"Invalid request: unknown variant `{method}`, expected one of {variants}",
                number,
            )
        elif not isinstance(params, list):
            self._refuse(2, "Invalid request: invalid type, expected a sequence", number)
        elif method.endswith("_PROPERTY"):
            self._property(method, params, number)
        else:
            self._streams_request(method, params, number, now_ns)

    def _streams_request(self, method: str, params: list[Any], number: Any, now_ns: int) -> None:
        if method == "LIST_SUBSCRIPTIONS":
            self._answer(list(self._streams), number)
        elif not all(isinstance(name, str) and _STREAM.fullmatch(name) for name in params):
            self._refuse(2, "Invalid request: invalid stream", number)
        elif method == "UNSUBSCRIBE":
            for name in params:
                self._streams.pop(name, None)
                self._venue.ignore(name, self)
            self._answer(None, number)
        elif len(self._streams.keys() | set(params)) > STREAMS_MAX:
            self._refuse(4, "Too many subscriptions", number)
        else:
            self.subscribe(params, now_ns)
            self._answer(None, number)

    def _property(self, method: str, params: list[Any], number: Any) -> None:
        if params and not isinstance(params[0], str):
            self._refuse(2, "Invalid request: property name must be a string", number)
        elif params[:1] != ["combined"]:
            self._refuse_flat(0, "Unknown property", number)
        elif method == "GET_PROPERTY":
            self._answer(self.combined, number)
        elif len(params) != 2 or not isinstance(params[1], bool):
            self._refuse_flat(1, "Invalid value type: expected Boolean", number)
        else:
            self.combined = params[1]
            self._answer(None, number)

    def _is_too_fast(self, now_ns: int) -> bool:
        exceeded = self._pace.exceeded(now_ns)
        if exceeded:
            self.client.close(1008, "Too many requests")
        return exceeded

    def _answer(self, result: Any, number: Any) -> None:
        self.client.reply(_json({"result": result, "id": number}))

    def _refuse(self, code: int, msg: str, number: Any) -> None:
        self.client.reply(_json({"error": {"code": code, "msg": msg}, "id": number}))

    def _refuse_flat(self, code: int, msg: str, number: Any) -> None:
        # The documented shape; a client must know both.
        self.client.reply(_json({"code": code, "msg": msg, "id": number}))


def _trade(event: Event, at: int, unit: int) -> str:
    item, trade = event.instrument.listing, event.trades[at]
    return (
        f'{{"e":"trade","E":{event.now_ns // unit},"s":"{item.raw_symbol}","t":{trade.trade_id},'
        f'"p":"{_padded(trade.price, item.price_places)}",'
        f'"q":"{_padded(trade.size, item.size_places)}","T":{trade.at_ns // unit},'
        f'"m":{"false" if trade.buy else "true"},"M":true}}'
    )


def _agg_trade(event: Event, unit: int) -> str:
    item, first, last = event.instrument.listing, event.trades[0], event.trades[-1]
    size = sum(trade.size for trade in event.trades)
    return (
        f'{{"e":"aggTrade","E":{event.now_ns // unit},"s":"{item.raw_symbol}",'
        f'"a":{first.order_id},"p":"{_padded(first.price, item.price_places)}",'
        f'"q":"{_padded(size, item.size_places)}","f":{first.trade_id},"l":{last.trade_id},'
        f'"T":{first.at_ns // unit},"m":{"false" if first.buy else "true"},"M":true}}'
    )


def _book_ticker(event: Event) -> str:
    item, top = event.instrument.listing, event.top
    prices, sizes = item.price_places, item.size_places
    return (
        f'{{"u":{event.instrument.update_id},"s":"{item.raw_symbol}",'
        f'"b":"{_padded(top.bid, prices)}","B":"{_padded(top.bid_size, sizes)}",'
        f'"a":"{_padded(top.ask, prices)}","A":"{_padded(top.ask_size, sizes)}"}}'
    )


def _levels(item: Instrument, pairs: list[tuple[int, int]]) -> str:
    prices, sizes = item.listing.price_places, item.listing.size_places
    return levels([(_padded(price, prices), _padded(size, sizes)) for price, size in pairs])


def _padded(number: int, places: int) -> str:
    return decimal(number * 10 ** (PLACES - places), PLACES)


def _is_id(number: Any) -> bool:
    if number is None or (isinstance(number, int) and not isinstance(number, bool)):
        return number is None or -(2**63) <= number < 2**63
    return isinstance(number, str) and len(number) <= 36 and number.isalnum()


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
