"""Captured frames are played back to the byte, over real sockets."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket

from monitor.simulate import Simulator

DEADLINE_S = 10
SUBSCRIBE = '{"method":"SUBSCRIBE","params":["ethusdt@trade"],"id":1}'


@contextmanager
def connected(url: str) -> Iterator[websocket.WebSocket]:
    ws = websocket.create_connection(url, timeout=DEADLINE_S)
    try:
        yield ws
    finally:
        ws.shutdown()


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(record) + "\n" for record in records)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def frame(raw: str, **more: Any) -> dict[str, Any]:
    return {"raw": raw, "venue": "binance", "conn": "a", "kind": "ws", **more}


@pytest.mark.parametrize("name", ["capture.ndjson", "capture.ndjson.gz"])
def test_frames_go_out_to_the_byte_in_the_order_of_their_times(tmp_path, name):
    odd = ['{"a": 1.50,  "b":"\\u00e9"}', '{"e":"é€😀"}', "not json", '{"last":true}']
    records = [frame(raw, recv_ns=10 - at) for at, raw in enumerate(odd)]
    records.append({"raw": '{"sent":1}', "venue": "binance", "conn": "a", "kind": "sent"})
    file = write(tmp_path / name, records)
    with (
        Simulator([], captures=[file], speed=None) as simulator,
        connected(simulator.ws_url("binance") + "/stream") as ws,
    ):
        ws.send(SUBSCRIBE)
        assert [ws.recv() for _ in odd] == odd[::-1]
        # The connection stays open.
        ws.ping("here?")
        opcode, data = ws.recv_data(control_frame=True)
        assert (opcode, data) == (websocket.ABNF.OPCODE_PONG, b"here?")


def test_nothing_is_played_before_the_first_subscribe(tmp_path):
    file = write(tmp_path / "c.ndjson", [frame('{"n":1}')])
    with (
        Simulator([], captures=[file], speed=None) as simulator,
        connected(simulator.ws_url("binance") + "/stream") as ws,
    ):
        ws.settimeout(0.2)
        with pytest.raises(websocket.WebSocketTimeoutException):
            ws.recv()
        ws.settimeout(DEADLINE_S)
        ws.send(SUBSCRIBE)
        assert ws.recv() == '{"n":1}'


def test_each_connection_plays_one_of_the_capture(tmp_path):
    records = [frame('{"n":1}', conn="a"), frame('{"n":2}', conn="b"), frame('{"n":3}', conn="a")]
    file = write(tmp_path / "c.ndjson", records)
    with Simulator([], captures=[file], speed=None) as simulator:
        played = []
        for count in (2, 1, 2):
            with connected(simulator.ws_url("binance") + "/stream") as ws:
                ws.send(SUBSCRIBE)
                played.append([json.loads(ws.recv())["n"] for _ in range(count)])
        assert played == [[1, 3], [2], [1, 3]]


def test_a_speed_keeps_the_distances(tmp_path):
    records = [frame('{"n":1}', recv_ns=0), frame('{"n":2}', recv_ns=2_000_000_000)]
    file = write(tmp_path / "c.ndjson", records)
    with (
        Simulator([], captures=[file], speed=5) as simulator,
        connected(simulator.ws_url("binance") + "/stream") as ws,
    ):
        ws.send(SUBSCRIBE)
        ws.recv()
        began_s = time.monotonic()
        ws.recv()
        assert 0.35 < time.monotonic() - began_s < 1


def test_rest_is_answered_by_path_and_symbol(tmp_path):
    url = "https://api.binance.com/api/v3/depth?symbol="
    http = {"kind": "http", "venue": "binance", "conn": "rest"}
    records = [
        {**http, "url": url + "AUSDT&limit=10", "raw": '{"of": "a"}'},
        {**http, "url": url + "BUSDT&limit=10", "raw": '{"of": "b"}'},
        frame('{"n":1}'),
    ]
    file = write(tmp_path / "c.ndjson", records)
    with Simulator([], captures=[file], speed=None) as simulator:

        def answer(rest: str) -> tuple[int, str]:
            response = requests.get(simulator.http_url("binance") + rest, timeout=DEADLINE_S)
            return response.status_code, response.text

        assert answer("/api/v3/depth?symbol=BUSDT&limit=5000") == (200, '{"of": "b"}')
        assert answer("/api/v3/depth?symbol=AUSDT&limit=10") == (200, '{"of": "a"}')
        assert answer("/api/v3/depth?symbol=CUSDT")[0] == 404
        assert answer("/api/v3/exchangeInfo")[0] == 404


def test_a_captured_venue_stands_beside_a_simulated_one(tmp_path):
    file = write(tmp_path / "c.ndjson", [frame('{"n":1}')])
    with Simulator(["kraken"], captures=[file], venue="binance") as simulator:
        with connected(simulator.ws_url("kraken") + "/v2") as ws:
            assert json.loads(ws.recv())["channel"] == "status"
        with connected(simulator.ws_url("binance") + "/stream") as ws:
            ws.send(SUBSCRIBE)
            assert ws.recv() == '{"n":1}'


def test_a_wrong_line_is_named_by_its_number(tmp_path):
    file = tmp_path / "c.ndjson"
    file.write_text('{"raw":"{}"}\nnonsense\n')
    with pytest.raises(ValueError, match=r"expected a JSON object .*'nonsense' in line 2 of"):
        Simulator(["binance"], captures=[file])
    file.write_bytes(gzip.compress(b'{"raw":"{}"}\n' * 100)[:-20])
    with pytest.raises(ValueError, match="expected a readable capture"):
        Simulator(["binance"], captures=[file])


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("venue", "file", "request_", "rest"),
    [
        ("binance", "binance/hft_ethusdt_20240808", SUBSCRIBE, "/api/v3/depth?symbol=ETHUSDT"),
        (
            "coinbase",
            "coinbase_advanced/cf_v3_20260809_seq0_499",
            '{"type":"subscribe","channel":"heartbeats"}',
            "/api/v3/brokerage/market/products",
        ),
        *(
            ("kraken", f"kraken_v2/{name}", '{"method":"subscribe","params":{}}', None)
            for name in (
                "depthcharge_kraken_minagbp_d25_20260816",
                "python_kraken_sdk_book10_v2",
                "lookup_misc",
            )
        ),
        (
            "kraken-v1",
            "kraken_v1/python_kraken_sdk_book10_v1",
            '{"event":"subscribe","pair":["XBT/USD"],"subscription":{"name":"book"}}',
            None,
        ),
        (
            "coinbase-exchange",
            "coinbase_exchange/lookup_misc",
            '{"type":"subscribe","product_ids":["ETH-BTC"],"channels":["heartbeat"]}',
            None,
        ),
    ],
)
def test_the_corpus_is_played_to_the_byte(captures, venue, file, request_, rest):
    path = captures / f"{file}.norm.ndjson.gz"
    with gzip.open(path, "rt") as lines:
        records = [json.loads(line) for line in lines]
    expected = [record["raw"] for record in records if record["kind"] == "ws"]
    with Simulator([], captures=[path], venue=venue, speed=None) as simulator:
        with connected(simulator.ws_url(venue) + "/stream") as ws:
            ws.send(request_)
            assert [ws.recv() for _ in expected] == expected
        if rest is not None:
            body = requests.get(simulator.http_url(venue) + rest, timeout=DEADLINE_S).text
            assert body == next(record["raw"] for record in records if record["kind"] == "http")


def test_a_played_out_connection_of_kraken_v1_goes_on_beating_and_answers_pings(tmp_path):
    file = write(tmp_path / "c.ndjson", [frame('[0,"last"]', venue="kraken-v1")])
    with (
        Simulator([], captures=[file], speed=None) as simulator,
        connected(simulator.ws_url("kraken-v1")) as ws,
    ):
        ws.send('{"event":"subscribe","pair":["XBT/USD"],"subscription":{"name":"trade"}}')
        assert ws.recv() == '[0,"last"]'
        assert json.loads(ws.recv()) == {"event": "heartbeat"}
        ws.send('{"event":"ping","reqid":5}')
        assert json.loads(ws.recv()) == {"event": "pong", "reqid": 5}
