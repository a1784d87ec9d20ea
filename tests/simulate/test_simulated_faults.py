"""Each fault of the simulated exchange is seen by a client as what it is called."""

from __future__ import annotations

import json
import signal
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
import requests
import websocket
from support.simulator_commands import command

from monitor.simulate import Simulator
from monitor.simulate.wire.faults import Fault, parse

DEADLINE_S = 10
TRADES = "/ws/btcusdt@trade"


@contextmanager
def connected(simulator: Simulator, venue: str, path: str = "") -> Iterator[websocket.WebSocket]:
    ws = websocket.create_connection(simulator.ws_url(venue) + path, timeout=DEADLINE_S)
    try:
        yield ws
    finally:
        ws.shutdown()


@contextmanager
def trades(*faults: str, rate: float = 5000) -> Iterator[websocket.WebSocket]:
    with (
        Simulator(["binance"], rate=rate, faults=faults) as simulator,
        connected(simulator, "binance", TRADES) as ws,
    ):
        yield ws


def trade_ids(ws: websocket.WebSocket, count: int) -> list[int]:
    return [json.loads(ws.recv())["t"] for _ in range(count)]


def steps(ids: list[int]) -> set[int]:
    return {after - before for before, after in pairwise(ids)}


def test_without_faults_nothing_is_missing_twice_or_late():
    with trades() as ws:
        assert steps(trade_ids(ws, 300)) == {1}


def test_a_gap_is_a_hole_in_the_trade_ids():
    with trades("gap:0.1") as ws:
        found = steps(trade_ids(ws, 300))
    assert {1, 2} <= found
    assert min(found) == 1


def test_a_timed_gap_comes_once_every_so_many_seconds():
    with trades("gap@0.3", rate=500) as ws:
        ids: list[int] = []
        while not ids or len(ids) < 2 or ids[-1] - ids[0] == len(ids) - 1:
            ids += trade_ids(ws, 1)
        assert ids[-1] - ids[-2] == 2
        # The next 20 come within the next 0.3 s: no second gap among them.
        assert steps(trade_ids(ws, 20)) == {1}


def test_a_duplicate_is_the_same_frame_again():
    with trades("duplicate:0.1") as ws:
        frames = [ws.recv() for _ in range(300)]
    again = [a for a, b in pairwise(frames) if a == b]
    assert again
    assert len(frames) - len(set(frames)) == len(again)


def test_reordering_swaps_neighbours_and_loses_nothing():
    with trades("reorder:0.1") as ws:
        ids = trade_ids(ws, 300)
    assert {2, -1} <= steps(ids)
    missing = set(range(min(ids), max(ids) + 1)) - set(ids)
    # Only what is still held back may be missing.
    assert len(missing) <= 1


def test_a_corrupt_frame_is_never_json():
    with trades("corrupt:1") as ws:
        for _ in range(100):
            with pytest.raises(ValueError, match=r"line 1"):
                json.loads(ws.recv())


def test_sliced_and_fragmented_messages_arrive_whole():
    for fault in ("slice:0.5", "fragment:0.5"):
        with trades(fault, rate=1000) as ws:
            assert steps(trade_ids(ws, 100)) == {1}


def test_a_fragmented_message_comes_in_several_frames():
    with trades("fragment:1") as ws:
        first = ws.recv_frame()
        assert (first.fin, first.opcode) == (0, websocket.ABNF.OPCODE_TEXT)
        between = ws.recv_frame()
        assert (between.fin, between.opcode) == (1, websocket.ABNF.OPCODE_PING)
        parts = [first.data]
        while True:
            frame = ws.recv_frame()
            assert frame.opcode == websocket.ABNF.OPCODE_CONT
            parts.append(frame.data)
            if frame.fin:
                break
        assert json.loads(b"".join(parts))["e"] == "trade"


def test_a_gap_at_coinbase_is_a_hole_in_the_connections_sequence():
    with (
        Simulator(["coinbase"], rate=3000, faults=["gap:0.1"]) as simulator,
        connected(simulator, "coinbase") as ws,
    ):
        ws.send('{"type":"subscribe","channel":"ticker","product_ids":["BTC-USD"]}')
        numbers = [json.loads(ws.recv())["sequence_num"] for _ in range(200)]
    assert {1, 2} <= steps(numbers)


def test_a_wrong_checksum_is_the_only_thing_wrong():
    with (
        Simulator(["kraken"], rate=1000, faults=["crc:1"]) as simulator,
        connected(simulator, "kraken", "/v2") as ws,
    ):
        request = {"channel": "book", "symbol": ["BTC/USD"], "depth": 10}
        ws.send(json.dumps({"method": "subscribe", "params": request}))
        book: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}
        updates = 0
        while updates < 20:
            message = json.loads(ws.recv(), parse_float=str)
            if message.get("channel") != "book":
                continue
            (data,) = message["data"]
            for side, levels in book.items():
                levels |= {level["price"]: level["qty"] for level in data[side]}
                kept = [(p, q) for p, q in levels.items() if float(q)]
                kept.sort(key=lambda level: float(level[0]), reverse=side == "bids")
                book[side] = dict(kept[:10])
            digits = "".join(
                token.replace(".", "").lstrip("0")
                for side in ("asks", "bids")
                for level in book[side].items()
                for token in level
            )
            # Snapshots are spared, as all answers are.
            wrong = message["type"] == "update"
            assert data["checksum"] == zlib.crc32(digits.encode()) + wrong
            updates += wrong


