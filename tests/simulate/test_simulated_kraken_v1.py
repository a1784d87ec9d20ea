"""Kraken's WebSocket v1 as simulated: events, arrays, and checksums over the texts sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
import requests
from support.folded_book import Folded
from support.simulated_line import DEADLINE_S, Line, connected, own_book

from monitor.simulate import Simulator

# The v1 guide's own example.
VECTOR_D = {
    "as": [f"0.0{price}/0.00000500" for price in range(5005, 5055, 5)],
    "bs": [
        f"0.0{price}/0.00000500"
        for price in (5000, 4995, 4990, 4980, 4975, 4970, 4965, 4960, 4955, 4950)
    ],
}


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(["kraken-v1"], rate=1000) as running:
        yield running


def subscribe(name: str, *pairs: str, **more: Any) -> dict[str, Any]:
    return {"event": "subscribe", "pair": list(pairs), "subscription": {"name": name, **more}}


def status(line: Line) -> dict[str, Any]:
    found: dict[str, Any] = line.until(
        lambda m: isinstance(m, dict) and m["event"] == "subscriptionStatus"
    )
    return found


def data(line: Line, channel: str) -> list[Any]:
    found: list[Any] = line.until(lambda m: isinstance(m, list) and m[-2] == channel)
    return found


def test_the_checksum_used_here_is_that_of_the_guide():
    book = Folded(10)
    book.snapshot({side: [[*t.split("/"), ""] for t in VECTOR_D[side]] for side in ("as", "bs")})
    assert book.checksum() == 974947235


def test_it_greets_and_answers_each_pair_of_a_request(simulator):
    with connected(simulator.ws_url("kraken-v1")) as line:
        greeting = line.next()
        assert (greeting["event"], greeting["status"]) == ("systemStatus", "online")
        assert greeting["connectionID"] >= 2**63
        line.ask({**subscribe("book", "XBT/USD", "BTC/USD", "XBTUSD", depth=10), "reqid": 1})
        accepted, unknown, unformed = (status(line) for _ in range(3))
        assert isinstance(accepted.pop("channelID"), int)
        assert accepted == {
            "channelName": "book-10",
            "event": "subscriptionStatus",
            "pair": "XBT/USD",
            "reqid": 1,
            "status": "subscribed",
            "subscription": {"depth": 10, "name": "book"},
        }
        assert unknown == {
            "errorMessage": "Currency pair not supported BTC/USD",
            "event": "subscriptionStatus",
            "pair": "BTC/USD",
            "reqid": 1,
            "status": "error",
            "subscription": {"depth": 10, "name": "book"},
        }
        assert unformed["errorMessage"] == "Currency pair not in ISO 4217-A3 format XBTUSD"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (subscribe("book", "XBT/USD", depth=11), "Subscription depth not supported"),
        (subscribe("nope", "XBT/USD"), "Subscription name invalid"),
        ({**subscribe("trade", "XBT/USD"), "event": "unsubscribe"}, "Subscription Not Found"),
        ({"event": "subscribe"}, "Malformed request"),
        ("nonsense", "Malformed request"),
    ],
)
def test_it_refuses_what_it_does_not_have(simulator, request_, message):
    with connected(simulator.ws_url("kraken-v1")) as line:
        line.ask(request_)
        assert line.until(lambda m: "errorMessage" in m)["errorMessage"] == message


def test_too_many_requests_are_refused(simulator):
    with connected(simulator.ws_url("kraken-v1")) as line:
        for number in range(60):
            line.ask({"event": "ping", "reqid": number})
        refused = line.until(lambda m: "errorMessage" in m)
        assert refused["errorMessage"] == "Exceeded msg rate"


def test_a_ping_is_answered_with_its_number(simulator):
    with connected(simulator.ws_url("kraken-v1")) as line:
        line.ask({"event": "ping", "reqid": 42})
        assert line.until(lambda m: m["event"] == "pong") == {"event": "pong", "reqid": 42}


def test_heartbeats_come_when_nothing_else_does():
    with (
        Simulator(["kraken-v1"], rate=0.1) as quiet,
        connected(quiet.ws_url("kraken-v1")) as line,
    ):
        line.ask(subscribe("spread", "XBT/USD"))
        status(line)
        data(line, "spread")
        assert line.next() == {"event": "heartbeat"}


def test_an_unsubscribed_channel_falls_silent(simulator):
    with connected(simulator.ws_url("kraken-v1")) as line:
        line.ask(subscribe("spread", "XBT/USD"))
        line.ask(subscribe("book", "ETH/USD", depth=25))
        data(line, "book-25")
        data(line, "spread")
        line.ask({**subscribe("spread", "XBT/USD"), "event": "unsubscribe"})
        ended = line.until(lambda m: isinstance(m, dict) and m.get("status") == "unsubscribed")
        assert (ended["channelName"], ended["pair"]) == ("spread", "XBT/USD")
        assert {line.next()[-2] for _ in range(50)} == {"book-25"}


@pytest.mark.parametrize("depth", [10, 25, 1000])
def test_books_fold_to_their_checksums(simulator, depth):
    book, lengths, again = Folded(depth), set(), 0
    with connected(simulator.ws_url("kraken-v1")) as line:
        line.ask(subscribe("book", "XBT/USD", depth=depth))
        first = data(line, f"book-{depth}")
        assert (first[-1], set(first[1])) == ("XBT/USD", {"as", "bs"})
        book.snapshot(first[1])
        for _ in range(400):
            _, *payloads, channel, pair = data(line, f"book-{depth}")
            assert (channel, pair) == (f"book-{depth}", "XBT/USD")
            assert ["c" in payload for payload in payloads] == [False] * (len(payloads) - 1) + [
                True
            ]
            book.update(payloads)
            assert int(payloads[-1]["c"]) == book.checksum()
            lengths.add(len(payloads))
            levels = [x for payload in payloads for side in "ab" for x in payload.get(side, [])]
            newest = max(Decimal(level[2]) for level in levels)
            for level in levels:
                assert re.fullmatch(r"\d+\.\d{5}", level[0])
                assert re.fullmatch(r"\d+\.\d{8}", level[1])
                assert re.fullmatch(r"\d+\.\d{6}", level[2])
                if level[3:] == ["r"]:
                    again += 1
                    assert Decimal(level[2]) < newest
    assert lengths == {1, 2}
    # Only a depth that pushes levels out has any to bring back.
    assert bool(again) == (depth < 1000)


def test_a_price_may_come_twice_in_one_update(simulator):
    with connected(simulator.ws_url("kraken-v1")) as line:
        line.ask(subscribe("book", "XBT/USD", depth=10))
        for _ in count():
            _, *payloads, _, _ = line.until(lambda m: isinstance(m, list) and len(m) >= 4)
            prices = [level[0] for payload in payloads for level in payload.get("a", [])]
            if len(set(prices)) < len(prices):
                break


def test_a_folded_book_is_the_simulators_own():
    book = Folded(1000)
    with (
        Simulator(["kraken-v1"], rate=50) as slow,
        connected(slow.ws_url("kraken-v1")) as line,
    ):
        line.ask(subscribe("book", "XDG/USD", depth=1000))
        book.snapshot(data(line, "book-1000")[1])
        at = until = Decimal(0)
        own: dict[str, Any] = {}
        for number in count(1):
            _, *payloads, _, _ = data(line, "book-1000")
            book.update(payloads)
            at = max(Decimal(x[2]) for p in payloads for side in "ab" for x in p.get(side, []))
            if number == 20:
                own = own_book(slow, "kraken-v1", "XDG/USD")
                until = Decimal(own["changed_ns"] // 1000) / 10**6
            if number >= 20 and at >= until:
                # This is the change that led to the state told of.
                assert at == until
                break
    assert own["sequence"] is None
    assert [list(level) for level in book.best("b")] == own["bids"]
    assert [list(level) for level in book.best("a")] == own["asks"]


def test_a_trade_lies_at_the_spread_before_it_on_the_takers_side(simulator):
    with connected(simulator.ws_url("kraken-v1")) as line:
        line.ask(subscribe("spread", "ETH/USD"))
        line.ask(subscribe("trade", "ETH/USD"))
        spread, trades = data(line, "spread")[1], 0
        while trades < 50:
            message = line.until(lambda m: isinstance(m, list))
            if message[-2] == "spread":
                spread = message[1]
                assert len(spread) == 5
                assert Decimal(spread[0]) < Decimal(spread[1])
                continue
            for price, size, _, side, kind, misc in message[1]:
                trades += 1
                assert price == spread[{"s": 0, "b": 1}[side]]
                assert Decimal(size) > 0
                assert (kind in "ml", misc) == (True, "")


def test_a_ticker_comes_at_once_and_with_each_order(simulator):
    with connected(simulator.ws_url("kraken-v1")) as line:
        line.ask(subscribe("ticker", "XBT/USD"))
        line.ask(subscribe("trade", "XBT/USD"))
        first = data(line, "ticker")[1]
        assert set(first) == set("abcvptlho")
        assert Decimal(first["b"][0]) < Decimal(first["a"][0])
        last = data(line, "trade")[1][-1]
        assert data(line, "ticker")[1]["c"] == last[:2]


def test_rest_has_the_old_names(simulator):
    url = simulator.http_url("kraken-v1") + "/0/public/"
    pairs = requests.get(url + "AssetPairs", timeout=DEADLINE_S).json()["result"]
    assert {pair["wsname"] for pair in pairs.values()} >= {"XBT/USD", "XDG/USD"}
    for name in ("Depth", "Ticker", "Trades"):
        answer = requests.get(url + name + "?pair=XBTUSD", timeout=DEADLINE_S).json()
        assert answer["error"] == []
        assert "XXBTZUSD" in answer["result"]
