"""The seeded market: books that follow common prices, never cross, and trade at their tops."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from monitor.simulate.market.listings import ASSETS, OTHER_ASSETS, QUOTE_ASSETS, Listing, listings
from monitor.simulate.market.order_book import Change, Side
from monitor.simulate.wire.wire_format import SECOND_NS

TRADED = ASSETS | OTHER_ASSETS

LEVELS_MIN, LEVELS, LEVELS_MAX = 120, 160, 200
TRADES_KEPT = 1000

# The common price: a random walk, in bps of the price per root second.
WALK_BPS = 1.0
# A venue leans away from the common price and comes back; now and then it is knocked away.
LEAN_BPS, LEAN_BACK_S = 0.18, 3.0
KNOCK_EVERY_S, KNOCK_BPS = 40.0, (1.5, 4.0)
# No step of the walk is longer, however long the market stood still.
STEP_MAX_S = 1.0

TRADE_SHARE, TOP_SHARE = 0.2, 0.65
TOP_USD, DEEP_USD, TRADE_USD = 6_000.0, 15_000.0, 900.0
# A match comes before it is published.
MATCH_AGE_NS = 200_000
HISTORY_STEPS, HISTORY_S = 600, 120.0


class Trade(NamedTuple):
    """One fill; `buy` tells that the aggressor bought. The fills of one order share `order_id`."""

    trade_id: int
    order_id: int
    at_ns: int
    price: int
    size: int
    buy: bool


class Top(NamedTuple):
    """The best bid and ask, with their sizes."""

    bid: int
    bid_size: int
    ask: int
    ask_size: int


class Event(NamedTuple):
    """What one step did to an instrument: first its trades, then its book."""

    instrument: Instrument
    now_ns: int
    trades: list[Trade]
    changes: list[Change]
    top: Top
    top_moved: bool


class Walk:
    """The common price of a base asset, in dollars."""

    def __init__(self, price: float, seed: str) -> None:
        self._price, self._last_ns = price, 0
        self._random = random.Random(seed)

    def at(self, now_ns: int) -> float:
        if now_ns > self._last_ns:
            elapsed_s = min((now_ns - self._last_ns) / SECOND_NS, STEP_MAX_S)
            self._price *= 1 + self._random.gauss(0, WALK_BPS / 1e4) * math.sqrt(elapsed_s)
            self._last_ns = now_ns
        return self._price


class Instrument:
    """A listing with its book, its trades, and the figures of its last 24 hours."""

    def __init__(self, listing: Listing, walk: Walk, seed: int) -> None:
        self.listing = listing
        self.bids, self.asks = Side(1), Side(-1)
        self.trades: deque[Trade] = deque(maxlen=TRADES_KEPT)
        self._walk = walk
        self._random = random.Random(f"{seed}/{listing.venue}/{listing.raw_symbol}")
        asset = TRADED[listing.base]
        self._quote_worth = QUOTE_ASSETS[listing.quote_asset]
        self._half_spread = asset.half_spread_bps / 1e4
        self._units_per_usd = 10**listing.size_places / asset.price
        self._lean, self._lean_ns = 0.0, 0
        self.changed_ns = 0
        self.update_id = self._random.randrange(10**9, 10**10)
        self.trade_id = self._random.randrange(10**7, 10**9)
        self.order_id = self.trade_id // 2
        self.opened = self.high = self.low = round(
            asset.price / self._quote_worth * 10**listing.price_places
        )
        self.volume = round(5e7 * self._units_per_usd)
        self.turnover = self.volume * self.opened
        self.trade_count = self._random.randrange(30_000, 90_000)

    @property
    def last(self) -> Trade:
        return self.trades[-1]

    @property
    def full_sequence(self) -> int:
        """Return the number of the last event of a feed that tells every trade and change."""
        return self.update_id + self.trade_id

    def top(self) -> Top:
        bid, ask = self.bids.best(), self.asks.best()
        return Top(bid, self.bids.sizes[bid], ask, self.asks.sizes[ask])

    def step(self, now_ns: int) -> Event:
        """Move the instrument to `now_ns`: maybe a trade, then its quotes."""
        changes: list[Change] = []
        fair = self._fair(now_ns)
        if not self.bids:
            self._requote(fair, changes)
            self._deepen(changes)
        before = self.top()
        draw = self._random.random()
        trades = self._trade(now_ns, fair, before, changes) if draw < TRADE_SHARE else []
        self._requote(fair, changes)
        if draw >= TRADE_SHARE:
            self._resize(0 if draw < TOP_SHARE else self._random.randrange(1, 40), changes)
        self._deepen(changes)
        self.update_id += len(changes)
        if changes:
            self.changed_ns = now_ns
        after = self.top()
        return Event(self, now_ns, trades, changes, after, after != before)

    def _fair(self, now_ns: int) -> float:
        """Return this venue's own idea of the price, in units."""
        elapsed_s = min(max(now_ns - self._lean_ns, 0) / SECOND_NS, STEP_MAX_S)
        self._lean_ns = now_ns
        back = elapsed_s / LEAN_BACK_S
        self._lean += -self._lean * back + self._random.gauss(0, LEAN_BPS) * math.sqrt(2 * back)
        if self._random.random() < elapsed_s / KNOCK_EVERY_S:
            self._lean += self._random.choice((-1, 1)) * self._random.uniform(*KNOCK_BPS)
        usd: float = self._walk.at(now_ns) * (1 + self._lean / 1e4)
        return usd / self._quote_worth * float(10**self.listing.price_places)

    def _trade(self, now_ns: int, fair: float, top: Top, changes: list[Change]) -> list[Trade]:
        """Let an order take from the best level: more often on the side the price moves to."""
        pull = (fair - (top.bid + top.ask) / 2) / max(top.ask - top.bid, 1)
        buy = self._random.random() < 0.5 + max(-0.4, min(0.4, pull))
        price, there = (top.ask, top.ask_size) if buy else (top.bid, top.bid_size)
        wanted = min(there, self._units(TRADE_USD, 1.4))
        self._put(self.asks if buy else self.bids, price, there - wanted, changes)
        self.order_id += 1
        at_ns = now_ns - MATCH_AGE_NS
        if self.trades:
            at_ns = max(at_ns, self.last.at_ns)
        trades = []
        for size in self._fills(wanted):
            self.trade_id += 1
            trades.append(Trade(self.trade_id, self.order_id, at_ns, price, size, buy))
            self.volume += size
            self.turnover += size * price
        self.trades.extend(trades)
        self.trade_count += len(trades)
        self.high, self.low = max(self.high, price), min(self.low, price)
        return trades

    def _fills(self, wanted: int) -> list[int]:
        """Split an order over the resting orders that it meets."""
        if wanted < 3 or self._random.random() < 0.75:
            return [wanted]
        first = self._random.randrange(1, wanted - 1)
        rest = wanted - first
        if self._random.random() < 0.6:
            return [first, rest]
        second = self._random.randrange(1, rest)
        return [first, second, rest - second]

    def _requote(self, fair: float, changes: list[Change]) -> None:
        """Keep the best quotes around the fair price; a quote that the price left behind goes."""
        half = max(fair * self._half_spread, 0.5)
        near, far = 0.15 * half, max(2.2 * half, 1.6)
        empty = not self.bids
        bid = 0 if empty else self.bids.best()
        ask = 0 if empty else self.asks.best()
        if not near <= fair - bid <= far:
            bid = math.floor(fair - half * self._random.uniform(0.4, 1.6))
        if not near <= ask - fair <= far:
            ask = math.ceil(fair + half * self._random.uniform(0.4, 1.6))
        self._lead(self.bids, bid, changes)
        self._lead(self.asks, ask, changes)

    def _lead(self, side: Side, best: int, changes: list[Change]) -> None:
        """Make `best` the best price of a side."""
        while len(side) and side.beats(side.best(), best):
            self._put(side, side.best(), 0, changes)
        if best not in side.sizes:
            self._put(side, best, self._units(TOP_USD, 1.0), changes)

    def _resize(self, rank: int, changes: list[Change]) -> None:
        side = self.bids if self._random.random() < 0.5 else self.asks
        price = side.at(rank)
        size = self._units(DEEP_USD if rank else TOP_USD, 1.0)
        if rank and self._random.random() < 0.2:
            size = 0
        self._put(side, price, size, changes)

    def _deepen(self, changes: list[Change]) -> None:
        """Add far levels to a side that ran short, take some off one that grew too long."""
        for side in (self.bids, self.asks):
            if len(side) < LEVELS_MIN:
                gap = max(1.0, side.best() * 0.1e-4)
                while len(side) < LEVELS:
                    steps = 1 + int(self._random.expovariate(1 / gap))
                    price = side.beyond(side.worst(), steps)
                    self._put(side, price, self._units(DEEP_USD, 1.0), changes)
            while len(side) > LEVELS_MAX:
                self._put(side, side.worst(), 0, changes)

    def _put(self, side: Side, price: int, size: int, changes: list[Change]) -> None:
        side.put(price, size)
        changes.append(Change(side is self.bids, price, size))

    def _units(self, usd: float, spread: float) -> int:
        """Draw a size worth about `usd`."""
        return max(1, int(usd * self._units_per_usd * self._random.lognormvariate(0, spread)))


class Market:
    """All instruments of the venues asked for; same seed, start and steps: same market."""

    def __init__(self, venues: Sequence[str], seed: int, now_ns: int) -> None:
        self.walks = {base: Walk(asset.price, f"{seed}/{base}") for base, asset in TRADED.items()}
        self.instruments = [
            Instrument(listing, self.walks[listing.base], seed)
            for venue in venues
            for listing in listings(venue)
        ]
        self._random = random.Random(seed)
        for step in range(HISTORY_STEPS):
            ago_s = HISTORY_S * (HISTORY_STEPS - step) / HISTORY_STEPS
            for instrument in self.instruments:
                instrument.step(now_ns - int(ago_s * SECOND_NS))

    def of(self, venue: str) -> list[Instrument]:
        return [item for item in self.instruments if item.listing.venue == venue]

    def pool(self, instruments: Iterable[Instrument]) -> list[Instrument]:
        """Return the instruments to draw from: the busier ones several times."""
        return [item for item in instruments for _ in range(TRADED[item.listing.base].weight)]

    def draw(self, pool: Sequence[Instrument]) -> Instrument:
        """Draw the instrument that moves next."""
        return self._random.choice(pool)
