"""Finnhub's documented examples must become the rows that its documents describe."""

from __future__ import annotations

import pytest
from support.golden import MS, decode, picked, rows_of

from monitor._rust_feed import Feed, Session
from monitor.rows import sources
from monitor.rows.batches import REST


def test_a_trade_keeps_its_conditions_and_has_neither_side_nor_number() -> None:
    frame = (
        '{"data":[{"c":["1","8","24","12"],"p":122.1,"s":"TSLA","t":1672348887195,"v":1}],'
        '"type":"trade"}'
    )
    expected = {
        "symbol": "TSLA-USD",
        "price": 122.1,
        "size": 1.0,
        "conditions": ["1", "8", "24", "12"],
        "ts_event": 1672348887195 * MS,
        "ts_sent": None,
        "side": None,
        "trade_id": None,
        "seq": None,
        "flags": 0,
    }
    (row,) = decode("finnhub", frame)["trade"]
    assert picked(row, expected) == expected


def test_a_volume_of_zero_is_a_price_without_a_size() -> None:
    frame = '{"data":[{"p":1.0832,"s":"OANDA:EUR_USD","t":1672348887195,"v":0}],"type":"trade"}'
    rows = decode("finnhub", frame)
    (row,), (instrument,) = rows["trade"], rows["instrument"]
    expected = {"symbol": "EUR-USD", "price": 1.0832, "size": None, "conditions": None}
    assert picked(row, expected) == expected
    named = {"raw_symbol": "OANDA:EUR_USD", "base": "EUR", "quote_asset": "USD", "source": "OANDA"}
    assert picked(instrument, named) == named


def test_a_message_may_mix_symbols_and_repeat_a_trade_unflagged() -> None:
    btc = '{"c":null,"p":66972.77,"s":"BINANCE:BTCUSDT","t":1721555886208,"v":0.01559}'
    aapl = '{"c":["1"],"p":164.06,"s":"AAPL","t":1680286539953,"v":100}'
    rows = decode("finnhub", f'{{"data":[{btc},{aapl},{aapl}],"type":"trade"}}')
    told = [(row["symbol"], row["conditions"], row["flags"]) for row in rows["trade"]]
    assert told == [("BTC-USDT", None, 0), ("AAPL-USD", ["1"], 0), ("AAPL-USD", ["1"], 0)]
    kinds = {row["kind"] for row in rows["status"]}
    assert kinds == {"symbol_assumed"}


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"ping"}',
        '{"type":"error","msg":"Subscribing to too many symbols"}',
        '{"msg":"Invalid symbol FX:EURUSD","type":"error"}',
    ],
)
def test_what_is_no_data_gives_no_row(frame: str) -> None:
    assert decode("finnhub", frame) == {}


def test_a_last_price_is_no_bid_and_ask() -> None:
    body = '{"c":261.74,"d":2.29,"dp":0.88,"h":263.31,"l":260.68,"o":261.07,"t":1582641000}'
    rows = fetched("/api/v1/quote?symbol=AAPL", body, body)
    # The second answer tells nothing that the first did not.
    (row,) = rows["trade"]
    expected = {
        "price": 261.74,
        "size": None,
        "ts_event": 1582641000 * 1000 * MS,
        "flags": REST,
    }
    assert picked(row, expected) == expected
    assert "quote" not in rows


def test_an_unknown_symbol_is_all_zeros_and_gives_no_row() -> None:
    body = '{"c":0,"d":null,"dp":null,"h":0,"l":0,"o":0,"pc":0,"t":0}'
    assert fetched("/api/v1/quote?symbol=NOPE", body) == {}


def test_a_source_may_name_the_venue_behind_the_symbol() -> None:
    source = sources.parse("finnhub:BINANCE:BTCUSDT+trade")
    assert source[:3] == ("finnhub", "BINANCE:BTCUSDT", ("trade",))


def fetched(url: str, *bodies: str) -> dict[str, list[dict[str, object]]]:
    feed = Feed(1000)
    session = Session(feed, "finnhub", "{}")
    for at, body in enumerate(bodies, 1):
        session.fetched(1, url, body, at, 0)
    return rows_of(feed)
