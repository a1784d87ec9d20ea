"""What the simulated exchange tells of itself: its faults, its books; and the fault tls."""

from __future__ import annotations

import json
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import requests
import websocket
from support.folded_book import Folded
from support.simulated_line import DEADLINE_S, connected, injected, own_book
from support.simulator_commands import command

from monitor.simulate import Simulator

# The contract's names, of those faults that befall a venue.
NAMES = {"gap", "duplicate", "reorder", "corrupt", "crc", "slice", "fragment"}
NAMES |= {"reset", "half-open", "flap", "life", "http-429", "http-418", "http-451", "http-403"}


def struck(simulator: Simulator, venue: str) -> dict[str, int]:
    return {name: count for name, count in injected(simulator, venue).items() if count}


def test_every_venue_has_a_count_of_every_fault():
    with Simulator(["binance", "kraken-v1", "coinbase-exchange"]) as simulator:
        for venue in ("binance", "kraken-v1", "coinbase-exchange"):
            counts = injected(simulator, venue)
            assert counts.keys() >= NAMES
            assert set(counts.values()) == {0}


def trade_ids(line: Any) -> Any:
    while True:
        yield line.next()["t"]


def test_lost_and_repeated_messages_are_counted_as_often_as_they_show():
    for fault in ("gap", "duplicate", "reorder"):
        with (
            Simulator(["binance", "kraken"], rate=400, faults=[f"{fault}@0.25"]) as simulator,
            connected(simulator.ws_url("binance") + "/ws/btcusdt@trade") as line,
        ):
            seen, expected = 0, 0
            for number in trade_ids(line):
                expected = expected or number
                if fault == "gap":
                    seen += max(0, number - expected)
                elif fault == "duplicate":
                    seen += number == expected - 1
                else:
                    seen += number < expected - 1
                expected = max(expected, number + 1)
                # What is under way is counted before it shows: sooner or later none is.
                if seen >= 4 and injected(simulator, "binance")[fault] == seen:
                    break
            assert struck(simulator, "binance") == {fault: seen}
            assert struck(simulator, "kraken") == {}


def strikes(simulator: Simulator, venue: str) -> Any:
    url = simulator.http_url(venue).removesuffix(f"/{venue}") + "/_simulate/strikes"
    return requests.get(url, params={"venue": venue}, timeout=DEADLINE_S)


def test_the_messages_that_were_lost_are_told():
    with (
        Simulator(["binance"], rate=400, faults=["gap@0.25"]) as simulator,
        connected(simulator.ws_url("binance") + "/ws/btcusdt@trade") as line,
    ):
        ids = trade_ids(line)
        before = next(ids)
        lost: list[int] = []
        while len(lost) < 3:
            number = next(ids)
            lost += range(before + 1, number)
            before = number
        told = strikes(simulator, "binance").json()
        assert [json.loads(strike["message"])["t"] for strike in told[:3]] == lost
        assert {(strike["fault"], strike["overtaken_by"]) for strike in told} == {("gap", None)}
        refused = strikes(simulator, "kraken")
        assert (refused.status_code, refused.text) == (
            404,
            "expected a venue of binance, found 'kraken'\n",
        )


def test_of_two_messages_that_changed_places_both_are_told():
    with (
        Simulator(["binance"], rate=400, faults=["reorder@0.25"]) as simulator,
        connected(simulator.ws_url("binance") + "/ws/btcusdt@trade") as line,
    ):
        ids = trade_ids(line)
        before = next(ids)
        while (number := next(ids)) > before:
            before = number
        (told, *_) = strikes(simulator, "binance").json()
        pair = [json.loads(told[name])["t"] for name in ("message", "overtaken_by")]
        assert pair == [number, before]


