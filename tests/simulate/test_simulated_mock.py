"""The simulated mock venue answers over HTTP alone, and the same for a seed every time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import requests
import websocket
from support.running import until

from monitor.simulate import Simulator

DEADLINE_S = 10
MICROSECONDS = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(["mock"]) as running:
        yield running


def get(simulator: Simulator, path: str, status: int = 200) -> Any:
    response = requests.get(simulator.http_url("mock") + path, timeout=DEADLINE_S)
    assert response.status_code == status
    return response.json()


def test_instruments_have_ticks_and_lots(simulator):
    instruments = get(simulator, "/v1/instruments")["instruments"]
    assert instruments[0] == {
        "symbol": "BTC-USD",
        "base": "BTC",
        "quote": "USD",
        "tick_size": "0.01",
        "lot_size": "0.00001",
    }


def test_quotes_come_in_the_order_asked_for_on_ticks_and_lots(simulator):
    steps = {item["symbol"]: item for item in get(simulator, "/v1/instruments")["instruments"]}
    quotes = get(simulator, "/v1/quotes?symbols=ETH-USD,BTC-USD")["quotes"]
    assert [quote["symbol"] for quote in quotes] == ["ETH-USD", "BTC-USD"]
    for quote in quotes:
        assert list(quote) == ["symbol", "bid", "bid_size", "ask", "ask_size", "seq", "time"]
        assert Decimal(quote["bid"]) < Decimal(quote["ask"])
        assert re.fullmatch(MICROSECONDS, quote["time"])
        for field, step in (("bid", "tick_size"), ("ask_size", "lot_size")):
            assert Decimal(quote[field]) % Decimal(steps[quote["symbol"]][step]) == 0


def test_the_sequence_of_a_quote_grows(simulator):
    def quote() -> Any:
        return get(simulator, "/v1/quotes?symbols=BTC-USD")["quotes"][0]

    first = quote()
    later = until(lambda: (now := quote())["seq"] != first["seq"] and now, "another quote")
    assert later["seq"] > first["seq"]
    assert later["time"] > first["time"]


def test_trades_count_up_by_one_and_go_on_after_an_id(simulator):
    trades = get(simulator, "/v1/trades?symbol=BTC-USD")["trades"]
    ids = [trade["id"] for trade in trades]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert {trade["side"] for trade in trades} == {"buy", "sell"}
    assert list(trades[0]) == ["id", "price", "size", "side", "time"]
    assert all(re.fullmatch(MICROSECONDS, trade["time"]) for trade in trades)
    rest = get(simulator, f"/v1/trades?symbol=BTC-USD&after={ids[-3]}")["trades"]
    assert rest[:2] == trades[-2:]
    path = f"/v1/trades?symbol=BTC-USD&after={ids[-1]}"
    assert until(lambda: get(simulator, path)["trades"], "a trade")[0]["id"] == ids[-1] + 1


def test_a_seed_gives_the_same_trades_on_every_run():
    def trades(seed: int) -> list[Any]:
        with Simulator(["mock"], seed=seed) as running:
            found = get(running, "/v1/trades?symbol=ETH-USD")["trades"][:100]
        return [(trade["id"], trade["price"], trade["size"], trade["side"]) for trade in found]

    first = trades(7)
    assert len(first) == 100
    assert trades(7) == first
    assert trades(8) != first


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/v1/quotes?symbols=BTC-USD,NOPE-USD", 404, "unknown symbol NOPE-USD"),
        ("/v1/trades?symbol=NOPE-USD", 404, "unknown symbol NOPE-USD"),
        ("/v1/trades?symbol=BTC-USD&after=x", 400, "expected after to be a trade id, found 'x'"),
        ("/v1/nope", 404, "no resource /v1/nope"),
    ],
)
def test_what_it_does_not_know_is_an_error_with_its_reason(simulator, path, status, error):
    assert get(simulator, path, status) == {"error": error}


def test_there_is_no_websocket(simulator):
    with pytest.raises(websocket.WebSocketBadStatusException, match="404"):
        websocket.create_connection(simulator.ws_url("mock") + "/v1", timeout=DEADLINE_S)


@pytest.mark.parametrize("status", [429, 418, 451, 403])
def test_http_faults_befall_it(status):
    with Simulator(["mock"], faults=[f"http-{status}:1"]) as simulator:
        get(simulator, "/v1/instruments", status)
