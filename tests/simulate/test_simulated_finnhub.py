"""The simulated Finnhub speaks as the real one does: keys, silence, batches and its limits."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
import websocket
from support import simulated_line

from monitor.simulate import Simulator
from monitor.simulate.venues.finnhub import stream

DEADLINE_S = simulated_line.DEADLINE_S


class Line(simulated_line.Line):
    """A client's connection: symbols out, JSON in."""

    def ask(self, kind: str, *symbols: str) -> None:
        for symbol in symbols:
            super().ask({"type": kind, "symbol": symbol})

    def next(self) -> Any:
        return json.loads(self.ws.recv())

    def trades(self, count: int) -> list[Any]:
        found: list[Any] = []
        while len(found) < count:
            found += self.until(lambda m: m["type"] == "trade")["data"]
        return found

    def is_cut(self) -> bool:
        while True:
            opcode, _ = self.ws.recv_data(control_frame=True)
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return True


@contextmanager
def connected(simulator: Simulator, key: str) -> Iterator[Line]:
    url = f"{simulator.ws_url('finnhub')}?token={key}"
    ws = websocket.create_connection(url, timeout=DEADLINE_S)
    try:
        yield Line(ws)
    finally:
        ws.shutdown()


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(["finnhub"], rate=500) as running:
        yield running


def get(simulator: Simulator, path: str, status: int = 200) -> Any:
    url = f"{simulator.http_url('finnhub')}/api/v1/{path}"
    response = requests.get(url, headers={"X-Finnhub-Token": "rest"}, timeout=DEADLINE_S)
    assert response.status_code == status
    return response.json()


@pytest.mark.parametrize("query", ["", "?token=", "?token=bad"])
def test_without_a_good_key_nothing_opens(simulator, query):
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(simulator.ws_url("finnhub") + query, timeout=DEADLINE_S)
    assert refused.value.status_code == 401
    assert json.loads(refused.value.resp_body) == {"error": "Invalid API key."}
    url = f"{simulator.http_url('finnhub')}/api/v1/quote{query}"
    response = requests.get(url, timeout=DEADLINE_S)
    assert (response.status_code, response.json()) == (401, {"error": "Invalid API key."})


def test_a_key_may_be_in_the_address_of_a_rest_request(simulator):
    url = f"{simulator.http_url('finnhub')}/api/v1/quote?symbol=AAPL&token=key"
    assert requests.get(url, timeout=DEADLINE_S).json()["c"] > 0


def test_trades_come_in_batches_that_mix_symbols(simulator):
    with connected(simulator, "mixing") as line:
        line.ask("subscribe", "AAPL", "TSLA", "BINANCE:BTCUSDT", "OANDA:EUR_USD")
        message = line.until(lambda m: len({item["s"] for item in m["data"]}) > 1)
        assert list(message) == ["data", "type"]
        trades = line.trades(600)
    by_symbol: dict[str, list[Any]] = {}
    for trade in trades:
        assert set(trade) - {"c"} == {"p", "s", "t", "v"}
        assert abs(trade["t"] - time.time() * 1000) < 60_000
        by_symbol.setdefault(trade["s"], []).append(trade)
    assert by_symbol.keys() == {"AAPL", "TSLA", "BINANCE:BTCUSDT", "OANDA:EUR_USD"}
    # A venue of currencies tells no volumes: its items only move the price.
    assert {trade["v"] for trade in by_symbol["OANDA:EUR_USD"]} == {0}
    assert min(trade["v"] for trade in by_symbol["AAPL"]) > 0
    kinds = {type(trade["c"]) if "c" in trade else None for trade in trades}
    assert kinds == {list, type(None), None}
    conditions = [trade["c"] for trade in by_symbol["AAPL"] if trade["c"] is not None]
    assert ["1", "8", "24", "12"] in conditions


def test_a_subscription_is_not_acknowledged_and_a_closed_market_sends_pings_alone(monkeypatch):
    monkeypatch.setattr(stream, "PING_NS", 200_000_000)
    with Simulator(["finnhub"], rate=500) as running, connected(running, "key") as line:
        line.ask("subscribe", "IBM")
        assert [line.next() for _ in range(3)] == [{"type": "ping"}] * 3


