"""Order books in Decimal, one for each way in which a venue keeps its own."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from .row import Level, Row


class Book:
    """Two sides of total sizes by price: all that Coinbase's two feeds need."""

    def __init__(self) -> None:
        self.bids: dict[Decimal, Decimal] = {}
        self.asks: dict[Decimal, Decimal] = {}

    def replace(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        self.bids.clear()
        self.asks.clear()
        self.change(bids, asks)

    def change(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for price, size in levels:
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)

    def take(self, row: Row) -> None:
        """Apply one row of the reference; the clearing row of a snapshot empties both sides."""
        if row["side"] is None:
            self.replace((), ())
        else:
            level = [Level(row["price"], row["size"])]
            self.change(*((level, ()) if row["side"] == "bid" else ((), level)))

    def best_bids(self, count: int = 1) -> list[Level]:
        return [Level(price, self.bids[price]) for price in sorted(self.bids)[::-1][:count]]

    def best_asks(self, count: int = 1) -> list[Level]:
        return [Level(price, self.asks[price]) for price in sorted(self.asks)[:count]]

    def crossed(self) -> bool:
        return bool(self.bids and self.asks) and max(self.bids) >= min(self.asks)


class KrakenBook(Book):
    """A book cut to the subscribed depth, of which the venue sends a checksum."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth = depth

    def change(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        super().change(bids, asks)
        self.pushed = (
            self._cut(self.bids, sorted(self.bids)[::-1]),
            self._cut(self.asks, sorted(self.asks)),
        )

    def _cut(self, side: dict[Decimal, Decimal], best_first: list[Decimal]) -> list[Level]:
        return [Level(price, side.pop(price)) for price in best_first[self.depth :]]


def checksum(
    asks: Iterable[Level],
    bids: Iterable[Level],
    price_digits: int | None = None,
    size_digits: int | None = None,
) -> int:
    """Return Kraken's CRC32 of the best levels, as printed or with that many decimals."""
    text = "".join(
        _digits(level.price, price_digits) + _digits(level.size, size_digits)
        for levels in (asks, bids)
        for level in levels
    )
    return zlib.crc32(text.encode("ascii"))


def _digits(value: Decimal, decimals: int | None) -> str:
    text = format(value, "f") if decimals is None else format(value, f".{decimals}f")
    return text.replace(".", "").lstrip("0")


class Diff(NamedTuple):
    first: int
    last: int
    bids: list[Level]
    asks: list[Level]
    header: dict[str, Any]


class BinanceBook(Book):
    """A REST snapshot onto which the diffs of a stream are spliced by their update ids."""

    def __init__(self) -> None:
        super().__init__()
        self.id: int | None = None
        self.waiting: list[Diff] = []
        self.gaps = 0

    def snapshot(self, last: int, bids: list[Level], asks: list[Level]) -> list[Diff]:
        """Start from a snapshot; return the diffs that came before it and still apply."""
        applying = [diff for diff in self.waiting if diff.last > last]
        if self.id is not None or (applying and applying[0].first > last + 1):
            return []
        self.replace(bids, asks)
        self.id, self.waiting = last, []
        for diff in applying:
            self.diff(diff)
        return applying

    def diff(self, diff: Diff) -> None:
        if self.id is not None and diff.first > self.id + 1:
            self.id = None
            self.gaps += 1
        if self.id is None:
            self.waiting.append(diff)
        elif diff.last > self.id:
            self.change(diff.bids, diff.asks)
            self.id = diff.last
