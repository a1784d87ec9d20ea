"""Binance as simulated, beyond its first streams: depth at two paces, shutdown, binance.us."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
import requests
from support.simulated_line import DEADLINE_S, connected, injected, own_book

from monitor.simulate import Simulator

VENUES = ["binance", "binance-us"]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(VENUES, rate=1000) as running:
        yield running


def get(simulator: Simulator, venue: str, path: str) -> Any:
    url = f"{simulator.http_url(venue)}/api/v3/{path}"
    return requests.get(url, timeout=DEADLINE_S).json()


def test_binance_us_is_a_market_of_its_own(simulator):
    listed = {
        venue: {item["symbol"]: item for item in get(simulator, venue, "exchangeInfo")["symbols"]}
        for venue in VENUES
    }
    assert "BTCUSD" not in listed["binance"]
    assert listed["binance-us"]["BTCUSD"]["quoteAsset"] == "USD"
    books = {venue: get(simulator, venue, "depth?symbol=BTCUSDT&limit=5") for venue in VENUES}
    assert books["binance"] != books["binance-us"]
    with connected(simulator.ws_url("binance-us") + "/stream?streams=btcusd@trade") as line:
        assert line.next()["data"]["s"] == "BTCUSD"


def test_best_prices_are_of_the_symbols_asked_for(simulator):
    def symbols(query: str) -> set[str]:
        return {item["symbol"] for item in get(simulator, "binance", f"ticker/bookTicker{query}")}

    assert symbols("") > {"BTCUSDT", "ETHUSDT"}
    assert symbols("?symbols=%5B%22ETHUSDT%22,%22BTCUSDT%22%5D") == {"BTCUSDT", "ETHUSDT"}
    assert symbols("?symbols=%5B%22ETHUSDT%22%5D") == {"ETHUSDT"}
    assert get(simulator, "binance", "ticker/bookTicker?symbol=ETHUSDT")["symbol"] == "ETHUSDT"
    for query in ("symbol=NOPE", "symbols=%5B%22ETHUSDT%22,%22NOPE%22%5D"):
        assert get(simulator, "binance", f"ticker/bookTicker?{query}")["code"] == -1121


@pytest.mark.parametrize("levels", [5, 10, 20])
def test_partial_depth_is_the_top_of_the_book_at_its_update_id(simulator, levels):
    streams = f"btcusdt@depth@100ms/btcusdt@depth{levels}@100ms"
    with connected(simulator.ws_url("binance") + f"/stream?streams={streams}") as line:
        line.next()
        snapshot = get(simulator, "binance", "depth?symbol=BTCUSDT&limit=5000")
        book = {"b": dict(snapshot["bids"]), "a": dict(snapshot["asks"])}
        last_id, compared = snapshot["lastUpdateId"], 0
        while compared < 5:
            message = line.next()
            data = message["data"]
            if message["stream"] == f"btcusdt@depth{levels}@100ms":
                assert list(data) == ["lastUpdateId", "bids", "asks"]
                if data["lastUpdateId"] == last_id:
                    bids = sorted(book["b"].items(), key=lambda kept: -Decimal(kept[0]))
                    asks = sorted(book["a"].items(), key=lambda kept: Decimal(kept[0]))
                    assert data["bids"] == [list(level) for level in bids[:levels]]
                    assert data["asks"] == [list(level) for level in asks[:levels]]
                    compared += 1
            elif data["u"] > last_id:
                assert data["U"] <= last_id + 1
                for side, price, size in ((s, *level) for s in "ba" for level in data[s]):
                    book[side][price] = size
                    if not Decimal(size):
                        del book[side][price]
                last_id = data["u"]


def test_diffs_come_each_second_or_ten_times_as_often(simulator):
    streams = "ethusdt@depth/ethusdt@depth@100ms"
    with connected(simulator.ws_url("binance") + f"/stream?streams={streams}") as line:
        diffs: dict[str, list[dict[str, Any]]] = {name: [] for name in streams.split("/")}
        while len(diffs["ethusdt@depth"]) < 3:
            message = line.next()
            diffs[message["stream"]].append(message["data"])
    slow, fast = diffs.values()
    assert all(1000 <= b["E"] - a["E"] < 2000 for a, b in pairwise(slow))
    assert all(100 <= b["E"] - a["E"] < 1000 for a, b in pairwise(fast))
    # Both tell the same ids, once each.
    for stream in (slow, fast):
        assert all(b["U"] == a["u"] + 1 for a, b in pairwise(stream))


def test_aggregate_trades_join_the_fills_of_an_order(simulator):
    # The market moves on between two requests: aggregates first, so that their fills are there.
    orders = get(simulator, "binance", "aggTrades?symbol=BTCUSDT&limit=50")
    fills = {trade["id"]: trade for trade in get(simulator, "binance", "trades?symbol=BTCUSDT")}
    assert len(orders) == 50
    assert any(order["f"] < order["l"] for order in orders)
    for before, order in pairwise(orders):
        assert (order["a"], order["f"]) == (before["a"] + 1, before["l"] + 1)
    for order in orders:
        joined = [fills[number] for number in range(order["f"], order["l"] + 1)]
        assert Decimal(order["q"]) == sum(Decimal(fill["qty"]) for fill in joined)
        assert {fill["price"] for fill in joined} == {order["p"]}
        assert {fill["isBuyerMaker"] for fill in joined} == {order["m"]}
    refused = get(simulator, "binance", "aggTrades?symbol=NOPE")
    assert refused["code"] == -1121


@pytest.mark.parametrize("path", ["/ws/btcusdt@trade", "/stream?streams=btcusdt@trade"])
def test_a_shutdown_is_told_in_time_to_connect_anew(path):
    with Simulator(VENUES, rate=200, faults=["life@5"]) as mortal:
        url = mortal.ws_url("binance-us") + path
        with connected(url) as line:
            notice = line.until(lambda m: "serverShutdown" in str(m))
            event = {"e": "serverShutdown", "E": notice.get("data", notice)["E"]}
            if path.startswith("/ws/"):
                assert notice == event
            else:
                assert notice == {"stream": "!serverShutdown", "data": event}
            # The old line still gives data while the new one begins.
            with connected(url) as fresh:
                assert "serverShutdown" not in str(fresh.next())
                assert "serverShutdown" not in str(line.next())
                assert line.closing_code() == 1001
                assert "serverShutdown" not in str(fresh.next())
                # The notice is counted, the end that it told of is not counted once more.
                assert injected(mortal, "binance-us")["life"] == 1


def test_the_simulators_own_book_is_that_of_rest_at_the_same_update_id(simulator):
    for _ in range(100):
        own = own_book(simulator, "binance-us", "DOGEUSDT")
        rest = get(simulator, "binance-us", "depth?symbol=DOGEUSDT&limit=5000")
        if rest["lastUpdateId"] == own["sequence"]:
            break
    assert rest["lastUpdateId"] == own["sequence"]
    for side in ("bids", "asks"):
        assert [list(map(Decimal, level)) for level in rest[side]] == [
            list(map(Decimal, level)) for level in own[side]
        ]


def test_pings_count_as_messages_too(simulator):
    with connected(simulator.ws_url("binance-us") + "/ws") as line:
        for _ in range(6):
            line.ws.ping("flood")
        assert line.closing_code() == 1008
