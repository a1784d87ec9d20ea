"""The instruments that each simulated venue lists, with realistic ticks and lots."""

from __future__ import annotations

from typing import NamedTuple


class Asset(NamedTuple):
    """A base asset: its first price in dollars, half its usual spread, how often it moves."""

    price: float
    half_spread_bps: float
    weight: int


class Listing(NamedTuple):
    """An instrument of a venue; a price counts 10^-price_places, a size 10^-size_places."""

    venue: str
    base: str
    quote_asset: str
    raw_symbol: str
    price_places: int
    size_places: int


ASSETS = {
    "BTC": Asset(68_000.0, 0.12, 5),
    "ETH": Asset(2_450.0, 0.20, 4),
    "SOL": Asset(142.0, 0.60, 2),
    "XRP": Asset(2.10, 0.90, 1),
    "DOGE": Asset(0.21, 1.10, 1),
}

# What Finnhub tells of besides coins.
OTHER_ASSETS = {
    "AAPL": Asset(228.0, 0.50, 3),
    "TSLA": Asset(341.0, 0.60, 3),
    "MSFT": Asset(512.0, 0.50, 2),
    "EUR": Asset(1.08, 0.30, 2),
}

# What one unit of a quote asset is worth in dollars.
QUOTE_ASSETS = {"USD": 1.0, "USDT": 0.9996, "USDC": 0.9999}

# How Kraken's REST and WebSocket v1 spell what others call BTC and DOGE.
OLD_NAMES = {"BTC": "XBT", "DOGE": "XDG"}

NAMES = {"BTC": "Bitcoin", "ETH": "Ethereum", "SOL": "Solana", "XRP": "XRP", "DOGE": "Dogecoin"}

# Per base asset: places of its prices and of its sizes.
_PLACES = {
    "binance": {"BTC": (2, 5), "ETH": (2, 4), "SOL": (2, 3), "XRP": (4, 1), "DOGE": (5, 0)},
    "binance-us": {"BTC": (2, 5), "ETH": (2, 5), "SOL": (3, 2), "XRP": (4, 1), "DOGE": (5, 0)},
    "kraken": {"BTC": (1, 8), "ETH": (2, 8), "SOL": (2, 8), "XRP": (5, 8), "DOGE": (7, 8)},
    "kraken-v1": {"BTC": (1, 8), "ETH": (2, 8), "SOL": (2, 8), "XRP": (5, 8), "DOGE": (7, 8)},
    "coinbase": {"BTC": (2, 8), "ETH": (2, 8), "SOL": (2, 8), "XRP": (4, 6), "DOGE": (5, 1)},
    "coinbase-exchange": {
        "BTC": (2, 8),
        "ETH": (2, 8),
        "SOL": (2, 8),
        "XRP": (4, 6),
        "DOGE": (5, 1),
    },
}

_PAIRS = {
    "binance": [(base, "USDT") for base in ASSETS] + [("BTC", "USDC"), ("ETH", "USDC")],
    "binance-us": [(base, "USDT") for base in ASSETS] + [("BTC", "USD"), ("ETH", "USD")],
    "kraken": [(base, "USD") for base in ASSETS] + [("BTC", "USDT"), ("ETH", "USDT")],
    "kraken-v1": [(base, "USD") for base in ASSETS] + [("BTC", "USDT"), ("ETH", "USDT")],
    "coinbase": [(base, "USD") for base in ASSETS] + [("BTC", "USDT"), ("ETH", "USDT")],
    "coinbase-exchange": [(base, "USD") for base in ASSETS] + [("BTC", "USDT"), ("ETH", "USDT")],
}

_SEPARATOR = {
    "binance": "",
    "binance-us": "",
    "kraken": "/",
    "kraken-v1": "/",
    "coinbase": "-",
    "coinbase-exchange": "-",
}

# Finnhub's symbols follow no rule: each source has its own.
_FINNHUB = [
    ("AAPL", "USD", "AAPL", 2, 0),
    ("TSLA", "USD", "TSLA", 2, 0),
    ("MSFT", "USD", "MSFT", 2, 0),
    ("BTC", "USDT", "BINANCE:BTCUSDT", 2, 5),
    ("ETH", "USDT", "BINANCE:ETHUSDT", 2, 4),
    ("EUR", "USD", "OANDA:EUR_USD", 5, 0),
]

# The last two keep no books of this market.
VENUES = (*_PAIRS, "finnhub", "uniswap", "mock")


def listings(venue: str) -> list[Listing]:
    """Return what `venue` lists."""
    if venue == "finnhub":
        return [Listing(venue, *symbol) for symbol in _FINNHUB]
    old = OLD_NAMES if venue == "kraken-v1" else {}
    return [
        Listing(
            venue,
            base,
            quote,
            f"{old.get(base, base)}{_SEPARATOR[venue]}{quote}",
            *_PLACES[venue][base],
        )
        for base, quote in _PAIRS.get(venue, [])
    ]