def test_the_51st_symbol_is_too_many_until_another_is_let_go(simulator):
    us = [item["symbol"] for item in get(simulator, "stock/symbol?exchange=US")]
    assert len(us) > 51
    quiet = [symbol for symbol in us if get(simulator, f"quote?symbol={symbol}")["t"] == 0]
    too_many = {"type": "error", "msg": "Subscribing to too many symbols"}
    with connected(simulator, "many") as line:
        line.ask("subscribe", *quiet[:50])
        line.ask("subscribe", quiet[0])
        line.ask("subscribe", "AAPL")
        assert line.next() == too_many
        line.ask("unsubscribe", quiet[0])
        line.ask("subscribe", "AAPL")
        assert line.trades(1)[0]["s"] == "AAPL"
        line.ask("subscribe", "MSFT")
        assert line.until(lambda m: m["type"] != "trade") == too_many


def test_an_unknown_symbol_is_named(simulator):
    with connected(simulator, "unknown") as line:
        line.ask("subscribe", "FX:EURUSD")
        assert line.next() == {"msg": "Invalid symbol FX:EURUSD", "type": "error"}
        line.ws.send("nonsense")
        assert line.next()["type"] == "error"


def test_who_unsubscribes_is_told_no_more(simulator):
    with connected(simulator, "leaving") as line:
        line.ask("subscribe", "AAPL", "MSFT")
        line.until(lambda m: {"AAPL", "MSFT"} <= {item["s"] for item in m["data"]})
        line.ask("unsubscribe", "AAPL")
        line.ask("subscribe", "NOPE")
        line.until(lambda m: m["type"] == "error")
        # What waited for a batch when the request came may still come.
        line.next()
        assert {trade["s"] for trade in line.trades(50)} == {"MSFT"}


def test_a_second_connection_with_a_key_takes_both_down(simulator):
    with connected(simulator, "other") as other:
        with connected(simulator, "one") as first, connected(simulator, "one") as second:
            assert first.is_cut()
            assert second.is_cut()
        with connected(simulator, "one") as third:
            for line in (third, other):
                line.ask("subscribe", "AAPL")
                assert line.trades(1)[0]["s"] == "AAPL"


def test_a_quote_holds_the_last_price_in_seconds_and_zeros_for_the_unknown(simulator):
    with connected(simulator, "quoting") as line:
        line.ask("subscribe", "TSLA")
        seen = line.trades(5)
        quote = get(simulator, "quote?symbol=TSLA")
        while (quote["c"], quote["t"]) not in {(item["p"], item["t"] // 1000) for item in seen}:
            seen += line.trades(1)
    assert list(quote) == ["c", "d", "dp", "h", "l", "o", "pc", "t"]
    assert quote["l"] <= quote["c"] <= quote["h"]
    assert quote["d"] == pytest.approx(quote["c"] - quote["pc"])
    nothing = {"c": 0, "d": None, "dp": None, "h": 0, "l": 0, "o": 0, "pc": 0, "t": 0}
    assert get(simulator, "quote?symbol=NOPE") == nothing


def test_bid_and_ask_stand_around_the_price_in_milliseconds(simulator):
    best = get(simulator, "stock/bidask?symbol=MSFT")
    assert best["b"] < best["a"]
    assert min(best["bv"], best["av"]) > 0
    assert abs(best["t"] - time.time() * 1000) < 60_000


def test_symbols_are_listed_by_exchange(simulator):
    crypto = get(simulator, "crypto/symbol?exchange=BINANCE")
    assert {item["symbol"]: item["displaySymbol"] for item in crypto}["BINANCE:BTCUSDT"] == (
        "BTC/USDT"
    )
    forex = get(simulator, "forex/symbol?exchange=OANDA")
    assert [item["symbol"] for item in forex] == ["OANDA:EUR_USD"]
    us = get(simulator, "stock/symbol?exchange=US")
    assert {"AAPL", "TSLA", "MSFT"} <= {item["symbol"] for item in us}
    assert {item["currency"] for item in us} == {"USD"}
    assert get(simulator, "crypto/symbol?exchange=NOPE") == []
    assert get(simulator, "stock/market-status?exchange=US")["isOpen"] is True
    assert "error" in get(simulator, "nope", 404)


def test_too_many_requests_are_told_as_the_venue_tells_it():
    with Simulator(["finnhub"], faults=["http-429:1"]) as running:
        assert get(running, "quote?symbol=AAPL", 429)["error"].startswith("API limit reached.")
        with pytest.raises(websocket.WebSocketBadStatusException, match="429"):
            websocket.create_connection(running.ws_url("finnhub") + "?token=key")
