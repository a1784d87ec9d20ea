"""A limit order book by price level, in whole units."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import NamedTuple


class Change(NamedTuple):
    """The new total size at a price of one side; size 0 removes it."""

    is_bid: bool
    price: int
    size: int


class Side:
    """One side of a book; `sign` is 1 for bids and -1 for asks."""

    __slots__ = ("_keys", "_sign", "sizes")

    def __init__(self, sign: int) -> None:
        self.sizes: dict[int, int] = {}
        self._sign = sign
        # Signed prices, ascending: the best is the last one, on either side.
        self._keys: list[int] = []

    def __len__(self) -> int:
        return len(self._keys)

    def best(self) -> int:
        return self._keys[-1] * self._sign

    def worst(self) -> int:
        return self._keys[0] * self._sign

    def at(self, rank: int) -> int:
        """Return the price of a level; rank 0 is the best."""
        return self._keys[-1 - rank] * self._sign

    def beats(self, price: int, other: int) -> bool:
        """Tell whether `price` is better than `other` on this side."""
        return price * self._sign > other * self._sign

    def beyond(self, price: int, steps: int) -> int:
        """Return the price `steps` worse than `price`."""
        return price - steps * self._sign

    def put(self, price: int, size: int) -> None:
        """Set the total at a price; 0 removes it."""
        known = price in self.sizes
        if size:
            if not known:
                insort(self._keys, price * self._sign)
            self.sizes[price] = size
        elif known:
            del self.sizes[price]
            del self._keys[bisect_left(self._keys, price * self._sign)]

    def top(self, levels: int) -> list[tuple[int, int]]:
        """Return the best (price, size) pairs, best first."""
        sign, sizes = self._sign, self.sizes
        return [(key * sign, sizes[key * sign]) for key in self._keys[: -levels - 1 : -1]]
