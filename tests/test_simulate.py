"""The simulated exchange: a market that could be one, and protocols as the venues describe them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
import websocket
from conftest import simulator_urls
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.simulate.faults import Fault, parse
from monitor.simulate.market import Market

Run = Callable[..., Any]
VENUES = ("binance", "kraken", "coinbase")


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_books_never_cross_and_trades_are_at_the_top(seed: int) -> None:
    market, again = Market(VENUES, seed), Market(VENUES, seed)
    last: dict[int, int] = {}
    for _ in range(300):
        tops = {id(item): (item.best_bid, item.best_ask) for item in market.listings}
        event, same = market.step(), again.step()
        assert (event.trade, event.top_moved) == (same.trade, same.top_moved)
        bid, ask = tops[id(event.listing)]
        assert event.listing.best_bid < event.listing.best_ask
        if event.trade:
            assert event.trade.ticks == (ask if event.trade.buy else bid)
            previous = last.get(id(event.listing), event.trade.trade_id - 1)
            assert event.trade.trade_id == previous + 1
            last[id(event.listing)] = event.trade.trade_id


def opened(background: Run, venue: str, path: str) -> tuple[websocket.WebSocket, str]:
    _, urls = simulator_urls(background("simulate", venue, "--rate", 500)).split("=")
    ws, http = urls.split(",")
    return websocket.create_connection(ws + path, timeout=10), http


def next_with(ws: websocket.WebSocket, *keys: str) -> dict[str, Any]:
    """Return the next message that has all the keys."""
    while True:
        message: dict[str, Any] = json.loads(ws.recv())
        if all(key in message for key in keys):
            return message


def test_binance_acknowledges_unknown_streams_and_refuses_malformed_ones(background: Run) -> None:
    ws, http = opened(background, "binance", "/stream")
    ws.send('{"method":"SUBSCRIBE","params":["nopenope@trade"],"id":1}')
    assert next_with(ws, "id") == {"result": None, "id": 1}
    ws.send('{"method":"SUBSCRIBE","params":["nonsense"],"id":2}')
    assert next_with(ws, "id")["error"]["code"] == 2
    ws.send('{"method":"LIST_SUBSCRIPTIONS","id":3}')
    assert next_with(ws, "id") == {"result": ["nopenope@trade"], "id": 3}
    answer = requests.get(f"{http}/api/v3/depth", {"symbol": "NOPE"}, timeout=10)
    assert (answer.status_code, answer.json()["code"]) == (400, -1121)
    ws.close()


def test_kraken_acknowledges_each_symbol_and_outlives_a_refusal(background: Run) -> None:
    ws, _ = opened(background, "kraken", "/v2")
    assert next_with(ws, "channel")["data"][0]["connection_id"] > 2**63
    request = {"channel": "ticker", "symbol": ["XBT/USD", "BTC/USD"], "event_trigger": "bbo"}
    ws.send(json.dumps({"method": "subscribe", "params": request, "req_id": 7}))
    refused = next_with(ws, "success")
    assert (refused["success"], refused["symbol"]) == (False, "XBT/USD")
    assert refused["error"].startswith("Currency pair not supported")
    accepted = next_with(ws, "success")
    assert (accepted["success"], accepted["result"]["symbol"]) == (True, "BTC/USD")
    assert next_with(ws, "data")["type"] == "snapshot"
    assert next_with(ws, "data")["type"] == "update"
    ws.close()


def test_coinbase_counts_every_frame_of_the_connection(background: Run) -> None:
    ws, _ = opened(background, "coinbase", "/")
    for channel in ("heartbeats", "ticker", "market_trades"):
        asked = {"type": "subscribe", "channel": channel}
        if channel != "heartbeats":
            asked["product_ids"] = ["BTC-USD", "ETH-USD"]  # type: ignore[assignment]
        ws.send(json.dumps(asked))
    frames = [json.loads(ws.recv()) for _ in range(200)]
    assert [frame["sequence_num"] for frame in frames] == list(range(200))
    assert {"ticker", "market_trades", "subscriptions"} <= {frame["channel"] for frame in frames}
    ws.send('{"type":"subscribe","channel":"ticker","product_ids":["NOPE-USD"]}')
    assert "NOPE-USD" in next_with(ws, "type")["message"]
    ws.close()


def test_faults_are_read_or_refused_with_a_reason() -> None:
    assert parse("gap:0.5") == Fault("gap", 0.5, None)
    assert parse("half-open@3") == Fault("half-open", None, 3.0)
    for text in ("fire:1", "gap", "gap:2", "gap:x"):
        with pytest.raises(ValueError, match="expected"):
            parse(text)