def test_wrong_checksums_of_v1_are_counted_and_nothing_else_is_wrong():
    book, wrong = Folded(10), 0
    with (
        Simulator(["kraken-v1"], rate=200, faults=["crc@0.25"]) as simulator,
        connected(simulator.ws_url("kraken-v1")) as line,
    ):
        subscription = {"name": "book", "depth": 10}
        line.ask({"event": "subscribe", "pair": ["XBT/USD"], "subscription": subscription})
        book.snapshot(line.until(lambda m: isinstance(m, list))[1])
        while wrong < 4 or injected(simulator, "kraken-v1")["crc"] != wrong:
            _, *payloads, _, _ = line.until(lambda m: isinstance(m, list))
            book.update(payloads)
            told = int(payloads[-1]["c"])
            assert told - book.checksum() in (0, 1)
            wrong += told != book.checksum()
        assert struck(simulator, "kraken-v1") == {"crc": wrong}


def test_lost_batches_of_coinbase_exchange_are_counted_and_show_as_another_book():
    with (
        Simulator(["coinbase-exchange"], rate=100, faults=["gap:1"]) as simulator,
        connected(simulator.ws_url("coinbase-exchange")) as line,
    ):
        request = {"type": "subscribe", "product_ids": ["BTC-USD"]}
        line.ask({**request, "channels": ["level2_batch"]})
        snapshot = line.until(lambda m: m["type"] == "snapshot")
        while injected(simulator, "coinbase-exchange")["gap"] < 5:
            line.ask({**request, "channels": ["heartbeat"]})
            # Answers are spared, so the line looks well.
            assert line.next()["type"] == "subscriptions"
        own = own_book(simulator, "coinbase-exchange", "BTC-USD")
        assert [snapshot["bids"], snapshot["asks"]] != [own["bids"], own["asks"]]


@pytest.mark.parametrize("fault", ["reset@0.2", "half-open@0.2", "life@0.2", "flap:1"])
def test_a_broken_connection_counts_once(fault):
    with (
        Simulator(["kraken-v1"], faults=[fault]) as simulator,
        connected(simulator.ws_url("kraken-v1")) as line,
    ):
        line.ws.settimeout(1)
        line.ask({"event": "subscribe", "pair": ["XBT/USD"], "subscription": {"name": "spread"}})
        with pytest.raises((OSError, websocket.WebSocketException)):
            while line.ws.recv():
                pass
            raise ConnectionError("closed by a frame")
        name = fault.partition("@")[0].partition(":")[0]
        assert struck(simulator, "kraken-v1") == {name: 1}


def test_a_connection_is_cut_at_its_first_request_or_not_at_all():
    with Simulator(["kraken"], faults=["flap:0.5"]) as simulator:
        answered = []
        for _ in range(12):
            with connected(simulator.ws_url("kraken") + "/v2") as line:
                pongs = 0
                with suppress(OSError, websocket.WebSocketException):
                    for _ in range(10):
                        line.ask({"method": "ping"})
                        line.until(lambda m: m.get("method") == "pong")
                        pongs += 1
                answered.append(pongs)
        assert set(answered) == {0, 10}
        assert struck(simulator, "kraken") == {"flap": answered.count(0)}


def test_refused_requests_are_counted_but_questions_to_the_simulator_are_never_refused():
    with Simulator(["coinbase-exchange"], faults=["http-429:1"]) as simulator:
        for _ in range(3):
            url = simulator.http_url("coinbase-exchange") + "/products"
            response = requests.get(url, timeout=DEADLINE_S)
            assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
        assert struck(simulator, "coinbase-exchange") == {"http-429": 3}


def test_a_timed_refusal_befalls_the_next_request_of_each_venue():
    venues = ["binance", "coinbase-exchange", "mock"]
    with Simulator(venues, faults=["http-429@1"]) as simulator:

        def status(venue: str) -> int:
            return requests.get(simulator.http_url(venue), timeout=DEADLINE_S).status_code

        first, *others = venues
        while status(first) != 429:
            continue
        assert [status(venue) for venue in others] == [429, 429]
        assert [struck(simulator, venue) for venue in venues] == [{"http-429": 1}] * 3


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"venue": "kraken", "symbol": "XBT/USD"}, "a symbol of BTC/USD, "),
        ({"venue": "binance", "symbol": "BTCUSDT"}, "a venue that is simulated, "),
        ({}, "a venue that is simulated, "),
    ],
)
def test_a_book_that_is_not_there_is_named(query, expected):
    with Simulator(["kraken"]) as simulator:
        url = simulator.http_url("kraken").removesuffix("/kraken") + "/_simulate/book"
        response = requests.get(url, params=query, timeout=DEADLINE_S)
        assert response.status_code == 404
        assert response.text.startswith(f"expected {expected}")