def test_a_reset_cuts_without_a_closing_frame():
    with trades("reset@0.2") as ws, pytest.raises(ConnectionResetError):
        while True:
            ws.recv()


def test_a_half_open_connection_says_nothing_and_answers_no_ping():
    with trades("half-open@0.2") as ws:
        ws.settimeout(0.6)
        with pytest.raises(websocket.WebSocketTimeoutException):
            while True:
                ws.recv()
        ws.ping("still there?")
        with pytest.raises(websocket.WebSocketTimeoutException):
            ws.recv()
        assert ws.connected


def test_the_end_of_life_is_a_closing_frame():
    with trades("life@0.2") as ws:
        while True:
            opcode, data = ws.recv_data(control_frame=True)
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                break
    assert int.from_bytes(data[:2], "big") == 1001


def test_a_flapping_exchange_cuts_at_the_first_request():
    with (
        Simulator(["kraken"], faults=["flap:1"]) as simulator,
        connected(simulator, "kraken", "/v2") as ws,
    ):
        assert json.loads(ws.recv())["channel"] == "status"
        ws.send('{"method":"ping"}')
        with pytest.raises((ConnectionResetError, websocket.WebSocketConnectionClosedException)):
            ws.recv()


@pytest.mark.parametrize("venue", ["binance", "kraken", "coinbase", "coinbase-exchange"])
@pytest.mark.parametrize("status", [429, 418, 451, 403])
def test_http_faults_answer_rest_and_openings(venue, status):
    with Simulator([venue], faults=[f"http-{status}:1"]) as simulator:
        response = requests.get(simulator.http_url(venue) + "/api/v3/time", timeout=DEADLINE_S)
        assert response.status_code == status
        assert ("Retry-After" in response.headers) == (
            status == 429 or (status == 418 and venue != "kraken")
        )
        with pytest.raises(websocket.WebSocketBadStatusException, match=str(status)):
            websocket.create_connection(simulator.ws_url(venue) + "/v2", timeout=DEADLINE_S)


def test_who_never_reads_holds_up_neither_the_others_nor_the_end():
    with (
        Simulator(["binance"], rate=20_000) as simulator,
        connected(simulator, "binance", TRADES),
        connected(simulator, "binance", TRADES) as reading,
    ):
        assert steps(trade_ids(reading, 20_000)) == {1}


def test_faults_are_read_and_refused_in_one_line():
    assert parse("gap:0.01") == Fault("gap", 0.01, None)
    assert parse("half-open@30") == Fault("half-open", None, 30.0)
    for text, found in [
        ("nope:1", "expected a fault of gap, .*, found 'nope'"),
        ("gap", "expected gap:probability or gap@seconds, found 'gap'"),
        ("gap:x", "expected gap:probability or gap@seconds, found 'gap:x'"),
        ("gap:1.5", "expected a probability from 0 to 1, found '1.5'"),
        ("gap@0", "expected seconds above 0, found '0'"),
    ]:
        with pytest.raises(ValueError, match=found):
            parse(text)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--fault", "nope:1"], 2, "expected a fault of"),
        (["nasdaq"], 2, "expected venues of binance, "),
        (["--rate", "0"], 2, "expected a rate above 0, found 0"),
        (["--capture", "/nope.gz"], 2, "expected a readable capture, found /nope.gz"),
        (["--speed", "fast"], 2, "expected a speed above 0 or max, found 'fast'"),
    ],
)
def test_the_command_refuses_wrong_usage_in_one_line(arguments, code, said):
    with command(*arguments) as running:
        out, err = running.communicate(timeout=30)
        assert (running.returncode, out) == (code, "")
        assert err.startswith(f"monitor simulate: {said}")
        assert err.count("\n") == 1


def test_the_command_tells_its_addresses_and_ends_on_sigterm():
    with command("kraken", "coinbase") as running:
        assert running.stdout is not None
        lines = [running.stdout.readline().split() for _ in range(2)]
        assert [line[0] for line in lines] == ["kraken", "coinbase"]
        ws = websocket.create_connection(lines[0][1] + "/v2", timeout=DEADLINE_S)
        assert json.loads(ws.recv())["channel"] == "status"
        time_url = lines[1][2] + "/api/v3/brokerage/time"
        assert requests.get(time_url, timeout=DEADLINE_S).status_code == 200
        port = lines[0][1].split(":")[2].split("/")[0]
        with command("--port", port) as second:
            _, err = second.communicate(timeout=30)
            assert second.returncode == 1
            assert err.startswith("monitor simulate: expected a free port, found ")
            assert err.count("\n") == 1
        running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=5)
        assert (running.returncode, out, err) == (0, "", "")
        ws.shutdown()
