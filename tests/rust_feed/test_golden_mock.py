"""The mock venue's documented resources must become the rows that its document describes."""

from __future__ import annotations

from typing import Any

from support.golden import picked, rows_of

from monitor._rust_feed import Feed, Session
from monitor.rows.batches import GAP, REST

# `date -u -d 2026-04-07T14:30:01Z +%s`
THEN_NS = 1775572201 * 1_000_000_000


def fetched(*answers: tuple[str, str]) -> dict[str, list[dict[str, Any]]]:
    feed = Feed(1000)
    session = Session(feed, "mock", "{}")
    for url, body in answers:
        session.fetched(1, url, body, 1, 0)
    return rows_of(feed)


def test_the_list_names_base_quote_and_steps() -> None:
    listed = (
        '{"instruments":[{"symbol":"BTC-USD","base":"BTC","quote":"USD","tick_size":"0.01",'
        '"lot_size":"0.00001"}]}'
    )
    quotes = (
        '{"quotes":[{"symbol":"BTC-USD","bid":"67999.10","bid_size":"0.50000","ask":"67999.20",'
        '"ask_size":"1.25000","seq":7,"time":"2026-04-07T14:30:01Z"}]}'
    )
    rows = fetched(("/v1/instruments", listed), ("/v1/quotes?symbols=BTC-USD", quotes))
    (instrument,), (quote,) = rows["instrument"], rows["quote"]
    steps = {"tick_size": 0.01, "lot_size": 0.00001, "price_precision": 2.0, "size_precision": 5.0}
    assert picked(instrument, steps) == steps
    expected = {
        "symbol": "BTC-USD",
        "bid": 67999.1,
        "bid_size": 0.5,
        "ask": 67999.2,
        "ask_size": 1.25,
        "seq": 7,
        "ts_event": THEN_NS,
        "origin": "rest",
        "flags": REST,
    }
    assert picked(quote, expected) == expected


def test_a_trade_is_written_once_and_a_missing_one_is_a_gap() -> None:
    def trades(*numbers: int) -> str:
        one = '{"id":%d,"price":"10.5","size":"2","side":"sell","time":"2026-04-07T14:30:01Z"}'
        return f'{{"trades":[{",".join(one % number for number in numbers)}]}}'

    url = "/v1/trades?symbol=BTC-USD&after=0"
    rows = fetched((url, trades(5, 6)), (url, trades(6, 9)))
    expected = {"price": 10.5, "size": 2.0, "side": "sell", "trade_id": "5", "ts_event": THEN_NS}
    assert picked(rows["trade"][0], expected) == expected
    told = [(row["trade_id"], row["flags"]) for row in rows["trade"]]
    assert told == [("5", REST), ("6", REST), ("9", REST | GAP)]
    (gap,) = [row for row in rows["status"] if row["kind"] == "gap"]
    assert (gap["expected"], gap["got"], gap["count"]) == (7, 9, 2)
