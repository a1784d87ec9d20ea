"""The simulated venues speak their protocols: over real sockets, read by the documents' rules."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import requests
from support.simulated_line import DEADLINE_S, connected

from monitor.simulate import Simulator
from monitor.simulate.venues.coinbase import stream


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(rate=2000) as running:
        yield running


def subscribe(*streams: str) -> dict[str, Any]:
    return {"method": "SUBSCRIBE", "params": list(streams), "id": 1}


def test_binance_acknowledges_and_streams_combined(simulator):
    with connected(simulator.ws_url("binance") + "/stream") as line:
        line.ask(subscribe("btcusdt@bookTicker", "btcusdt@trade"))
        assert line.until(lambda m: "result" in m) == {"result": None, "id": 1}
        quote = line.until(lambda m: m.get("stream") == "btcusdt@bookTicker")["data"]
        assert list(quote) == ["u", "s", "b", "B", "a", "A"]
        assert quote["s"] == "BTCUSDT"
        assert Decimal(quote["b"]) < Decimal(quote["a"])
        assert re.fullmatch(r"\d+\.\d{8}", quote["B"])
        trade = line.until(lambda m: m.get("stream") == "btcusdt@trade")["data"]
        assert list(trade) == ["e", "E", "s", "t", "p", "q", "T", "m", "M"]
        assert abs(trade["E"] - time.time() * 1000) < 60_000
        line.ask({"method": "LIST_SUBSCRIPTIONS", "id": 3})
        assert line.until(lambda m: m.get("id") == 3)["result"] == [
            "btcusdt@bookTicker",
            "btcusdt@trade",
        ]
        line.ask({"method": "UNSUBSCRIBE", "params": ["btcusdt@trade"], "id": 4})
        assert line.until(lambda m: m.get("id") == 4)["result"] is None


def test_binance_trades_lie_at_the_quote_before_them_and_count_up(simulator):
    with connected(simulator.ws_url("binance") + "/stream?timeUnit=MICROSECOND") as line:
        line.ask(subscribe("ethusdt@bookTicker", "ethusdt@trade", "ethusdt@aggTrade"))
        line.until(lambda m: m.get("stream") == "ethusdt@bookTicker")
        quote, last, order, seen = None, None, {"f": 0, "l": 0}, 0
        while seen < 100:
            message = line.next()
            data = message["data"]
            if data.get("e") == "trade":
                assert abs(data["T"] - time.time() * 1e6) < 60e6
                if quote and last:
                    assert data["p"] == quote["b" if data["m"] else "a"]
                    assert data["t"] == last["t"] + 1
                last, seen = data, seen + 1
            elif data.get("e") == "aggTrade":
                order = data
                assert order["f"] <= order["l"] == last["t"]
            else:
                quote = data


def test_binance_raw_streams_are_named_in_the_path(simulator):
    with connected(simulator.ws_url("binance") + "/ws/btcusdt@trade/ethusdt@trade") as line:
        assert {line.until(lambda m: True)["e"], line.next()["e"]} == {"trade"}
    with connected(simulator.ws_url("binance") + "/stream?streams=btcusdt@trade") as line:
        assert line.next()["stream"] == "btcusdt@trade"


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("nonsense", {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}),
        ({"method": "SUBSCRIBE", "params": ["btcusdt"], "id": 2}, {"code": 2}),
        ({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1.5}, {"code": 2}),
        ({"method": "OPEN", "params": [], "id": 2}, {"code": 2}),
        ({"id": 2}, {"code": 2}),
    ],
)
def test_binance_names_errors_as_seen_on_the_wire(simulator, request_, expected):
    with connected(simulator.ws_url("binance") + "/ws") as line:
        line.ask(request_)
        assert expected.items() <= line.next()["error"].items()


def test_binance_properties_and_the_documented_error_shape(simulator):
    with connected(simulator.ws_url("binance") + "/ws") as line:
        line.ask({"method": "GET_PROPERTY", "params": ["combined"], "id": 1})
        assert line.next() == {"result": False, "id": 1}
        line.ask({"method": "SET_PROPERTY", "params": ["combined", True], "id": 2})
        assert line.next() == {"result": None, "id": 2}
        line.ask({"method": "GET_PROPERTY", "params": ["nope"], "id": 3})
        assert line.next() == {"code": 0, "msg": "Unknown property", "id": 3}
        line.ask({"method": "SET_PROPERTY", "params": ["combined", 1], "id": 4})
        assert line.next()["code"] == 1


def test_binance_acknowledges_an_unknown_symbol_and_stays_silent(simulator):
    with connected(simulator.ws_url("binance") + "/ws") as line:
        line.ask(subscribe("nopeusdt@trade"))
        assert line.next() == {"result": None, "id": 1}
        line.ask({"method": "LIST_SUBSCRIPTIONS", "id": 2})
        assert line.next() == {"result": ["nopeusdt@trade"], "id": 2}


def test_binance_cuts_who_asks_too_often(simulator):
    with connected(simulator.ws_url("binance") + "/ws") as line:
        for number in range(6):
            line.ask({"method": "LIST_SUBSCRIPTIONS", "id": number})
        assert line.closing_code() == 1008


def test_binance_diffs_continue_the_rest_snapshot(simulator):
    with connected(simulator.ws_url("binance") + "/ws/btcusdt@depth@100ms") as line:
        first = line.next()
        url = simulator.http_url("binance") + "/api/v3/depth?symbol=BTCUSDT&limit=5000"
        response = requests.get(url, timeout=DEADLINE_S)
        snapshot = response.json()
        assert int(response.headers["X-MBX-USED-WEIGHT-1M"]) >= 250
        assert snapshot["lastUpdateId"] >= first["U"]
        last_id, applied = snapshot["lastUpdateId"], 0
        book = {side: dict(snapshot[side]) for side in ("bids", "asks")}
        previous_u = first["u"]
        while applied < 10:
            diff = line.next()
            assert diff["U"] == previous_u + 1
            previous_u = diff["u"]
            if diff["u"] <= last_id:
                continue
            assert diff["U"] <= last_id + 1 <= diff["u"]
            for side, changes in (("bids", diff["b"]), ("asks", diff["a"])):
                for price, size in changes:
                    book[side][price] = size
                    if not Decimal(size):
                        del book[side][price]
            last_id, applied = diff["u"], applied + 1
            best_bid, best_ask = max(map(Decimal, book["bids"])), min(map(Decimal, book["asks"]))
            assert best_bid < best_ask


def test_binance_rest_lists_what_it_streams(simulator):
    url = simulator.http_url("binance") + "/api/v3/"
    info = requests.get(url + "exchangeInfo", timeout=DEADLINE_S).json()
    btc = next(item for item in info["symbols"] if item["symbol"] == "BTCUSDT")
    assert (btc["baseAsset"], btc["quoteAsset"], btc["status"]) == ("BTC", "USDT", "TRADING")
    assert btc["filters"][0]["tickSize"] == "0.01000000"
    refused = requests.get(url + "depth?symbol=NOPE", timeout=DEADLINE_S)
    assert (refused.status_code, refused.json()["code"]) == (400, -1121)
    trades = requests.get(url + "trades?symbol=BTCUSDT&limit=5", timeout=DEADLINE_S).json()
    assert [trade["id"] - trades[0]["id"] for trade in trades] == [0, 1, 2, 3, 4]


def kraken(channel: str, symbols: list[str], **more: Any) -> dict[str, Any]:
    params = {"channel": channel, "symbol": symbols, **more}
    return {"method": "subscribe", "params": params, "req_id": 7}


def test_kraken_greets_acknowledges_each_symbol_and_rejects_old_names(simulator):
    with connected(simulator.ws_url("kraken") + "/v2") as line:
        status = line.next()
        assert status["channel"] == "status"
        assert status["data"][0]["connection_id"] >= 2**63
        line.ask(kraken("ticker", ["BTC/USD", "XBT/USD", "BTCUSD"], event_trigger="bbo"))
        answers = [line.until(lambda m: m.get("method") == "subscribe") for _ in range(3)]
        assert answers[0]["result"] == {
            "channel": "ticker",
            "event_trigger": "bbo",
            "snapshot": True,
            "symbol": "BTC/USD",
        }
        assert [answer["success"] for answer in answers] == [True, False, False]
        assert answers[1]["error"] == "Currency pair not supported XBT/USD"
        assert answers[1]["symbol"] == "XBT/USD"
        assert {answer["req_id"] for answer in answers} == {7}
        ticker = line.until(lambda m: m.get("channel") == "ticker")["data"][0]
        assert Decimal(ticker["bid"]) < Decimal(ticker["ask"])
        assert re.fullmatch(r"\d+\.\d", ticker["bid"])
        assert re.fullmatch(r"\d+\.\d{8}", ticker["bid_qty"])
        line.ask(kraken("ticker", ["BTC/USD"], event_trigger="bbo"))
        again = line.until(lambda m: m.get("method") == "subscribe")
        assert again["error"] == "Already subscribed"


def test_kraken_trades_snapshot_on_request_and_count_up(simulator):
    with connected(simulator.ws_url("kraken") + "/v2") as line:
        line.ask(kraken("trade", ["ETH/USD"], snapshot=True))
        snapshot = line.until(lambda m: m.get("channel") == "trade")
        ids = [trade["trade_id"] for trade in snapshot["data"]]
        assert (snapshot["type"], len(ids)) == ("snapshot", 50)
        while len(ids) < 80:
            update = line.until(lambda m: m.get("channel") == "trade")
            assert update["type"] == "update"
            ids += [trade["trade_id"] for trade in update["data"]]
        assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_kraken_lists_instruments_and_beats_only_when_quiet(simulator):
    with connected(simulator.ws_url("kraken") + "/v2") as line:
        line.next()
        line.ask({"method": "subscribe", "params": {"channel": "instrument"}})
        assert line.next()["success"] is True
        pairs = line.next()["data"]["pairs"]
        btc = next(pair for pair in pairs if pair["symbol"] == "BTC/USD")
        assert (btc["base"], btc["quote"], btc["price_precision"]) == ("BTC", "USD", 1)
        assert Decimal(btc["qty_increment"]) == Decimal("1e-8")
        assert line.next() == {"channel": "heartbeat"}
        line.ask({"method": "ping", "req_id": 101})
        pong = line.until(lambda m: "method" in m)
        assert (pong["method"], pong["req_id"]) == ("pong", 101)


def kraken_checksum(book: dict[str, dict[str, str]]) -> int:
    """Compute the CRC32 as the venue's guide says, from the tokens of the wire."""
    asks = sorted(book["asks"].items(), key=lambda level: Decimal(level[0]))[:10]
    bids = sorted(book["bids"].items(), key=lambda level: -Decimal(level[0]))[:10]
    parts = [token.replace(".", "").lstrip("0") for level in asks + bids for token in level]
    return zlib.crc32("".join(parts).encode())


