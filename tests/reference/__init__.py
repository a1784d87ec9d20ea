"""An independent decoder of captured frames, from the venues' documents alone, in Decimal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from . import binance, coinbase, coinbase_exchange, finnhub, kraken, kraken_v1, uniswap
from .capture import records
from .row import Row

DECODERS = {
    "binance": binance.Decoder,
    "binance-us": binance.Decoder,
    "kraken": kraken.Decoder,
    "kraken-v1": kraken_v1.Decoder,
    "coinbase": coinbase.Decoder,
    "coinbase-exchange": coinbase_exchange.Decoder,
    "finnhub": finnhub.Decoder,
    "uniswap": uniswap.Decoder,
}


def rows(file: Path, venue: str) -> Iterator[Row]:
    """Yield the quotes, trades and book rows of a capture in the order of their receipt."""
    decoder = DECODERS[venue]()
    for record in records(file):
        for row in decoder.rows(record):
            yield {"venue": venue, "ts_recv": record.ts_recv, **row}
