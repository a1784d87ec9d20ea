"""The documented examples of Kraken's WebSocket v1 and REST must become the rows they describe."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from support.golden import decode, picked

from monitor._rust_feed import Feed, Session
from monitor.rows.batches import INVALID, LAST, MAYBE_BAD_BOOK, REST, SNAPSHOT, SYNTHETIC

US = 1000
SPREAD = '[0,["5698.40000","5700.00000","1542057299.545897","1.01234567","0.98765432"],"spread",'
TICKER = (
    '[0,{"a":["5525.40000",1,"1.000"],"b":["5525.10000",1,"1.000"],"c":["5525.10000",'
    '"0.00398963"],"o":["5760.70000","5763.40000"]},"ticker","XBT/USD"]'
)
TRADES = (
    '[0,[["5541.20000","0.15850568","1534614057.321597","s","l",""],'
    '["6060.00000","0.02455000","1534614057.324998","b","l",""]],"trade","XDG/USD"]'
)
# The guide's book, whose checksum is documented as 974947235.
ASKS = [f"0.0{price}" for price in range(5005, 5055, 5)]
BIDS = [f"0.0{n}" for n in (5000, 4995, 4990, 4980, 4975, 4970, 4965, 4960, 4955, 4950)]


def levels(prices: list[str], size: str = "0.00000500") -> str:
    return ",".join(f'["{price}","{size}","1582905487.684110"]' for price in prices)


def snapshot(asks: list[str], bids: list[str], depth: int = 10) -> str:
    return f'[560,{{"as":[{levels(asks)}],"bs":[{levels(bids)}]}},"book-{depth}","XBT/USD"]'


def told(rows: dict[str, list[dict[str, Any]]]) -> list[str]:
    found = rows.get("status", [])
    return [row["kind"] for row in found if row["kind"] not in ("symbol_assumed", "origin")]


def test_a_spread_is_a_quote_with_its_own_time() -> None:
    (row,) = decode("kraken-v1", SPREAD + '"XBT/USD"]')["quote"]
    expected = {
        "symbol": "BTC-USD",
        "bid": 5698.4,
        "bid_size": 1.01234567,
        "ask": 5700.0,
        "ask_size": 0.98765432,
        "ts_event": 1542057299545897 * US,
        "ts_sent": None,
        "seq": None,
        "origin": "native",
        "flags": 0,
    }
    assert picked(row, expected) == expected


def test_a_ticker_is_a_quote_without_a_time() -> None:
    (row,) = decode("kraken-v1", TICKER)["quote"]
    expected = {
        "bid": 5525.1,
        "bid_size": 1.0,
        "ask": 5525.4,
        "ask_size": 1.0,
        "ts_event": None,
        "origin": "native",
    }
    assert picked(row, expected) == expected


def test_trades_name_the_takers_side_and_have_no_id() -> None:
    rows = decode("kraken-v1", TRADES)["trade"]
    common = {"symbol": "DOGE-USD", "trade_id": None, "seq": None, "flags": 0}
    expected = [
        {"price": 5541.2, "size": 0.15850568, "side": "sell", "ts_event": 1534614057321597 * US},
        {"price": 6060.0, "size": 0.02455, "side": "buy", "ts_event": 1534614057324998 * US},
    ]
    assert [picked(row, {**one, **common}) for row, one in zip(rows, expected, strict=True)] == [
        {**one, **common} for one in expected
    ]


def test_a_side_priced_zero_is_empty_and_two_of_them_are_no_quote() -> None:
    one = '[1,["0.00000","5700.00000","1542057299.545897","0.0","2.0"],"spread","XBT/USD"]'
    none = '[1,["0.00000","0.00000","0.000000","0.0","0.0"],"spread","XBT/USD"]'
    assert "quote" not in decode("kraken-v1", none)
    half, ended = decode("kraken-v1", one, none)["quote"]
    assert [half[name] for name in ("bid", "bid_size", "ask", "ask_size")] == [None, None, 5700, 2]
    assert (ended["ask"], ended["flags"]) == (None, INVALID)


def test_a_book_starts_with_a_clearing_row_and_is_cut_to_its_depth() -> None:
    update = (
        '[560,{"a":[["0.05004","1.00000000","1582905488.000001","r"]]},'
        '{"b":[["0.05000","0.00000000","1582905488.000002"],'
        '["0.05001","2.00000000","1582905487.900000"]]},"book-2","XBT/USD"]'
    )
    rows = decode("kraken-v1", snapshot(ASKS[:2], BIDS[:2], depth=2), update)
    time, later = 1582905487684110 * US, 1582905488000002 * US
    assert [
        (r["side"], r["price"], r["size"], r["flags"], r["ts_event"]) for r in rows["book"]
    ] == [
        (None, None, None, SNAPSHOT, time),
        ("bid", 0.05, 0.000005, SNAPSHOT, time),
        ("bid", 0.04995, 0.000005, SNAPSHOT, time),
        ("ask", 0.05005, 0.000005, SNAPSHOT, time),
        ("ask", 0.0501, 0.000005, SNAPSHOT | LAST, time),
        ("bid", 0.05, 0, 0, later),
        ("bid", 0.05001, 2, 0, later),
        ("ask", 0.05004, 1, 0, later),
        ("ask", 0.0501, 0, SYNTHETIC | LAST, later),
    ]


@pytest.mark.parametrize(("sent", "kinds"), [("974947235", []), ("974947236", ["checksum"])])
def test_the_guides_book_is_held_against_its_documented_checksum(
    sent: str, kinds: list[str]
) -> None:
    """The last bid arrives by an update, since a snapshot carries no checksum."""
    update = f'[560,{{"b":[{levels(BIDS[9:])}],"c":"{sent}"}},"book-10","XBT/USD"]'
    rows = decode("kraken-v1", snapshot(ASKS, BIDS[:9]), update)
    assert told(rows) == kinds
    assert rows["book"][-1]["flags"] == (LAST | MAYBE_BAD_BOOK if kinds else LAST)
    for row in rows["status"]:
        if row["kind"] == "checksum":
            assert (row["expected"], row["got"]) == (974947236, 974947235)


@pytest.mark.parametrize(
    "frame",
    [
        '{"connectionID":8628615390848610000,"event":"systemStatus","status":"online",'
        '"version":"1.0.0"}',
        '{"event":"heartbeat"}',
        '{"event":"pong","reqid":42}',
        '[42,["1542057314.748456"],"ohlc-5","XBT/USD"]',
    ],
)
def test_other_messages_make_no_rows(frame: str) -> None:
    assert decode("kraken-v1", frame) == {}


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "nonsense",
        "[1",
        "[]",
        '{"channel":7}',
        '[1,[],7,"XBT/USD"]',
        '[1,[["x","1","1.0","b","l",""]],"trade","XBT/USD"]',
        '[1,{"b":[["1.0","1.0","yesterday"]]},"book-10","XBT/USD"]',
        '[1,{"b":[["1.0","1.0","1.0"]],"c":"x"},"book-10","XBT/USD"]',
        '[1,{},"book-x","XBT/USD"]',
        '[1,[],[],"spread","XBT/USD"]',
    ],
)
def test_an_unreadable_frame_is_kept_verbatim(frame: str) -> None:
    rows = decode("kraken-v1", frame)
    assert told(rows) == ["undecodable"]
    assert rows["status"][-1]["detail"].endswith(frame)
    assert set(rows) <= {"status", "instrument"}


def polled(venue: str, url: str, body: str) -> dict[str, list[dict[str, Any]]]:
    feed = Feed(1000)
    Session(feed, venue, "{}").fetched(1, url, body, 1, 0)
    drained = feed.drain(0, 0) or {}
    return {kind: pa.record_batch(batch).to_pylist() for kind, batch in drained.items()}


@pytest.mark.parametrize("venue", ["kraken", "kraken-v1"])
def test_a_rest_ticker_of_all_pairs_names_each_by_its_own_key(venue: str) -> None:
    """The oldest assets have an X before their name, or a Z if they are money."""
    symbols = {
        "XXBTZUSD": "BTC-USD",
        "USDTZUSD": "USDT-USD",
        "XETHXXBT": "ETH-BTC",
        "ZEURZUSD": "EUR-USD",
        "XXDGXXBT": "DOGE-BTC",
        "LINKUSDT": "LINK-USDT",
        "XDGUSD": "DOGE-USD",
        "XTZEUR": "XTZ-EUR",
        "WAVESXBT": "WAVES-BTC",
        "0G/EUR": "0G-EUR",
    }
    item = '{"a":["52609.60000","1","1.000"],"b":["52609.50000","3","3.500"]}'
    items = ",".join(f'"{key}":{item}' for key in symbols)
    body = f'{{"error":[],"result":{{{items}}}}}'
    rows = polled(venue, "/0/public/Ticker", body)["quote"]
    assert [row["symbol"] for row in rows] == list(symbols.values())
    expected = {"bid": 52609.5, "bid_size": 3.5, "ask": 52609.6, "ask_size": 1.0}
    for row in rows:
        assert picked(row, expected) == expected
        assert (row["origin"], row["flags"], row["seq"]) == ("rest", REST, None)


def test_a_rest_ticker_of_one_pair_belongs_to_the_pair_asked_for() -> None:
    body = '{"error":[],"result":{"XXBTZUSD":{"a":["0","0","0"],"b":["1.5","3","3.500"]}}}'
    (row,) = polled("kraken-v1", "/0/public/Ticker?pair=XBT/USD", body)["quote"]
    assert (row["symbol"], row["bid"], row["ask"], row["ask_size"]) == ("BTC-USD", 1.5, None, None)


def test_a_rest_error_comes_with_http_200() -> None:
    rows = polled("kraken-v1", "/0/public/Ticker?pair=X", '{"error":["EQuery:Unknown asset pair"]}')
    assert [row["kind"] for row in rows["status"]] == ["fetch_failed"]
    assert "EQuery:Unknown asset pair" in rows["status"][0]["detail"]
