"""The events of Coinbase Advanced Trade's messages; trailing zeros are left out, as it does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from monitor.simulate.market.market import Event, Instrument, Trade
from monitor.simulate.market.order_book import Change
from monitor.simulate.wire.wire_format import SECOND_NS, go_stamp, stamp, trimmed

US_NS = 1000


def ticker(event: Event, kind: str) -> str:
    listing, top = event.instrument.listing, event.top
    prices, sizes = listing.price_places, listing.size_places
    return (
        f'[{{"type":"{kind}","tickers":[{{{_figures(event.instrument)},'
        f'"best_bid":"{trimmed(top.bid, prices)}","best_ask":"{trimmed(top.ask, prices)}",'
        f'"best_bid_quantity":"{trimmed(top.bid_size, sizes)}",'
        f'"best_ask_quantity":"{trimmed(top.ask_size, sizes)}"}}]}}]'
    )


def ticker_batch(event: Event, kind: str) -> str:
    """Write the five-second ticker, which has no best bid and ask."""
    return f'[{{"type":"{kind}","tickers":[{{{_figures(event.instrument)}}}]}}]'


def trades(item: Instrument, oldest_first: Sequence[Trade], kind: str) -> str:
    """Write trades, newest first; `side` is the maker's."""
    listing = item.listing
    prices, sizes = listing.price_places, listing.size_places
    texts = [
        f'{{"product_id":"{listing.raw_symbol}","trade_id":"{trade.trade_id}",'
        f'"price":"{trimmed(trade.price, prices)}","size":"{trimmed(trade.size, sizes)}",'
        f'"time":"{_micros(trade.at_ns)}","side":"{"SELL" if trade.buy else "BUY"}"}}'
        for trade in reversed(oldest_first)
    ]
    return f'[{{"type":"{kind}","trades":[{",".join(texts)}]}}]'


def level2_snapshot(event: Event) -> str:
    item = event.instrument
    sides = ((True, item.bids), (False, item.asks))
    levels = [Change(is_bid, p, s) for is_bid, side in sides for p, s in side.top(len(side))]
    return _level2(event, "snapshot", levels)


def level2_update(event: Event) -> str:
    return _level2(event, "update", event.changes)


def status(items: Iterable[Instrument]) -> str:
    texts = [
        f'{{"product_type":"SPOT","id":"{item.listing.raw_symbol}",'
        f'"base_currency":"{item.listing.base}","quote_currency":"{item.listing.quote_asset}",'
        f'"base_increment":"{trimmed(1, item.listing.size_places)}",'
        f'"quote_increment":"{trimmed(1, item.listing.price_places)}",'
        f'"display_name":"{item.listing.base}/{item.listing.quote_asset}","status":"online",'
        '"status_message":"","min_market_funds":"1"}'
        for item in items
    ]
    return f'[{{"type":"snapshot","products":[{",".join(texts)}]}}]'


def heartbeat(now_ns: int, uptime_ns: int, counter: int) -> str:
    """Write a heartbeat, its time in the text form of Go's `time.Time`."""
    day, clock = stamp(now_ns, 9).removesuffix("Z").split("T")
    uptime_s, rest_ns = divmod(uptime_ns, SECOND_NS)
    current = f"{day} {clock} +0000 UTC m=+{uptime_s}.{rest_ns:09d}"
    return f'[{{"current_time":"{current}","heartbeat_counter":{counter}}}]'


def _level2(event: Event, kind: str, changes: Iterable[Change]) -> str:
    listing = event.instrument.listing
    prices, sizes = listing.price_places, listing.size_places
    at = _micros(event.now_ns)
    texts = [
        f'{{"side":"{"bid" if change.is_bid else "offer"}","event_time":"{at}",'
        f'"price_level":"{trimmed(change.price, prices)}",'
        f'"new_quantity":"{trimmed(change.size, sizes)}"}}'
        for change in changes
    ]
    return (
        f'[{{"type":"{kind}","product_id":"{listing.raw_symbol}","updates":[{",".join(texts)}]}}]'
    )


def _figures(item: Instrument) -> str:
    listing, last = item.listing, item.last.price
    prices = listing.price_places
    change = 100 * (last - item.opened) / item.opened
    return (
        f'"type":"ticker","product_id":"{listing.raw_symbol}","price":"{trimmed(last, prices)}",'
        f'"volume_24_h":"{trimmed(item.volume, listing.size_places)}",'
        f'"low_24_h":"{trimmed(item.low, prices)}","high_24_h":"{trimmed(item.high, prices)}",'
        f'"low_52_w":"{trimmed(item.low // 2, prices)}",'
        f'"high_52_w":"{trimmed(item.high * 2, prices)}","price_percent_chg_24_h":"{change:.14f}"'
    )


def _micros(now_ns: int) -> str:
    return go_stamp(now_ns - now_ns % US_NS)
