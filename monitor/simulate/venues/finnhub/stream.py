"""Finnhub as the simulated exchange speaks it: a key, no acknowledgements, trades in batches."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping

from monitor.simulate.market.market import Event, Instrument, Trade
from monitor.simulate.venues.finnhub import rest
from monitor.simulate.venues.venue import Answer
from monitor.simulate.wire.client import Client
from monitor.simulate.wire.wire_format import SECOND_NS, trimmed

# About 60 s at the real one.
PING_NS = 10 * SECOND_NS
SYMBOLS_MAX = 50
# A message goes out when it is full, or when its first trade has waited so long.
BATCH_TRADES, BATCH_NS = 4, SECOND_NS // 10
BAD_KEY = "bad"

# Conditions of the US tape; coins and currencies have none.
_CONDITIONS = ('"c":["1"],', '"c":["1","8"],', '"c":["1","8","24","12"],', '"c":null,')
_NO_CONDITIONS = ('"c":null,', "")


class Finnhub:
    """The venue: who holds which key, and who listens to which symbol."""

    def __init__(self, instruments: list[Instrument], seed: int) -> None:
        self.by_symbol = {item.listing.raw_symbol: item for item in instruments}
        self.symbols = {*self.by_symbol, *rest.SILENT}
        self._random = random.Random(f"{seed}/finnhub")
        self._by_key: dict[str, FinnhubSession] = {}
        self._listeners: dict[str, dict[FinnhubSession, None]] = {}

    def refusal(self, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer | None:
        key = query.get("token") or headers.get("X-Finnhub-Token")
        if key and key != BAD_KEY:
            return None
        return rest.fault(401)

    def opens(self, path: str) -> bool:
        return True

    def open(
        self, client: Client, path: str, query: Mapping[str, str], now_ns: int
    ) -> FinnhubSession:
        key = query.get("token", "")
        session = FinnhubSession(self, client, key, now_ns)
        first = self._by_key.pop(key, None)
        if first is None:
            self._by_key[key] = session
        else:
            # One connection per key: the second takes the first down with it.
            first.client.close(1008, "")
            client.close(1008, "")
        return session

    def forget(self, key: str, session: FinnhubSession) -> None:
        if self._by_key.get(key) is session:
            del self._by_key[key]

    def wanted(self) -> Iterable[Instrument]:
        return [item for symbol, item in self.by_symbol.items() if symbol in self._listeners]

    def listen(self, symbol: str, session: FinnhubSession) -> None:
        self._listeners.setdefault(symbol, {})[session] = None

    def ignore(self, symbol: str, session: FinnhubSession) -> None:
        listeners = self._listeners.get(symbol, {})
        listeners.pop(session, None)
        if not listeners:
            self._listeners.pop(symbol, None)

    def publish(self, event: Event) -> None:
        listeners = self._listeners.get(event.instrument.listing.raw_symbol)
        if listeners and event.trades:
            texts = [self._text(event.instrument, trade) for trade in event.trades]
            for session in listeners:
                session.add(texts, event.now_ns)

    def tick(self, now_ns: int) -> None:
        """Every session has its own times."""

    def rest(self, path: str, query: Mapping[str, str], now_ns: int) -> Answer:
        return rest.get(self.by_symbol, path, query, now_ns)

    def fault(self, status: int) -> Answer:
        return rest.fault(status)

    def _text(self, item: Instrument, trade: Trade) -> str:
        listing = item.listing
        equity = listing.raw_symbol == listing.base
        conditions = self._random.choice(_CONDITIONS if equity else _NO_CONDITIONS)
        # A venue of currencies tells no trades: only that the price moved.
        has_volume = not listing.raw_symbol.startswith("OANDA:")
        size = trimmed(trade.size, listing.size_places) if has_volume else "0"
        return (
            f'{{{conditions}"p":{trimmed(trade.price, listing.price_places)},'
            f'"s":"{listing.raw_symbol}","t":{trade.at_ns // 1_000_000},"v":{size}}}'
        )


class FinnhubSession:
    """One connection: its symbols, and the trades that wait for the next message."""

    def __init__(self, venue: Finnhub, client: Client, key: str, now_ns: int) -> None:
        self.client = client
        self._venue, self._key = venue, key
        self._symbols: dict[str, None] = {}
        self._waiting: list[str] = []
        self._waiting_ns = 0
        self._ping_ns = now_ns

    def add(self, trades: list[str], now_ns: int) -> None:
        """Put trades into the message that is being filled."""
        if not self._waiting:
            self._waiting_ns = now_ns
        self._waiting += trades
        if len(self._waiting) >= BATCH_TRADES:
            self._send()

    def control(self, is_pong: bool, payload: bytes, now_ns: int) -> None:
        """Pings and pongs change nothing."""

    def tick(self, now_ns: int) -> None:
        if self._waiting and now_ns - self._waiting_ns >= BATCH_NS:
            self._send()
        if now_ns - self._ping_ns >= PING_NS:
            self._ping_ns = now_ns
            self.client.reply('{"type":"ping"}')

    def closed(self) -> None:
        self._venue.forget(self._key, self)
        for symbol in self._symbols:
            self._venue.ignore(symbol, self)

    def receive(self, text: str, now_ns: int) -> None:
        try:
            request = json.loads(text)
        except ValueError:
            request = None
        kind = request.get("type") if isinstance(request, dict) else None
        if not isinstance(request, dict) or kind not in ("subscribe", "unsubscribe"):
            self._refuse("Invalid message")
            return
        symbol = str(request.get("symbol"))
        if kind == "unsubscribe":
            self._symbols.pop(symbol, None)
            self._venue.ignore(symbol, self)
        elif symbol not in self._venue.symbols:
            self.client.reply(json.dumps({"msg": f"Invalid symbol {symbol}", "type": "error"}))
        elif symbol not in self._symbols and len(self._symbols) >= SYMBOLS_MAX:
            self._refuse("Subscribing to too many symbols")
        else:
            self._symbols[symbol] = None
            self._venue.listen(symbol, self)

    def _send(self) -> None:
        self.client.send(f'{{"data":[{",".join(self._waiting)}],"type":"trade"}}')
        self._waiting.clear()

    def _refuse(self, reason: str) -> None:
        self.client.reply(json.dumps({"type": "error", "msg": reason}))