@pytest.mark.parametrize("depth", [10, 25, 100])
def test_kraken_books_fold_to_their_checksums(simulator, depth):
    with connected(simulator.ws_url("kraken") + "/v2") as line:
        line.ask(kraken("book", ["BTC/USD"], depth=depth))
        ack = line.until(lambda m: m.get("method") == "subscribe")
        assert ack["result"]["depth"] == depth
        book: dict[str, dict[str, str]] = {}
        for _ in range(300):
            message = line.until(lambda m: m.get("channel") == "book")
            (data,) = message["data"]
            if message["type"] == "snapshot":
                book = {"bids": {}, "asks": {}}
            for side, sign in (("bids", -1), ("asks", 1)):
                for level in data[side]:
                    book[side][level["price"]] = level["qty"]
                    if not Decimal(level["qty"]):
                        del book[side][level["price"]]
                best = sorted(book[side].items(), key=lambda kept: sign * Decimal(kept[0]))
                book[side] = dict(best[:depth])
                assert len(book[side]) == depth
            assert data["checksum"] == kraken_checksum(book)


def test_kraken_rest_wraps_errors_in_success(simulator):
    url = simulator.http_url("kraken") + "/0/public/"
    refused = requests.get(url + "Ticker?pair=NOPE", timeout=DEADLINE_S)
    assert refused.status_code == 200
    assert refused.json() == {"error": ["EQuery:Unknown asset pair"]}
    pairs = requests.get(url + "AssetPairs", timeout=DEADLINE_S).json()["result"]
    assert pairs["XXBTZUSD"]["wsname"] == "XBT/USD"
    ticker = requests.get(url + "Ticker?pair=XBTUSD", timeout=DEADLINE_S).json()["result"]
    assert Decimal(ticker["XXBTZUSD"]["b"][0]) < Decimal(ticker["XXBTZUSD"]["a"][0])
    depth = requests.get(url + "Depth?pair=XBTUSD&count=3", timeout=DEADLINE_S).json()["result"]
    assert len(depth["XXBTZUSD"]["asks"]) == 3
    assert requests.get(url + "Assets", timeout=DEADLINE_S).json()["result"].keys() >= {"XXBT"}


