"""The first line of the live page: what it says of the sources, before and after it knows them."""

from __future__ import annotations

from typing import Any

import pytest
from support.made_rows import batch_of, row

from monitor.hub import Hub, SourceStatus
from monitor.page import headline
from monitor.page.layouts.settings_tab import states_of

ONE = {"source": "binance:BTC-USDT", "mode": "auto", "interval_s": None}


def told(hub: Hub, about: dict[str, Any]) -> str:
    return headline.of_live(hub, about, None, "")


def test_a_page_that_was_not_answered_yet_says_that_it_connects() -> None:
    line = told(Hub(), {"recordings": []})
    assert "CONNECTING" in line
    assert "STOPPED" not in line and "NO SOURCES" not in line


def test_a_collector_that_follows_nothing_has_no_sources() -> None:
    line = told(Hub(), {"running": True, "followed": []})
    assert "NO SOURCES" in line
    assert "CONNECTING" not in line and "0 of 0" not in line


def test_a_source_that_sent_no_row_yet_is_connecting() -> None:
    assert "CONNECTING" in told(Hub(), {"running": True, "followed": [ONE]})


def test_a_collector_that_was_stopped_says_so() -> None:
    hub = Hub()
    hub(batch_of([("quote", row("quote", 1, 1_700_000_000_000_000_000) | {"flags": 0})]))
    assert "STOPPED for everyone" in told(hub, {"running": False, "followed": [ONE]})


# By kraken's documents: REST's key, its altname, WebSocket v1's name; by Binance's its symbol.
@pytest.mark.parametrize(
    ("source", "venue", "symbol"),
    [
        ("kraken:XBT/USD", "kraken", "BTC-USD"),
        ("kraken:xbt-usd+book", "kraken", "BTC-USD"),
        ("kraken:XBTUSD", "kraken", "BTC-USD"),
        ("kraken:XXBTZUSD", "kraken", "BTC-USD"),
        ("kraken:XDG/USD", "kraken", "DOGE-USD"),
        ("binance:BTCUSDT", "binance", "BTC-USDT"),
        ("binance:*-USDT", "binance", "BTC-USDT"),
        ("uniswap:WETH-USDC", "uniswap", "WETH-USDC@500"),
    ],
)
def test_settings_knows_a_source_in_its_venues_spelling(
    source: str, venue: str, symbol: str
) -> None:
    one = SourceStatus(venue, symbol, "connected", *[0] * 4, 0.0, 0.0, 0, "ok", (), "")
    other = one._replace(symbol="ETH-EUR")
    assert states_of(source, [one, other]) == {"connected": 1}
