"""Kraken's messages of ticker, trades and instruments; numbers are padded JSON tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache

from monitor.simulate.market.listings import Listing
from monitor.simulate.market.market import Event
from monitor.simulate.wire.wire_format import decimal, stamp


def ticker(event: Event, kind: str = "update") -> str:
    item, top = event.instrument, event.top
    listing = item.listing
    prices, sizes = listing.price_places, listing.size_places
    last = item.last.price
    change = last - item.opened
    return (
        f'{{"channel":"ticker","type":"{kind}","data":[{{"symbol":"{listing.raw_symbol}",'
        f'"bid":{decimal(top.bid, prices)},"bid_qty":{decimal(top.bid_size, sizes)},'
        f'"ask":{decimal(top.ask, prices)},"ask_qty":{decimal(top.ask_size, sizes)},'
        f'"last":{decimal(last, prices)},"volume":{decimal(item.volume, sizes)},'
        f'"vwap":{decimal(item.turnover // item.volume, prices)},'
        f'"low":{decimal(item.low, prices)},"high":{decimal(item.high, prices)},'
        f'"change":{signed(change, prices)},"change_pct":{100 * change / item.opened:.2f},'
        f'"trades":{item.trade_count},"timestamp":"{stamp(event.now_ns)}"}}]}}'
    )


def trades(event: Event, kind: str) -> str:
    listing = event.instrument.listing
    prices, sizes = listing.price_places, listing.size_places
    texts = [
        f'{{"symbol":"{listing.raw_symbol}","side":"{"buy" if trade.buy else "sell"}",'
        f'"price":{decimal(trade.price, prices)},"qty":{decimal(trade.size, sizes)},'
        f'"ord_type":"{"market" if trade.order_id % 3 else "limit"}","trade_id":{trade.trade_id},'
        f'"timestamp":"{stamp(trade.at_ns)}"}}'
        for trade in event.trades
    ]
    return f'{{"channel":"trade","type":"{kind}","data":[{",".join(texts)}]}}'


def instruments(listings: Sequence[Listing]) -> str:
    names = sorted({name for item in listings for name in (item.base, item.quote_asset)})
    assets = [
        {
            "id": name,
            "status": "enabled",
            "precision": 10,
            "precision_display": 5,
            "borrowable": False,
            "collateral_value": 0.0,
            "multicollateral": False,
        }
        for name in names
    ]
    pairs = ",".join(pair(item) for item in listings)
    return (
        '{"channel":"instrument","type":"snapshot","data":'
        f'{{"assets":{json.dumps(assets, separators=(",", ":"))},"pairs":[{pairs}]}}}}'
    )


@cache
def pair(listing: Listing) -> str:
    prices, sizes = listing.price_places, listing.size_places
    # The venue writes small steps in either notation.
    lot = f"1e-{sizes:02d}"
    return (
        f'{{"symbol":"{listing.raw_symbol}","base":"{listing.base}",'
        f'"quote":"{listing.quote_asset}","status":"online","qty_precision":{sizes},'
        f'"qty_increment":{lot},"price_precision":{prices},"cost_precision":5,'
        f'"price_increment":{decimal(1, prices)},"cost_min":0.5,"qty_min":{decimal(5000, sizes)},'
        '"marginable":false,"has_index":true}'
    )


def signed(number: int, places: int) -> str:
    return f"-{decimal(-number, places)}" if number < 0 else decimal(number, places)