def test_a_book_of_kraken_is_the_one_that_the_message_of_that_time_leads_to():
    with Simulator(["kraken"], rate=50) as simulator:
        own = own_book(simulator, "kraken", "BTC/USD")
        with connected(simulator.ws_url("kraken") + "/v2") as line:
            params = {"channel": "book", "symbol": ["BTC/USD"], "depth": 1000}
            line.ask({"method": "subscribe", "params": params})
            snapshot = line.until(lambda m: m.get("channel") == "book")["data"][0]
            now = changed = ""
            while not now or now != changed:
                own = own_book(simulator, "kraken", "BTC/USD")
                seconds, ns = divmod(own["changed_ns"], 10**9)
                changed = (
                    f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns // 1000:06d}Z"
                )
                while now < changed:
                    message = line.until(lambda m: m.get("channel") == "book")["data"][0]
                    now = message["timestamp"]
                    for side in ("bids", "asks"):
                        levels = {level["price"]: level["qty"] for level in snapshot[side]}
                        for level in message[side]:
                            levels[level["price"]] = level["qty"]
                        kept = [(p, q) for p, q in levels.items() if Decimal(q)]
                        kept.sort(key=lambda level: Decimal(level[0]), reverse=side == "bids")
                        snapshot[side] = [{"price": price, "qty": qty} for price, qty in kept]
    assert own["sequence"] is None
    for side in ("bids", "asks"):
        assert [[level["price"], level["qty"]] for level in snapshot[side]] == own[side]


def test_the_certificate_of_the_fault_tls_is_refused_and_says_another_host():
    with Simulator(["kraken"], faults=["tls:1"]) as simulator:
        url, root = simulator.ws_url("kraken"), simulator.http_url("kraken")
        assert (url[:6], root[:8]) == ("wss://", "https://")
        with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
            websocket.create_connection(url + "/v2", timeout=DEADLINE_S)
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(root + "/0/public/Time", timeout=DEADLINE_S)
        # Trusting the issuer is not enough: the name is wrong as well.
        pem = ssl.get_server_certificate(("127.0.0.1", simulator.port))
        context = ssl.create_default_context(cadata=pem)
        with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
            websocket.create_connection(
                url + "/v2", timeout=DEADLINE_S, sslopt={"context": context}
            )
        # Who looks away is served, and can ask how many handshakes there were.
        ws = websocket.create_connection(
            url + "/v2", timeout=DEADLINE_S, sslopt={"cert_reqs": ssl.CERT_NONE}
        )
        assert json.loads(ws.recv())["channel"] == "status"
        ws.shutdown()
        with pytest.warns(match="Unverified HTTPS"):
            told = requests.get(
                root.removesuffix("/kraken") + "/_simulate", verify=False, timeout=DEADLINE_S
            )
        assert told.json()["tls"] == 6


def test_a_timed_tls_fault_leaves_most_handshakes_with_the_right_certificate():
    with Simulator(["kraken"], faults=["tls@600"]) as simulator:
        pem = ssl.get_server_certificate(("127.0.0.1", simulator.port))
        context = ssl.create_default_context(cadata=pem)
        ws = websocket.create_connection(
            simulator.ws_url("kraken") + "/v2", timeout=DEADLINE_S, sslopt={"context": context}
        )
        assert json.loads(ws.recv())["channel"] == "status"
        ws.shutdown()


def test_the_command_tells_addresses_of_tls():
    with command("kraken-v1", "--fault", "tls:1") as running:
        assert running.stdout is not None
        venue, ws, http = running.stdout.readline().split()
        assert (venue, ws[:6], http[:8]) == ("kraken-v1", "wss://", "https://")
        running.terminate()
        out, err = running.communicate(timeout=DEADLINE_S)
        assert (running.returncode, out, err) == (0, "", "")
