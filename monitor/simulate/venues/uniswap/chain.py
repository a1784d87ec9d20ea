"""The simulated chain: a block every second, the pools at each, reorganisations on request."""

from __future__ import annotations

import hashlib
import random
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from monitor.simulate.market.market import Walk
from monitor.simulate.venues.uniswap.pools import Emitted, Pool, opened, raw_price
from monitor.simulate.wire.faults import Dice
from monitor.simulate.wire.wire_format import SECOND_NS

# 12 s on the real chain.
BLOCK_S = 1
BLOCKS_KEPT, HISTORY_BLOCKS = 256, 128
# The number follows the clock, so that it does not fall when the exchange is started again.
FIRST_BLOCK_S = 1_750_000_000
# After a longer sleep of the machine the chain stood still.
BEHIND_BLOCKS = 60
REORG_DEPTH = 3

# A trader moves a pool part of the way to the price elsewhere, and a bit past or short of it.
SWAPS = (0, 0, 1, 1, 2)
CATCH_UP, NOISE_BPS = 0.6, 0.4


class Log(NamedTuple):
    """An event in its block; `place` counts the events of the block."""

    number: int
    block_hash: str
    tx_hash: str
    tx_place: int
    place: int
    emitted: Emitted


class Block(NamedTuple):
    """A block, and the pools as they stand after it, by lower-case address."""

    number: int
    at_s: int
    hash: str
    parent: str
    pools: Mapping[str, Pool]
    logs: list[Log]


class Chain:
    """The last blocks, and the events of those that a reorganisation threw out."""

    def __init__(
        self,
        walks: Mapping[str, Walk],
        seed: int,
        dice: Dice,
        struck: Counter[str],
        now_ns: int,
    ) -> None:
        self._walks, self._dice, self._struck = walks, dice, struck
        self._random = random.Random(f"{seed}/uniswap")
        self.blocks: deque[Block] = deque(maxlen=BLOCKS_KEPT)
        self.removed: deque[Log] = deque(maxlen=BLOCKS_KEPT)
        now_s = now_ns // SECOND_NS
        first_s = now_s - HISTORY_BLOCKS * BLOCK_S
        pools = {pool.address.lower(): pool for pool in opened(first_s)}
        number = (first_s - FIRST_BLOCK_S) // BLOCK_S
        self.blocks.append(Block(number, first_s, _hash(seed), _hash(seed, "parent"), pools, []))
        for back in range(1, HISTORY_BLOCKS + 1):
            self._mine(first_s + back * BLOCK_S, now_ns)

    @property
    def head(self) -> Block:
        return self.blocks[-1]

    def at(self, number: int) -> Block | None:
        """Return a block that is kept."""
        place = number - self.blocks[0].number
        return self.blocks[place] if 0 <= place < len(self.blocks) else None

    def tick(self, now_ns: int) -> None:
        """Add the blocks that are due."""
        now_s = now_ns // SECOND_NS
        due_s = max(self.head.at_s + BLOCK_S, now_s - BEHIND_BLOCKS * BLOCK_S)
        for at_s in range(due_s, now_s + 1, BLOCK_S):
            if self._dice.strikes(["reorg"], at_s):
                self._struck["reorg"] += 1
                self._reorganise(now_ns)
            self._mine(at_s, now_ns)

    def logs(self, first: int, last: int) -> Iterable[tuple[Log, bool]]:
        """Yield events of the blocks `first` to `last`, and whether they were removed.

        A node tells of removed ones only to who listens on; this one tells pollers as well, first.
        """
        for log in self.removed:
            if first <= log.number <= last:
                yield log, True
        for block in self.blocks:
            if first <= block.number <= last:
                for log in block.logs:
                    yield log, False

    def _reorganise(self, now_ns: int) -> None:
        """Replace the last blocks by others of the same numbers and times."""
        dropped = [self.blocks.pop() for _ in range(1 + self._dice.below(REORG_DEPTH))]
        for block in reversed(dropped):
            self.removed.extend(block.logs)
            self._mine(block.at_s, now_ns)

    def _mine(self, at_s: int, now_ns: int) -> None:
        parent, number = self.head, self.head.number + 1
        prices = {name: walk.at(now_ns) for name, walk in self._walks.items()}
        pools = dict(parent.pools)
        turns = [address for address in pools for _ in range(self._random.choice(SWAPS))]
        self._random.shuffle(turns)
        swaps = []
        for address in turns:
            pool = pools[address]
            fair = raw_price(pool.token0, pool.token1, prices)
            pull = CATCH_UP * (fair / pool.raw() - 1)
            noise = self._random.gauss(0, NOISE_BPS / 1e4)
            pools[address], events = pool.swap(pool.raw() * (1 + pull + noise), at_s)
            swaps.append(events)
        block_hash = _hash(parent.hash, number, at_s, self._random.getrandbits(64))
        logs: list[Log] = []
        for tx_place, events in enumerate(swaps):
            tx_hash = _hash(block_hash, tx_place)
            for event in events:
                logs.append(Log(number, block_hash, tx_hash, tx_place, len(logs), event))
        self.blocks.append(Block(number, at_s, block_hash, parent.hash, pools, logs))


def _hash(*parts: object) -> str:
    return "0x" + hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()