@pytest.mark.parametrize("resource", ["AssetPairs", "Ticker", "Depth", "Trades"])
def test_kraken_rest_answers_a_name_with_a_slash_under_that_name(simulator, resource):
    url = f"{simulator.http_url('kraken')}/0/public/{resource}?pair=BTC/USD"
    result = requests.get(url, timeout=DEADLINE_S).json()["result"]
    assert result.keys() - {"last"} == {"BTC/USD"}


def test_coinbase_counts_every_frame_of_a_connection(simulator):
    with connected(simulator.ws_url("coinbase")) as line:
        for channel in ("heartbeats", "ticker", "level2", "market_trades"):
            products = {} if channel == "heartbeats" else {"product_ids": ["BTC-USD", "ETH-USD"]}
            line.ask({"type": "subscribe", "channel": channel, **products})
        messages = [line.next() for _ in range(2000)]
        assert [message["sequence_num"] for message in messages] == list(range(2000))
        acks = [m["events"][0]["subscriptions"] for m in messages if m["channel"][:3] == "sub"]
        assert acks[-1] == {
            "heartbeats": ["heartbeats"],
            "ticker": ["BTC-USD", "ETH-USD"],
            "level2": ["BTC-USD", "ETH-USD"],
            "market_trades": ["BTC-USD", "ETH-USD"],
        }
        first = {(m["channel"], m["events"][0].get("type")): m for m in reversed(messages)}
        assert (
            first["l2_data", "snapshot"]["sequence_num"]
            < first["l2_data", "update"]["sequence_num"]
        )
        assert len(first["market_trades", "snapshot"]["events"][0]["trades"]) == 100
        ticker = first["ticker", "update"]["events"][0]["tickers"][0]
        assert Decimal(ticker["best_bid"]) < Decimal(ticker["best_ask"])


