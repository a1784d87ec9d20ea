"""The documented examples of Coinbase Exchange must become the rows that they describe."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from support.golden import decode, picked

from monitor._rust_feed import Feed, Session
from monitor.rows.batches import GAP, LAST, REST, SNAPSHOT

VENUE, US = "coinbase-exchange", 1000
MATCH = (
    '{"type":"%s","trade_id":%d,"sequence":50,"maker_order_id":"ac928c66-ca53-498f-9c13-'
    'a110027a60e8","taker_order_id":"132fb6ae-456b-4654-b4e0-d681ac05cea1",'
    '"time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","size":"5.23512",'
    '"price":"400.23","side":"sell"}'
)
TICKER = (
    '{"type":"ticker","sequence":37475248783,"product_id":"ETH-USD","price":"1285.22",'
    '"open_24h":"1310.79","volume_24h":"245532.79269678","low_24h":"1280.52",'
    '"high_24h":"1313.8","volume_30d":"9788783.60117027","best_bid":"1285.04",'
    '"best_bid_size":"0.46688654","best_ask":"1285.27","best_ask_size":"1.56637040",'
    '"side":"buy","time":"2022-10-19T23:28:22.061769Z","trade_id":370843401,'
    '"last_size":"11.4396987"}'
)
BOOK = (
    '{"type":"snapshot","product_id":"BTC-USD","bids":[["10101.10","0.45054140"]],'
    '"asks":[["10102.55","0.57753524"]]}'
)
UPDATE = (
    '{"type":"l2update","product_id":"BTC-USD","changes":[["sell","10103.00","1"],'
    '["buy","10101.10","0.00000000"],["buy","10100.00","2.5"]],"time":"%s"}'
)


def told(rows: dict[str, list[dict[str, Any]]]) -> list[str]:
    found = rows.get("status", [])
    return [row["kind"] for row in found if row["kind"] not in ("symbol_assumed", "origin")]


def test_a_match_names_the_makers_side() -> None:
    """A maker who sold was bought from."""
    (row,) = decode(VENUE, MATCH % ("match", 10))["trade"]
    expected = {
        "symbol": "BTC-USD",
        "price": 400.23,
        "size": 5.23512,
        "side": "buy",
        "trade_id": "10",
        "seq": 50,
        "ts_event": 1415348367028459 * US,
        "ts_sent": None,
        "flags": 0,
    }
    assert picked(row, expected) == expected


def test_the_last_match_is_a_snapshot_and_the_next_follows_on() -> None:
    rows = decode(VENUE, MATCH % ("last_match", 10), MATCH % ("match", 11), MATCH % ("match", 13))
    assert [row["flags"] for row in rows["trade"]] == [SNAPSHOT, 0, GAP]
    (gap,) = [row for row in rows["status"] if row["kind"] == "gap"]
    assert (gap["channel"], gap["expected"], gap["got"], gap["count"]) == ("trade", 12, 13, 1)


def test_a_ticker_is_a_quote() -> None:
    (row,) = decode(VENUE, TICKER)["quote"]
    expected = {
        "symbol": "ETH-USD",
        "bid": 1285.04,
        "bid_size": 0.46688654,
        "ask": 1285.27,
        "ask_size": 1.5663704,
        "ts_event": 1666222102061769 * US,
        "seq": 37475248783,
        "origin": "native",
        "flags": 0,
    }
    assert picked(row, expected) == expected


@pytest.mark.parametrize(
    ("time", "ns"),
    [
        ("2022-08-04T15:25:05.010758Z", 1659626705010758 * US),
        ("0001-01-01T00:00:00.000000Z", None),
    ],
)
def test_a_book_is_written_bids_first_whatever_the_wire_mixes(time: str, ns: int | None) -> None:
    rows = decode(VENUE, BOOK, UPDATE % time)
    assert [
        (r["side"], r["price"], r["size"], r["flags"], r["ts_event"]) for r in rows["book"]
    ] == [
        (None, None, None, SNAPSHOT, None),
        ("bid", 10101.1, 0.4505414, SNAPSHOT, None),
        ("ask", 10102.55, 0.57753524, SNAPSHOT | LAST, None),
        ("bid", 10101.1, 0, 0, ns),
        ("bid", 10100, 2.5, 0, ns),
        ("ask", 10103, 1, LAST, ns),
    ]
    assert [(row["bid"], row["ask"], row["origin"]) for row in rows["quote"]] == [
        (10101.1, 10102.55, "book"),
        (10100, 10102.55, "book"),
    ]
    assert told(rows) == []


def test_a_level_that_cannot_be_read_is_left_out_alone() -> None:
    frame = (
        '{"type":"snapshot","product_id":"YFI-USD","asks":[["40584.89","0.039985"]],'
        '"bids":[["40533.24","0.020416"],["40531.19","0.-10000"],["40530.00","1"]]}'
    )
    rows = decode(VENUE, frame)
    assert [(row["side"], row["price"]) for row in rows["book"]] == [
        (None, None),
        ("bid", 40533.24),
        ("bid", 40530),
        ("ask", 40584.89),
    ]
    assert told(rows) == ["undecodable"]
    detail = rows["status"][-1]["detail"]
    assert '"0.-10000"' in detail
    assert detail.endswith(frame)


def test_a_snapshot_of_a_megabyte_is_one_message() -> None:
    bids = ",".join(f'["{50000 - at / 100:.2f}","0.12345678"]' for at in range(20_000))
    asks = ",".join(f'["{50001 + at / 100:.2f}","0.12345678"]' for at in range(20_000))
    frame = f'{{"type":"snapshot","product_id":"BTC-USD","bids":[{bids}],"asks":[{asks}]}}'
    assert len(frame) > 900_000
    feed = Feed(100_000)
    Session(feed, VENUE, "{}").frame(1, frame, 1, 0)
    rows = pa.record_batch(feed.drain(0, 0)["book"])
    assert rows.num_rows == 40_001
    flags = rows["flags"].to_pylist()
    assert set(flags[:-1]) == {SNAPSHOT}
    assert flags[-1] == SNAPSHOT | LAST


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD",'
        '"time":"2014-11-07T08:19:28.464459Z"}',
        '{"type":"subscriptions","channels":[{"name":"level2_50","product_ids":["BTC-USD"],'
        '"account_ids":null}]}',
        '{"type":"error","message":"Failed to subscribe","reason":"ETH-USD is not a valid '
        'product"}',
        '{"type":"rfq_match","maker_order_id":"x"}',
    ],
)
def test_other_messages_make_no_rows(frame: str) -> None:
    assert decode(VENUE, frame) == {}


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "nonsense",
        "[1",
        '{"channel":7}',
        '{"type":"match"}',
        MATCH.replace("400.23", "x") % ("match", 1),
        UPDATE % "yesterday",
        '{"type":"l2update","product_id":"BTC-USD","changes":[["buy","1"]]}',
    ],
)
def test_an_unreadable_frame_is_kept_verbatim(frame: str) -> None:
    rows = decode(VENUE, frame)
    assert told(rows) == ["undecodable"]
    assert rows["status"][-1]["detail"].endswith(frame)
    assert set(rows) == {"status"}


def polled(url: str, body: str) -> dict[str, list[dict[str, Any]]]:
    feed = Feed(1000)
    Session(feed, VENUE, "{}").fetched(1, url, body, 1, 0)
    drained = feed.drain(0, 0) or {}
    return {kind: pa.record_batch(batch).to_pylist() for kind, batch in drained.items()}


REST_BOOK = (
    '{"bids":[["295.96","4.39088265",2]],"asks":[["295.97","25.23542881",12]],'
    '"sequence":3,"time":"2022-08-04T15:25:05.010758Z"}'
)


def test_a_rest_book_of_level_1_is_a_quote() -> None:
    (row,) = polled("/products/BTC-USD/book?level=1", REST_BOOK)["quote"]
    expected = {
        "symbol": "BTC-USD",
        "bid": 295.96,
        "bid_size": 4.39088265,
        "ask": 295.97,
        "ask_size": 25.23542881,
        "seq": 3,
        "origin": "rest",
        "flags": REST,
    }
    assert picked(row, expected) == expected
    assert row["ts_event"].value == 1659626705010758 * US


def test_a_rest_book_of_level_2_is_a_book() -> None:
    rows = polled("/products/BTC-USD/book?level=2", REST_BOOK)["book"]
    assert [(row["side"], row["price"], row["flags"], row["seq"]) for row in rows] == [
        (None, None, SNAPSHOT | REST, 3),
        ("bid", 295.96, SNAPSHOT | REST, 3),
        ("ask", 295.97, SNAPSHOT | REST | LAST, 3),
    ]


def test_rest_trades_are_written_oldest_first_with_the_makers_side_turned() -> None:
    body = (
        '[{"time":"2014-11-07T22:19:28.578544Z","trade_id":74,"price":"10.00000000",'
        '"size":"0.01000000","side":"buy"},{"time":"2014-11-07T01:08:43.642366Z",'
        '"trade_id":73,"price":"100.00000000","size":"0.01000000","side":"sell"}]'
    )
    rows = polled("/products/BTC-USD/trades?limit=1000", body)["trade"]
    assert [(row["trade_id"], row["price"], row["side"], row["flags"]) for row in rows] == [
        ("73", 100, "buy", REST),
        ("74", 10, "sell", REST),
    ]


def test_the_product_list_gives_steps_precisions_and_status() -> None:
    feed = Feed(1000)
    session = Session(feed, VENUE, "{}")
    products = (
        '[{"id":"BTC-USD","base_currency":"BTC","quote_currency":"USD","quote_increment":"0.01",'
        '"base_increment":"0.00000001","display_name":"BTC/USD","status":"online"}]'
    )
    session.fetched(1, "https://api.exchange.coinbase.com/products", products, 1, 0)
    session.frame(1, BOOK, 2, 0)
    (row,) = pa.record_batch(feed.drain(0, 0)["instrument"]).to_pylist()
    expected = {
        "symbol": "BTC-USD",
        "raw_symbol": "BTC-USD",
        "base": "BTC",
        "quote_asset": "USD",
        "tick_size": 0.01,
        "lot_size": 1e-8,
        "price_precision": 2,
        "size_precision": 8,
        "trading_status": "online",
    }
    assert picked(row, expected) == expected
