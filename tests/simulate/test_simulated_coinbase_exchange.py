"""Coinbase Exchange as simulated: names echoed, sides of maker and taker, books without numbers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
import requests
from support.simulated_line import DEADLINE_S, connected, own_book

from monitor.simulate import Simulator
from monitor.simulate.venues.coinbase_exchange import stream

VENUE = "coinbase-exchange"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator([VENUE], rate=1000) as running:
        yield running


# The fields of the venue's documented examples.
FIELDS = {
    "match": "type trade_id sequence maker_order_id taker_order_id time product_id size price side",
    "ticker": "type sequence product_id price open_24h volume_24h low_24h high_24h volume_30d "
    "best_bid best_bid_size best_ask best_ask_size side time trade_id last_size",
    "heartbeat": "type sequence last_trade_id product_id time",
    "l2update": "type product_id changes time",
}


def subscribe(*channels: Any, products: tuple[str, ...] = ("BTC-USD",)) -> dict[str, Any]:
    return {"type": "subscribe", "product_ids": list(products), "channels": list(channels)}


def test_the_full_state_is_echoed_with_the_names_it_has_inside(simulator):
    with connected(simulator.ws_url(VENUE)) as line:
        line.ask(subscribe("level2_batch", "matches"))
        line.ask(subscribe({"name": "ticker", "product_ids": ["ETH-USD"]}, products=()))
        line.until(lambda m: m["type"] == "subscriptions")
        assert line.until(lambda m: m["type"] == "subscriptions") == {
            "type": "subscriptions",
            "channels": [
                {"name": "level2_50", "product_ids": ["BTC-USD"], "account_ids": None},
                {"name": "matches", "product_ids": ["BTC-USD"], "account_ids": None},
                {"name": "ticker", "product_ids": ["ETH-USD"], "account_ids": None},
            ],
        }
        line.ask({**subscribe("level2_batch", "matches"), "type": "unsubscribe"})
        state = line.until(lambda m: m["type"] == "subscriptions")
        assert [channel["name"] for channel in state["channels"]] == ["ticker"]
        assert {line.next()["type"] for _ in range(20)} == {"ticker"}


def test_messages_have_the_documented_fields(simulator):
    with connected(simulator.ws_url(VENUE)) as line:
        line.ask(subscribe("matches", "ticker", "heartbeat", "level2_batch"))
        for kind, fields in FIELDS.items():
            found = line.until(lambda m, kind=kind: m["type"] == kind)
            assert set(found) == set(fields.split())


def test_matches_have_the_makers_side_and_tickers_the_takers(simulator):
    with connected(simulator.ws_url(VENUE)) as line:
        line.ask(subscribe("matches", "ticker"))
        last = line.until(lambda m: m["type"] == "last_match")
        ticker = line.until(lambda m: m["type"] == "ticker")
        assert (ticker["trade_id"], ticker["price"]) == (last["trade_id"], last["price"])
        matches, tickers = [last], [ticker]
        while len(tickers) < 60:
            message = line.next()
            (tickers if message["type"] == "ticker" else matches).append(message)
    ids = [match["trade_id"] for match in matches]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    by_id = {match["trade_id"]: match for match in matches}
    # An order that met several makers has one ticker: that of its last fill.
    assert len(tickers) < len(matches)
    for ticker in tickers:
        match = by_id[ticker["trade_id"]]
        assert {ticker["side"], match["side"]} == {"buy", "sell"}
        assert (ticker["last_size"], ticker["time"]) == (match["size"], match["time"])
        assert Decimal(ticker["best_bid"]) < Decimal(ticker["best_ask"])
    steps = {b["sequence"] - a["sequence"] for a, b in pairwise(matches)}
    assert min(steps) >= 1
    assert max(steps) > 1


def test_a_buyer_takes_from_the_asks(simulator):
    with connected(simulator.ws_url(VENUE)) as line:
        line.ask(subscribe("matches", "level2_batch", products=("ETH-USD",)))
        snapshot = line.until(lambda m: m["type"] == "snapshot")
        told = {"buy": dict(snapshot["bids"]), "sell": dict(snapshot["asks"])}
        matches = []
        while len(matches) < 400:
            message = line.next()
            if message["type"] == "match":
                matches.append(message)
            for side, price, size in message.get("changes", ()):
                told[side][price] = size
    # What is matched was once told of on the maker's side; for the last ones that is still due.
    for match in matches[:200]:
        assert match["price"] in told[match["side"]]


def seconds(message: dict[str, Any]) -> float:
    return datetime.fromisoformat(message["time"]).timestamp()


def test_changes_come_every_fifty_milliseconds_and_fold_to_the_simulators_own_book():
    with Simulator([VENUE], rate=20) as slow, connected(slow.ws_url(VENUE)) as line:
        line.ask(subscribe("level2_batch"))
        snapshot = line.until(lambda m: m["type"] == "snapshot")
        assert "time" not in snapshot
        book = {"buy": dict(snapshot["bids"]), "sell": dict(snapshot["asks"])}
        last_s, equal, updates = 0.0, 0, 0
        while equal < 5:
            update = line.next()
            assert list(update) == ["type", "product_id", "changes", "time"]
            assert seconds(update) - last_s >= 0.05
            last_s, updates = seconds(update), updates + 1
            for side, price, size in update["changes"]:
                book[side].pop(price, None)
                if Decimal(size):
                    book[side][price] = size
            assert max(map(Decimal, book["buy"])) < min(map(Decimal, book["sell"]))
            own = own_book(slow, VENUE, "BTC-USD")
            assert isinstance(own["sequence"], int)
            bids = sorted(book["buy"].items(), key=lambda level: -Decimal(level[0]))
            asks = sorted(book["sell"].items(), key=lambda level: Decimal(level[0]))
            equal += [[*map(list, bids)], [*map(list, asks)]] == [own["bids"], own["asks"]]
            # Now and then the market moved on between the update and the question.
            assert equal or updates < 50


def test_a_heartbeat_names_the_last_trade(simulator):
    with connected(simulator.ws_url(VENUE)) as line:
        line.ask(subscribe("heartbeat", "matches"))
        last = line.until(lambda m: m["type"] == "last_match")
        beats = 0
        while beats < 2:
            message = line.next()
            if message["type"] == "heartbeat":
                beats += 1
                assert message["last_trade_id"] == last["trade_id"]
                assert message["sequence"] >= last["sequence"]
                assert message["product_id"] == "BTC-USD"
            else:
                last = message


@pytest.mark.parametrize(
    ("request_", "message", "reason"),
    [
        (
            subscribe("ticker", products=("NOPE-USD",)),
            "Failed to subscribe",
            "NOPE-USD is not a valid product",
        ),
        (subscribe("nope"), "Failed to subscribe", "nope is not a valid channel"),
        *(
            (
                subscribe(channel),
                "Failed to subscribe",
                "level2, level3, and full channels now require authentication. ",
            )
            for channel in ("level2", "level3", "full")
        ),
        ({"type": "hello"}, "Type has to be either subscribe or unsubscribe", None),
        ("nonsense", "Malformed JSON", None),
    ],
)
def test_errors_say_why(simulator, request_, message, reason):
    with connected(simulator.ws_url(VENUE)) as line:
        line.ask(request_)
        error = line.next()
        assert (error["type"], error["message"]) == ("error", message)
        assert ("reason" in error) == (reason is not None)
        assert error.get("reason", "").startswith(reason or "")
        # The line lives on.
        line.ask(subscribe("ticker"))
        assert line.next()["type"] == "subscriptions"


def test_who_does_not_subscribe_in_time_is_cut(monkeypatch):
    monkeypatch.setattr(stream, "SUBSCRIBE_WITHIN_NS", 200_000_000)
    with Simulator([VENUE]) as running, connected(running.ws_url(VENUE)) as line:
        assert line.closing_code() == 1008


def test_rest_shows_the_book_and_the_trades_newest_first(simulator):
    def get(path: str) -> requests.Response:
        return requests.get(simulator.http_url(VENUE) + path, timeout=DEADLINE_S)

    products = get("/products").json()
    btc = next(product for product in products if product["id"] == "BTC-USD")
    assert (btc["base_currency"], btc["quote_increment"], btc["status"]) == (
        "BTC",
        "0.01",
        "online",
    )
    top, whole = (get(f"/products/BTC-USD/book?level={level}").json() for level in (1, 2))
    assert (len(top["bids"]), len(top["asks"])) == (1, 1)
    assert min(len(whole["bids"]), len(whole["asks"])) >= 100
    assert [len(level) for level in whole["bids"][:3]] == [3, 3, 3]
    assert Decimal(whole["bids"][0][0]) < Decimal(whole["asks"][0][0])
    assert whole["sequence"] >= top["sequence"]
    response = get("/products/BTC-USD/trades?limit=10")
    trades = response.json()
    newest = trades[0]["trade_id"]
    assert [trade["trade_id"] for trade in trades] == list(range(newest, newest - 10, -1))
    assert response.headers["cb-before"] == str(newest)
    assert response.headers["cb-after"] == str(newest - 9)
    older = get(f"/products/BTC-USD/trades?limit=1&after={newest - 9}").json()
    assert older[0]["trade_id"] == newest - 10
    newer = get(f"/products/BTC-USD/trades?before={newest - 3}").json()
    assert newer[-1]["trade_id"] == newest - 2
    assert get("/products/BTC-USD/ticker").json()["trade_id"] >= newest
    unknown = get("/products/NOPE-USD/book")
    assert (unknown.status_code, unknown.json()) == (404, {"message": "NotFound"})
