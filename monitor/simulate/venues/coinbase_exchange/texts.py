"""The messages of Coinbase Exchange's open channels, all sizes and prices padded."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from monitor.simulate.market.listings import Listing
from monitor.simulate.market.market import Instrument, Top, Trade
from monitor.simulate.market.order_book import Change, Side
from monitor.simulate.venues.venue import levels
from monitor.simulate.wire.wire_format import decimal, stamp


def heartbeat(item: Instrument, now_ns: int) -> str:
    return (
        f'{{"type":"heartbeat","last_trade_id":{item.last.trade_id},'
        f'"product_id":"{item.listing.raw_symbol}","sequence":{item.full_sequence},'
        f'"time":"{stamp(now_ns)}"}}'
    )


def ticker(item: Instrument, top: Top, sequence: int) -> str:
    """Write the last trade with the quotes around it; `side` is the taker's."""
    listing, last = item.listing, item.last
    return (
        f'{{"type":"ticker","sequence":{sequence},"product_id":"{listing.raw_symbol}",'
        f'"price":"{price_of(listing, last.price)}","open_24h":"{price_of(listing, item.opened)}",'
        f'"volume_24h":"{size_of(listing, item.volume)}",'
        f'"low_24h":"{price_of(listing, item.low)}","high_24h":"{price_of(listing, item.high)}",'
        f'"volume_30d":"{size_of(listing, item.volume * 30)}",'
        f'"best_bid":"{price_of(listing, top.bid)}",'
        f'"best_bid_size":"{size_of(listing, top.bid_size)}",'
        f'"best_ask":"{price_of(listing, top.ask)}",'
        f'"best_ask_size":"{size_of(listing, top.ask_size)}",'
        f'"side":"{"buy" if last.buy else "sell"}","time":"{stamp(last.at_ns)}",'
        f'"trade_id":{last.trade_id},"last_size":"{size_of(listing, last.size)}"}}'
    )


def match(item: Instrument, trade: Trade, sequence: int, kind: str = "match") -> str:
    """Write a trade; `side` is the maker's."""
    listing = item.listing
    return (
        f'{{"type":"{kind}","trade_id":{trade.trade_id},"maker_order_id":"{UUID(int=trade.trade_id)}",'
        f'"taker_order_id":"{UUID(int=trade.order_id)}","side":"{maker_side(trade)}",'
        f'"size":"{size_of(listing, trade.size)}","price":"{price_of(listing, trade.price)}",'
        f'"product_id":"{listing.raw_symbol}","sequence":{sequence},"time":"{stamp(trade.at_ns)}"}}'
    )


def snapshot(item: Instrument) -> str:
    return (
        f'{{"type":"snapshot","product_id":"{item.listing.raw_symbol}",'
        f'"asks":{levels(pairs(item, item.asks))},"bids":{levels(pairs(item, item.bids))}}}'
    )


def l2update(item: Instrument, changes: Iterable[Change], now_ns: int) -> str:
    listing = item.listing
    texts = [
        f'["{"buy" if change.is_bid else "sell"}","{price_of(listing, change.price)}",'
        f'"{size_of(listing, change.size)}"]'
        for change in changes
    ]
    return (
        f'{{"type":"l2update","product_id":"{listing.raw_symbol}",'
        f'"changes":[{",".join(texts)}],"time":"{stamp(now_ns)}"}}'
    )


def pairs(item: Instrument, side: Side) -> list[tuple[str, str]]:
    listing = item.listing
    return [
        (price_of(listing, price), size_of(listing, size)) for price, size in side.top(len(side))
    ]


def maker_side(trade: Trade) -> str:
    return "sell" if trade.buy else "buy"


def price_of(listing: Listing, price: int) -> str:
    return decimal(price, listing.price_places)


def size_of(listing: Listing, size: int) -> str:
    return decimal(size, listing.size_places)
