"""Kraken's book as a subscriber of one depth sees it, and its checksum."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from monitor.simulate.book import Side
from monitor.simulate.market import Instrument
from monitor.simulate.wire import decimal, stamp

DEPTHS = (10, 25, 100, 500, 1000)
CHECKED_LEVELS = 10

Levels = Iterable[tuple[int, int]]


class BookView:
    """The best `depth` levels of a book, and what changed in them since the last update."""

    def __init__(self, instrument: Instrument, depth: int) -> None:
        self._instrument, self._depth = instrument, depth
        self._bids = dict(instrument.bids.top(depth))
        self._asks = dict(instrument.asks.top(depth))

    def snapshot(self, now_ns: int) -> str:
        return self._text("snapshot", self._bids.items(), self._asks.items(), now_ns)

    def update(self, now_ns: int) -> str | None:
        """Return what takes a subscriber's book from the last update to now, if anything."""
        item = self._instrument
        self._bids, bids = _difference(self._bids, item.bids, self._depth)
        self._asks, asks = _difference(self._asks, item.asks, self._depth)
        return self._text("update", bids, asks, now_ns) if bids or asks else None

    def _text(self, kind: str, bids: Levels, asks: Levels, now_ns: int) -> str:
        item = self._instrument
        checked = checksum(item.asks.top(CHECKED_LEVELS), item.bids.top(CHECKED_LEVELS))
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{item.listing.raw_symbol}",'
            f'"bids":{self._levels(bids)},"asks":{self._levels(asks)},'
            f'"checksum":{checked},"timestamp":"{stamp(now_ns)}"}}]}}'
        )

    def _levels(self, levels: Levels) -> str:
        listing = self._instrument.listing
        prices, sizes = listing.price_places, listing.size_places
        texts = [
            f'{{"price":{decimal(price, prices)},"qty":{decimal(size, sizes)}}}'
            for price, size in levels
        ]
        return f"[{','.join(texts)}]"


def _difference(
    seen: dict[int, int], side: Side, depth: int
) -> tuple[dict[int, int], list[tuple[int, int]]]:
    """Return the best levels now, and the changes that lead to them.

    A level that others pushed out of the depth is not told of: the subscriber cuts it off himself.
    """
    now = dict(side.top(depth))
    if now == seen:
        return now, []
    gone = [(price, 0) for price in seen if price not in now and price not in side.sizes]
    new = [(price, size) for price, size in now.items() if seen.get(price) != size]
    return now, gone + new


def checksum(asks: Levels, bids: Levels) -> int:
    """Return the CRC32 of the ten best levels of each side, best first.

    Prices and sizes in whole units are just the digits that the venue's rule leaves: padded to
    their places, without the point and leading zeros.
    """
    digits = "".join(f"{price}{size}" for levels in (asks, bids) for price, size in levels)
    return zlib.crc32(digits.encode())
