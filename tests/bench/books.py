"""Book messages for the benchmarks: seeded changes, as Binance, Kraken and Coinbase write them."""

from __future__ import annotations

import random
import zlib
from typing import NamedTuple

LEVELS = 40
BINANCE_LEVELS, BINANCE_DELETED, BINANCE_REACH = 1000, 0.2, 50
KRAKEN_LEVELS, KRAKEN_DELETED, KRAKEN_CHECKED = 100, 0.1, 10
TIME_MS, STEP_MS = 1_723_161_255_300, 100


class Kraken(NamedTuple):
    """The same changes in both of Kraken's protocols; the first message is the snapshot."""

    v2: list[str]
    v1: list[str]


def binance(count: int, seed: int = 1) -> tuple[str, list[str]]:
    """Make a REST snapshot and `count` diffs of 40 levels, more of them near the top."""
    draw = random.Random(seed)
    last = 51_000_000_000

    def price(is_bid: bool, at: int) -> str:
        return f"{2680 - at / 100 if is_bid else 2680.01 + at / 100:.8f}"

    def side(is_bid: bool, places: list[int], deleted: float) -> str:
        sizes = [0 if draw.random() < deleted else draw.random() * 30 for _ in places]
        pairs = zip(places, sizes, strict=True)
        return ",".join(f'["{price(is_bid, at)}","{size:.8f}"]' for at, size in pairs)

    whole = list(range(BINANCE_LEVELS))
    bids, asks = side(True, whole, 0), side(False, whole, 0)
    snapshot = f'{{"lastUpdateId":{last},"bids":[{bids}],"asks":[{asks}]}}'
    messages = []
    for at in range(count):
        near: list[list[int]] = [[], []]
        for places in near:
            while len(places) < LEVELS // 2:
                place = int(draw.expovariate(1 / BINANCE_REACH))
                if place < BINANCE_LEVELS and place not in places:
                    places.append(place)
            # As in every captured message, the best level comes first.
            places.sort()
        bids, asks = side(True, near[0], BINANCE_DELETED), side(False, near[1], BINANCE_DELETED)
        messages.append(
            '{"stream":"ethusdt@depth@100ms","data":{"e":"depthUpdate",'
            f'"E":{TIME_MS + at * STEP_MS},"s":"ETHUSDT","U":{last + 1},"u":{last + LEVELS},'
            f'"b":[{bids}],"a":[{asks}]}}}}'
        )
        last += LEVELS
    return snapshot, messages


def kraken(count: int, seed: int = 1) -> Kraken:
    """Make a snapshot and `count` updates of 40 levels of one side, each with its checksum."""
    draw = random.Random(seed)
    # Best first: dictionaries keep the order, a level of size 0 is not there.
    bids = {f"{2.1 - at / 1e5:.5f}": "" for at in range(KRAKEN_LEVELS)}
    asks = {f"{2.10001 + at / 1e5:.5f}": "" for at in range(KRAKEN_LEVELS)}
    for book in (bids, asks):
        book.update({price: _size(draw, 0) for price in book})
    crc = _checksum(bids, asks)
    made = Kraken([_v2("snapshot", bids, asks, crc, 0)], [_v1("bs", bids, "as", asks, 0)])
    for at in range(1, count + 1):
        changed, name = ((bids, "b"), (asks, "a"))[at % 2]
        changes = {
            price: _size(draw, KRAKEN_DELETED) for price in draw.sample(list(changed), LEVELS)
        }
        changed.update(changes)
        crc = _checksum(bids, asks)
        sides = (changes, {}) if changed is bids else ({}, changes)
        made.v2.append(_v2("update", *sides, crc, at))
        made.v1.append(
            f'[336,{{"{name}":[{_triples(changes, at)}],"c":"{crc}"}},"book-100","XRP/USD"]'
        )
    return made


def coinbase_snapshot(levels: int, seed: int = 1) -> str:
    """Make a snapshot of so many levels."""
    draw = random.Random(seed)
    texts = []
    for side, best, step in (("bid", 68_000, -0.01), ("offer", 68_000.01, 0.01)):
        texts += [
            f'{{"side":"{side}","event_time":"2026-04-07T14:30:01.456789Z",'
            f'"price_level":"{best + at * step:.2f}","new_quantity":"{_size(draw, 0)}"}}'
            for at in range(levels // 2)
        ]
    return (
        '{"channel":"l2_data","timestamp":"2026-04-07T14:30:01.456789123Z","sequence_num":0,'
        f'"events":[{{"type":"snapshot","product_id":"BTC-USD","updates":[{",".join(texts)}]}}]}}'
    )


def _size(draw: random.Random, deleted: float) -> str:
    return f"{0 if draw.random() < deleted else 1 + draw.random() * 30:.8f}"


def _checksum(bids: dict[str, str], asks: dict[str, str]) -> int:
    digits = []
    for book in (asks, bids):
        there = [(price, size) for price, size in book.items() if float(size)]
        digits += [
            text.replace(".", "").lstrip("0") for pair in there[:KRAKEN_CHECKED] for text in pair
        ]
    return zlib.crc32("".join(digits).encode())


def _v2(kind: str, bids: dict[str, str], asks: dict[str, str], crc: int, at: int) -> str:
    sides = (
        ",".join(f'{{"price":{price},"qty":{size}}}' for price, size in side.items())
        for side in (bids, asks)
    )
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"XRP/USD","bids":[{next(sides)}],'
        f'"asks":[{next(sides)}],"checksum":{crc},'
        f'"timestamp":"2026-09-25T17:{at // 600 % 60:02d}:{at // 10 % 60:02d}.{at % 10}00000Z"}}]}}'
    )


def _v1(bid: str, bids: dict[str, str], ask: str, asks: dict[str, str], at: int) -> str:
    return (
        f'[336,{{"{ask}":[{_triples(asks, at)}],"{bid}":[{_triples(bids, at)}]}},'
        '"book-100","XRP/USD"]'
    )


def _triples(levels: dict[str, str], at: int) -> str:
    now = f"{TIME_MS // 1000 + at // 10}.{at % 10}00000"
    return ",".join(f'["{price}","{size}","{now}"]' for price, size in levels.items())
