"""Kraken's books as subscribers of each depth see them, and their checksum."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from monitor.simulate.market.market import Event, Instrument
from monitor.simulate.market.order_book import Change, Side
from monitor.simulate.wire.client import Client
from monitor.simulate.wire.listeners import Listeners
from monitor.simulate.wire.wire_format import decimal, stamp

DEPTHS = (10, 25, 100, 500, 1000)
CHECKED_LEVELS = 10


class Key(NamedTuple):
    """What somebody listens to; `form` is a ticker's trigger or a book's depth."""

    channel: str
    symbol: str
    form: Any = None


class Level(NamedTuple):
    """A level as an update tells it; `again` if it was known before and came back into sight."""

    price: int
    size: int
    again: bool = False


class BookView:
    """The best `depth` levels of a book, and what changed in them since the last update."""

    def __init__(self, instrument: Instrument, depth: int) -> None:
        self.instrument, self._depth = instrument, depth
        self.bids = dict(instrument.bids.top(depth))
        self.asks = dict(instrument.asks.top(depth))

    def update(self, event: Event) -> tuple[list[Level], list[Level]] | None:
        """Return the bids and asks that take a subscriber from the last event to this one."""
        item = self.instrument
        self.bids, bids = self._difference(self.bids, item.bids, event.changes, True)
        self.asks, asks = self._difference(self.asks, item.asks, event.changes, False)
        return (bids, asks) if bids or asks else None

    def _difference(
        self, seen: dict[int, int], side: Side, changes: Sequence[Change], is_bid: bool
    ) -> tuple[dict[int, int], list[Level]]:
        """Return the best levels now, and the levels that lead to them.

        A price comes as often as it changed, as the venue's own updates have it. A level that
        others pushed out of the depth is not told of: the subscriber cuts it off himself.
        """
        now = dict(side.top(self._depth))
        if now == seen:
            return now, []
        steps: dict[int, list[int]] = {}
        for change in changes:
            if change.is_bid is is_bid:
                steps.setdefault(change.price, []).append(change.size)
        gone = [price for price in seen if price not in now and price not in side.sizes]
        new = [price for price, size in now.items() if seen.get(price) != size]
        levels = [
            Level(price, size) for price in (*gone, *new) for size in steps.get(price, ())
        ] + [Level(price, now[price], True) for price in new if price not in steps]
        return now, levels


class Audience:
    """Who listens to what of a venue, and the books as the listeners of each depth see them."""

    def __init__(self) -> None:
        self._listeners: Listeners[Key] = Listeners()
        self._views: dict[str, dict[Key, BookView]] = {}

    def symbols(self) -> set[str]:
        return {key.symbol for key in self._listeners}

    def add(self, key: Key, client: Client, instrument: Instrument) -> None:
        if key.channel == "book" and key not in self._listeners:
            self._views.setdefault(key.symbol, {})[key] = BookView(instrument, key.form)
        self._listeners.add(key, client)

    def drop(self, key: Key, client: Client) -> None:
        self._listeners.drop(key, client)
        if key not in self._listeners:
            self._views.get(key.symbol, {}).pop(key, None)

    def view(self, key: Key) -> BookView:
        return self._views[key.symbol][key]

    def views(self, symbol: str) -> Iterable[tuple[Key, BookView]]:
        return self._views.get(symbol, {}).items()

    def send(self, key: Key, text: Callable[[], str]) -> None:
        self._listeners.send(key, text)


def book(
    kind: str, item: Instrument, bids: Iterable[Level], asks: Iterable[Level], now_ns: int
) -> str:
    """Write a book message of WebSocket v2."""
    checked = checksum(item.asks.top(CHECKED_LEVELS), item.bids.top(CHECKED_LEVELS))
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{item.listing.raw_symbol}",'
        f'"bids":{_levels(item, bids)},"asks":{_levels(item, asks)},'
        f'"checksum":{checked},"timestamp":"{stamp(now_ns)}"}}]}}'
    )


def snapshot(view: BookView, now_ns: int) -> str:
    bids, asks = ([Level(*pair) for pair in side.items()] for side in (view.bids, view.asks))
    return book("snapshot", view.instrument, bids, asks, now_ns)


def checksum(asks: Iterable[tuple[int, int]], bids: Iterable[tuple[int, int]]) -> int:
    """Return the CRC32 of the ten best levels of each side, best first.

    Prices and sizes in whole units are just the digits that the venue's rule leaves: padded to
    their places, without the point and leading zeros.
    """
    digits = "".join(f"{price}{size}" for levels in (asks, bids) for price, size in levels)
    return zlib.crc32(digits.encode())


def _levels(item: Instrument, levels: Iterable[Level]) -> str:
    prices, sizes = item.listing.price_places, item.listing.size_places
    texts = [
        f'{{"price":{decimal(price, prices)},"qty":{decimal(size, sizes)}}}'
        for price, size, _ in levels
    ]
    return f"[{','.join(texts)}]"
