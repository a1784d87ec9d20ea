"""A seeded market: books that follow common prices, never cross, and trade at their tops."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import NamedTuple

LEVELS = 25
# Per step: the spread of the common price's log return, and of a venue's pull away from it.
STEP_RETURN = 4e-6
OFFSET_BPS = 1.0
OFFSET_DECAY = 0.995
TRADE_SHARE = 0.25


class Asset(NamedTuple):
    """A base asset: its first price, and the decimals of its prices and sizes on every venue."""

    name: str
    price: float
    price_decimals: int
    size_decimals: int
    typical_size: float


ASSETS = (
    Asset("BTC", 64000.0, 2, 8, 0.4),
    Asset("ETH", 3400.0, 2, 8, 4.0),
    Asset("SOL", 160.0, 2, 8, 60.0),
    Asset("XRP", 0.62, 5, 8, 9000.0),
    Asset("DOGE", 0.14, 5, 8, 30000.0),
)
QUOTE_ASSETS = {"binance": ("USDT",), "kraken": ("USD",), "coinbase": ("USD",)}


@dataclass
class Listing:
    """An instrument of a venue with its book: integer price ticks to sizes in units."""

    venue: str
    base: str
    quote_asset: str
    price_decimals: int
    size_decimals: int
    typical_units: float
    offset_bps: float = 0.0
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)
    update_id: int = 0
    trade_id: int = 0

    @property
    def best_bid(self) -> int:
        return max(self.bids)

    @property
    def best_ask(self) -> int:
        return min(self.asks)

    def price(self, ticks: int) -> str:
        return _decimal(ticks, self.price_decimals)

    def size(self, units: int) -> str:
        return _decimal(units, self.size_decimals)


class Trade(NamedTuple):
    """An execution; `buy` tells that the aggressor bought."""

    trade_id: int
    ticks: int
    units: int
    buy: bool


class Event(NamedTuple):
    """What one step changed: whether the top of the book moved, and a trade or none."""

    listing: Listing
    top_moved: bool
    trade: Trade | None


class Market:
    """All listings of the venues asked for; the same seed gives the same steps."""

    def __init__(self, venues: tuple[str, ...], seed: int) -> None:
        self._random = random.Random(seed)
        self._mids = {asset.name: asset.price for asset in ASSETS}
        self.listings = [
            self._list(venue, asset, quote)
            for venue in venues
            for asset in ASSETS
            for quote in QUOTE_ASSETS[venue]
        ]

    def step(self) -> Event:
        """Move one listing: its price, some sizes, and now and then a trade."""
        draw = self._random
        listing = draw.choices(self.listings, [5, 4, 2, 1, 1] * (len(self.listings) // 5))[0]
        self._mids[listing.base] *= math.exp(draw.gauss(0, STEP_RETURN))
        listing.offset_bps = listing.offset_bps * OFFSET_DECAY + draw.gauss(0, OFFSET_BPS * 0.1)
        top = self._top(listing)
        trade = self._trade(listing) if draw.random() < TRADE_SHARE else None
        self._requote(listing)
        listing.update_id += draw.randint(1, 5)
        return Event(listing, self._top(listing) != top, trade)

    def _list(self, venue: str, asset: Asset, quote: str) -> Listing:
        listing = Listing(
            venue,
            asset.name,
            quote,
            asset.price_decimals,
            asset.size_decimals,
            asset.typical_size * 10**asset.size_decimals,
            update_id=self._random.randrange(10**9, 10**10),
            trade_id=self._random.randrange(10**6, 10**8),
        )
        self._requote(listing)
        return listing

    def _top(self, listing: Listing) -> tuple[int, int, int, int]:
        bid, ask = listing.best_bid, listing.best_ask
        return bid, listing.bids[bid], ask, listing.asks[ask]

    def _requote(self, listing: Listing) -> None:
        """Move the book around the venue's own mid: what would cross goes first."""
        mid = self._mids[listing.base] * (1 + listing.offset_bps / 1e4)
        ticks = mid * 10**listing.price_decimals
        half = max(0.5, ticks * 0.2e-4 * (0.5 + self._random.random()))
        bid, ask = math.floor(ticks - half), math.ceil(ticks + half)
        ask = max(ask, bid + 1)
        step = max(1, round(ticks * 0.4e-4))
        self._fill(listing.bids, bid, -step, listing)
        self._fill(listing.asks, ask, step, listing)

    def _fill(self, side: dict[int, int], best: int, step: int, listing: Listing) -> None:
        last = best + step * LEVELS
        for ticks in [t for t in side if (t - best) * step < 0 or (t - last) * step > 0]:
            del side[ticks]
        if best not in side:
            side[best] = self._units(listing)
        ticks = best
        while len(side) < LEVELS:
            ticks += step
            if ticks not in side:
                side[ticks] = self._units(listing)
        changed = self._random.choice(sorted(side))
        side[changed] = self._units(listing)

    def _trade(self, listing: Listing) -> Trade:
        buy = self._random.random() < 0.5
        side, ticks = (listing.asks, listing.best_ask) if buy else (listing.bids, listing.best_bid)
        units = max(1, int(side[ticks] * min(1.0, self._random.expovariate(4.0))))
        side[ticks] -= units
        if not side[ticks]:
            del side[ticks]
        listing.trade_id += 1
        return Trade(listing.trade_id, ticks, units, buy)

    def _units(self, listing: Listing) -> int:
        return max(1, int(listing.typical_units * self._random.lognormvariate(-1.0, 1.0)))


def _decimal(number: int, decimals: int) -> str:
    digits = str(number).rjust(decimals + 1, "0")
    return f"{digits[:-decimals]}.{digits[-decimals:]}"