def test_coinbase_tells_the_makers_side_and_every_trade_once(simulator):
    with connected(simulator.ws_url("coinbase")) as line:
        line.ask({"type": "subscribe", "channel": "ticker", "product_ids": ["BTC-USD"]})
        line.ask({"type": "subscribe", "channel": "market_trades", "product_ids": ["BTC-USD"]})
        edges: dict[str, set[str]] = {"best_bid": set(), "best_ask": set()}
        trades: list[dict[str, str]] = []
        updates: list[dict[str, str]] = []
        while len(updates) < 100:
            message = line.until(lambda m: m["channel"] in ("ticker", "market_trades"))
            (event,) = message["events"]
            for ticker in event.get("tickers", ()):
                for edge, seen in edges.items():
                    seen.add(ticker[edge])
            trades += reversed(event.get("trades", []))
            updates += event["trades"] if event["type"] == "update" and "trades" in event else []
        ids = [int(trade["trade_id"]) for trade in trades]
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        # The maker of a buy stood on the ask: his side is SELL.
        for trade in updates:
            assert trade["price"] in edges["best_ask" if trade["side"] == "SELL" else "best_bid"]


def test_coinbase_heartbeats_carry_the_time_as_go_prints_it(simulator):
    with connected(simulator.ws_url("coinbase")) as line:
        line.ask({"type": "subscribe", "channel": "heartbeats"})
        beats = [line.until(lambda m: m["channel"] == "heartbeats") for _ in range(2)]
        first, second = (beat["events"][0] for beat in beats)
        assert second["heartbeat_counter"] == first["heartbeat_counter"] + 1
        assert re.fullmatch(
            r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9} \+0000 UTC m=\+\d+\.\d{9}",
            first["current_time"],
        )


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({"type": "subscribe", "channel": "ticker", "product_ids": ["NOPE-USD"]}, "NOPE-USD"),
        ({"type": "subscribe", "channel": "nope", "product_ids": ["BTC-USD"]}, "nope"),
        ({"type": "subscribe", "channel": "user"}, "authentication failure"),
        ("nonsense", "malformed"),
    ],
)
def test_coinbase_refuses_with_an_error_that_takes_no_number(simulator, request_, named):
    with connected(simulator.ws_url("coinbase")) as line:
        line.ask(request_)
        error = line.next()
        assert error["type"] == "error"
        assert named in error["message"]
        line.ask({"type": "subscribe", "channel": "heartbeats"})
        assert line.next()["sequence_num"] == 0


def test_coinbase_cuts_who_does_not_subscribe_in_time(monkeypatch):
    monkeypatch.setattr(stream, "SUBSCRIBE_WITHIN_NS", 200_000_000)
    with Simulator(["coinbase"]) as running, connected(running.ws_url("coinbase")) as line:
        assert line.closing_code() == 1008


def test_coinbase_answers_an_alias_under_its_own_name(simulator):
    with connected(simulator.ws_url("coinbase")) as line:
        line.ask({"type": "subscribe", "channel": "ticker", "product_ids": ["BTC-USDC"]})
        assert line.next()["events"][0]["tickers"][0]["product_id"] == "BTC-USD"
    url = simulator.http_url("coinbase") + "/api/v3/brokerage/market/products"
    products = requests.get(url, timeout=DEADLINE_S).json()["products"]
    assert {p["product_id"]: p["alias"] for p in products}["BTC-USDC"] == "BTC-USD"
    futures = requests.get(url + "?product_type=FUTURE", timeout=DEADLINE_S).json()
    assert (futures["products"], futures["num_products"]) == ([], 0)
