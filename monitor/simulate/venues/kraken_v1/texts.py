"""The messages of Kraken's WebSocket v1: arrays, decimals as strings, XBT for BTC."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from monitor.simulate.market.listings import Listing
from monitor.simulate.market.market import Event, Instrument
from monitor.simulate.venues.kraken.checksummed_book import (
    CHECKED_LEVELS,
    BookView,
    Level,
    checksum,
)
from monitor.simulate.wire.wire_format import SECOND_NS, decimal

# v1 writes at least so many places, whatever the list of pairs says.
PLACES_MIN = 5
US_NS = 1000
REPUBLISHED = ',"r"'

Changed = Mapping[tuple[bool, int], int]


def ticker(channel_id: int, event: Event) -> str:
    item, top = event.instrument, event.top
    listing, sizes = item.listing, item.listing.size_places

    def side(price: int, size: int) -> list[str | int]:
        return [_price(listing, price), size // 10**sizes, decimal(size, sizes)]

    volume = decimal(item.volume, sizes)
    figures = {
        "a": side(top.ask, top.ask_size),
        "b": side(top.bid, top.bid_size),
        "c": [_price(listing, item.last.price), decimal(item.last.size, sizes)],
        "v": [volume, volume],
        "p": [_price(listing, item.turnover // item.volume)] * 2,
        "t": [item.trade_count] * 2,
        "l": [_price(listing, item.low)] * 2,
        "h": [_price(listing, item.high)] * 2,
        "o": [_price(listing, item.opened)] * 2,
    }
    return _message(channel_id, [json.dumps(figures, separators=(",", ":"))], "ticker", item)


def spread(channel_id: int, event: Event) -> str:
    item, top = event.instrument, event.top
    listing, sizes = item.listing, item.listing.size_places
    payload = (
        f'["{_price(listing, top.bid)}","{_price(listing, top.ask)}","{_time(event.now_ns)}",'
        f'"{decimal(top.bid_size, sizes)}","{decimal(top.ask_size, sizes)}"]'
    )
    return _message(channel_id, [payload], "spread", item)


def trades(channel_id: int, event: Event) -> str:
    """Write trades; the letter b or s is the taker's side."""
    listing = event.instrument.listing
    texts = [
        f'["{_price(listing, trade.price)}","{decimal(trade.size, listing.size_places)}",'
        f'"{_time(trade.at_ns)}","{"b" if trade.buy else "s"}",'
        f'"{"m" if trade.order_id % 3 else "l"}",""]'
        for trade in event.trades
    ]
    return _message(channel_id, [f"[{','.join(texts)}]"], "trade", event.instrument)


def book_snapshot(channel_id: int, view: BookView, depth: int, changed: Changed) -> str:
    """Write the whole book, which has no checksum."""
    item = view.instrument
    bids, asks = ([Level(*pair, True) for pair in side.items()] for side in (view.bids, view.asks))
    payload = (
        f'{{"as":[{_levels(item, asks, changed, False, "")}],'
        f'"bs":[{_levels(item, bids, changed, True, "")}]}}'
    )
    return _message(channel_id, [payload], f"book-{depth}", item)


def book_update(
    channel_id: int,
    event: Event,
    depth: int,
    sides: tuple[Sequence[Level], Sequence[Level]],
    changed: Changed,
) -> str:
    """Write the changes: a map for each side that has any, the checksum in the last."""
    item = event.instrument
    pad = 10 ** _pad(item.listing)
    asks, bids = (
        [(price * pad, size) for price, size in side.top(CHECKED_LEVELS)]
        for side in (item.asks, item.bids)
    )
    checked = f'"c":"{checksum(asks, bids)}"'
    maps = [
        f'"{name}":[{_levels(item, levels, changed, is_bid, REPUBLISHED)}]'
        for name, levels, is_bid in (("a", sides[1], False), ("b", sides[0], True))
        if levels
    ]
    maps[-1] += f",{checked}"
    return _message(channel_id, [f"{{{text}}}" for text in maps], f"book-{depth}", item)


def _levels(
    item: Instrument, levels: Iterable[Level], changed: Changed, is_bid: bool, republished: str
) -> str:
    """Write levels, each with the time of its last change; a removed one changed just now."""
    listing = item.listing
    texts = []
    for price, size, again in levels:
        at_ns = changed[is_bid, price] if again else item.changed_ns
        texts.append(
            f'["{_price(listing, price)}","{decimal(size, listing.size_places)}",'
            f'"{_time(at_ns)}"{republished if again else ""}]'
        )
    return ",".join(texts)


def _message(channel_id: int, payloads: Sequence[str], channel: str, item: Instrument) -> str:
    return f'[{channel_id},{",".join(payloads)},"{channel}","{item.listing.raw_symbol}"]'


def _pad(listing: Listing) -> int:
    return max(0, PLACES_MIN - listing.price_places)


def _price(listing: Listing, price: int) -> str:
    pad = _pad(listing)
    return decimal(price * 10**pad, listing.price_places + pad)


def _time(now_ns: int) -> str:
    second, rest_ns = divmod(now_ns, SECOND_NS)
    return f"{second}.{rest_ns // US_NS:06d}"
