"""The vendors' documented examples must become the rows that their documents describe."""

from __future__ import annotations

from typing import Any

import pytest
from support.golden import MS, US, decode, picked

from monitor.rows.batches import DUPLICATE, GAP, LATE, SNAPSHOT

BINANCE_TRADE = (
    '{"stream":"bnbbtc@trade","data":{"e":"trade","E":1672515782136,"s":"BNBBTC","t":%d,'
    '"p":"0.001","q":"100","T":1672515782136,"m":true,"M":true}}'
)
COINBASE_TRADES = (
    '{"channel":"market_trades","timestamp":"2026-04-07T14:30:01.5Z","sequence_num":%d,'
    '"events":[{"type":"%s","trades":[{"trade_id":"%d","product_id":"BTC-USD",'
    '"price":"68900.50","size":"0.00150000","side":"BUY","time":"2026-04-07T14:30:01.2Z"}]}]}'
)
EXAMPLES = [
    (
        "binance",
        '{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000",'
        '"A":"40.66000000"}',
        "quote",
        {
            "symbol": "BNB-USDT",
            "bid": 25.3519,
            "bid_size": 31.21,
            "ask": 25.3652,
            "ask_size": 40.66,
            "seq": 400900217,
            "ts_event": None,
            "origin": "native",
            "flags": 0,
        },
    ),
    (
        "binance",
        BINANCE_TRADE % 12345,
        "trade",
        {
            "symbol": "BNB-BTC",
            "price": 0.001,
            "size": 100.0,
            "side": "sell",
            "trade_id": "12345",
            "ts_event": 1672515782136 * MS,
            "ts_sent": 1672515782136 * MS,
        },
    ),
    (
        "binance",
        '{"e":"aggTrade","E":1672515782136000,"s":"BNBBTC","a":12345,"p":"0.001","q":"100",'
        '"f":100,"l":105,"T":1672515782136001,"m":false,"M":true}',
        "trade",
        {"side": "buy", "trade_id": "12345", "ts_event": 1672515782136001 * US},
    ),
    (
        "kraken",
        '{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":83744.2,'
        '"bid_qty":0.56251979,"ask":83744.3,"ask_qty":0.00044780,"last":83744.3,'
        '"volume":3156.84782110,"vwap":84174.6,"low":83163.6,"high":85247.4,"change":-429.3,'
        '"change_pct":-0.51,"trades":135262,"timestamp":"2026-09-25T17:48:26.844359Z"}]}',
        "quote",
        {
            "symbol": "BTC-USD",
            "bid": 83744.2,
            "bid_size": 0.56251979,
            "ask": 83744.3,
            "ask_size": 0.0004478,
            "ts_event": 1790358506844359 * US,
        },
    ),
    (
        "kraken",
        '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy",'
        '"price":83744.3,"qty":0.00044780,"ord_type":"limit","trade_id":109116693,'
        '"timestamp":"2026-09-25T17:48:26.844359Z"}]}',
        "trade",
        {"side": "buy", "price": 83744.3, "size": 0.0004478, "trade_id": "109116693"},
    ),
    (
        "coinbase",
        COINBASE_TRADES % (5, "update", 995098700),
        "trade",
        # The venue names the maker's side: its BUY was hit by a seller.
        {"side": "sell", "price": 68900.5, "size": 0.0015, "trade_id": "995098700", "seq": 5},
    ),
]


@pytest.mark.parametrize(("venue", "frame", "kind", "expected"), EXAMPLES)
def test_documented_examples(venue: str, frame: str, kind: str, expected: dict[str, Any]) -> None:
    (row,) = decode(venue, frame)[kind]
    assert picked(row, expected) == expected


def test_a_missing_trade_is_a_gap_and_a_late_one_fills_it() -> None:
    rows = decode("binance", *(BINANCE_TRADE % number for number in (7, 10, 9, 10)))
    assert [row["flags"] for row in rows["trade"]] == [0, GAP, LATE, DUPLICATE]
    told = [row for row in rows["status"] if row["kind"] != "symbol_assumed"]
    assert [(r["kind"], r["expected"], r["got"]) for r in told] == [
        ("gap", 8, 10),
        ("late", None, 9),
        ("duplicate", None, 10),
    ]


def test_coinbase_judges_the_sequence_of_the_connection_before_dispatch() -> None:
    heartbeat = '{"channel":"heartbeats","timestamp":"","sequence_num":%d,"events":[]}'
    rows = decode("coinbase", heartbeat % 0, COINBASE_TRADES % (3, "update", 1))
    (gap,) = [row for row in rows["status"] if row["kind"] == "gap"]
    assert (gap["scope"], gap["expected"], gap["got"], gap["count"]) == ("connection", 1, 3, 2)
    assert rows["trade"][0]["flags"] == GAP


def test_trades_of_a_snapshot_are_flagged() -> None:
    (row,) = decode("coinbase", COINBASE_TRADES % (0, "snapshot", 1))["trade"]
    assert row["flags"] == SNAPSHOT


@pytest.mark.parametrize("venue", ["binance", "kraken", "coinbase"])
@pytest.mark.parametrize("frame", ["", "nonsense", "[1", '{"channel":7}', '{"u":1,"s":"A","b":1}'])
def test_an_unreadable_frame_is_kept_verbatim(venue: str, frame: str) -> None:
    rows = decode(venue, frame)
    if "status" in rows:
        (row,) = rows["status"]
        assert row["kind"] == "undecodable"
        assert row["detail"].endswith(frame)
    assert set(rows) <= {"status"}
