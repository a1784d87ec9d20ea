"""The probe against the simulated exchange and worse: every step passes, and every step fails."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.simulated_line import own_book

from monitor.probe import steps as walk
from monitor.probe.steps import probe
from monitor.rows import sources
from monitor.settings import configuration
from monitor.settings.configuration import VenueSettings
from monitor.simulate import Simulator

LIMIT_S = 30.0
REACHED = ["DNS", "TCP", "TLS"]
BY_STREAM = ["WebSocket", "subscribe"]
JUDGED = ["first data", "book", "clock offset", "stream against REST"]
ALL = [*REACHED, *BY_STREAM, *JUDGED]
# As Binance documents its messages.
EVENT_MS = 1672515782136
STREAMED = {"u": 400900217, "s": "BNBUSDT", "b": "25.35190000", "B": "31.21000000"}
STREAMED |= {"a": "25.36520000", "A": "40.66000000"}
TRADED = {"e": "trade", "E": EVENT_MS, "s": "BNBUSDT", "t": 12345, "p": "25.3600", "q": "100"}
TRADED |= {"T": EVENT_MS, "m": True, "M": True}

Steps = dict[str, tuple[str, str]]
Run = Callable[..., subprocess.CompletedProcess[str]]


def walked(
    source: str, *urls: str, limit_s: float = LIMIT_S, settings: VenueSettings | None = None
) -> Steps:
    """Walk a source whose venue is at `urls`; return result and finding by step."""
    wanted = sources.parse(source)
    file = configuration.Settings(venues={wanted.venue: settings or VenueSettings()})
    endpoints = configuration.endpoints(file, [f"{wanted.venue}={','.join(urls)}"])
    steps = list(probe(wanted, endpoints, file.venues, limit_s))
    assert [step.name for step in steps] == ALL
    assert not any("\n" in step.found for step in steps)
    return {step.name: (step.result, step.found) for step in steps}


def urls(simulator: Simulator, venue: str) -> tuple[str, str]:
    return simulator.ws_url(venue), simulator.http_url(venue)


def results(steps: Steps) -> list[str]:
    return [result for result, _ in steps.values()]


def failing(steps: Steps, name: str) -> str:
    """Return what the one failing step found, after which nothing was tried."""
    later = ALL[ALL.index(name) + 1 :]
    assert [step for step, (result, _) in steps.items() if result == "FAIL"] == [name]
    assert [steps[step] for step in later] == [("SKIP", f"not tried: {name} failed")] * len(later)
    return steps[name][1]


@contextmanager
def deaf() -> Iterator[int]:
    """Listen on a port, and never say a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(["binance", "kraken", "coinbase"], rate=600) as running:
        yield running


@pytest.fixture(scope="module")
def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.mark.parametrize(
    ("source", "raw_symbol"),
    [
        ("binance:BTC-USDT", "BTCUSDT"),
        ("kraken:XBT/USD", "BTC/USD"),
        ("coinbase:BTC-USD", "BTC-USD"),
    ],
)
def test_every_step_of_a_sound_source_passes(simulator, source, raw_symbol):
    venue = source.split(":")[0]
    steps = walked(source, *urls(simulator, venue))
    assert results(steps) == ["PASS", "PASS", "SKIP", *["PASS"] * 6], steps
    assert f"port {simulator.port} " in steps["TCP"][1]
    for step in ("subscribe", "first data"):
        channels = {told.split()[0] for told in steps[step][1].split(", ")}
        assert channels == {"quote", "trade", "book"}
    assert steps["book"][1].startswith("ok, ")
    # One clock, one machine: what is left is the way through it.
    median_ms = float(steps["clock offset"][1].split(" ms")[0])
    assert 0 < median_ms < 1000
    # The market moved on by little, and so did its own book.
    bid = float(re.search(r"REST ([\d.]+)/", steps["stream against REST"][1])[1])
    own_bid = float(own_book(simulator, venue, raw_symbol)["bids"][0][0])
    assert bid == pytest.approx(own_bid, rel=0.002)


def test_a_wrong_host_name_fails_dns():
    found = failing(walked("kraken:BTC-USD", "wss://nowhere.invalid"), "DNS")
    assert found.startswith("expected an address of nowhere.invalid, found: ")


def test_a_name_server_that_does_not_answer_fails_dns_in_time(monkeypatch):
    over = threading.Event()

    def look_up(*_: object, **__: object) -> None:
        over.wait(LIMIT_S)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    try:
        found = failing(walked("kraken:BTC-USD", "wss://slow.invalid", limit_s=0.2), "DNS")
    finally:
        over.set()
    assert found == "expected an address of slow.invalid within 0.2 s, found none"


def test_a_closed_port_fails_tcp(closed_port):
    found = failing(walked("kraken:BTC-USD", f"ws://127.0.0.1:{closed_port}"), "TCP")
    assert found == f"expected an open port {closed_port} on 127.0.0.1, found: Connection refused"


def test_a_wrong_certificate_fails_tls_and_says_what_is_wrong(monkeypatch, tmp_path):
    with Simulator(["kraken"], faults=["tls:1"]) as simulator:
        found = failing(walked("kraken:BTC-USD", *urls(simulator, "kraken")), "TLS")
        assert found == "expected a certificate for 127.0.0.1, found: self-signed certificate"
        trust(monkeypatch, tmp_path, simulator)
        found = failing(walked("kraken:BTC-USD", *urls(simulator, "kraken")), "TLS")
    assert "IP address mismatch" in found


def test_a_right_certificate_passes_tls_and_is_described(monkeypatch, tmp_path):
    with Simulator(["kraken"], rate=600, faults=["tls@600"]) as simulator:
        pem = trust(monkeypatch, tmp_path, simulator)
        steps = walked("kraken:BTC-USD+quote", *urls(simulator, "kraken"))
    command = ["openssl", "x509", "-in", pem, "-noout", "-enddate", "-dateopt", "iso_8601"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    ends = told.removeprefix("notAfter=")[:10]
    result, found = steps["TLS"]
    assert result == "PASS"
    assert f"certificate of 127.0.0.1 by 127.0.0.1, valid until {ends} " in found
    assert steps["WebSocket"][0] == steps["stream against REST"][0] == "PASS"


def trust(monkeypatch: pytest.MonkeyPatch, folder: Path, simulator: Simulator) -> Path:
    """Trust whoever signed the certificate that the simulator shows; return it."""
    pem = folder / "certificate.pem"
    pem.write_text(ssl.get_server_certificate(("127.0.0.1", simulator.port)), encoding="ascii")
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(variable, str(pem))
    return pem


def test_tls_where_there_is_none_fails(simulator):
    at = f"127.0.0.1:{simulator.port}"
    found = failing(walked("kraken:BTC-USD", f"wss://{at}/kraken"), "TLS")
    assert found == f"expected TLS from {at}, found: wrong version number"
    with deaf() as port:
        steps = walked("kraken:BTC-USD", f"wss://127.0.0.1:{port}", limit_s=0.5)
    assert failing(steps, "TLS").startswith(f"expected TLS from 127.0.0.1:{port}, found: no answer")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("http-451:1", "geo_blocked: expected HTTP 101, found 451 Unavailable For Legal Reasons"),
        ("http-403:1", "auth_failed: expected HTTP 101, found 403 Forbidden"),
        ("http-429:1", "rate_limited: expected HTTP 101, found 429 Too Many Requests"),
    ],
)
def test_a_refused_handshake_is_told_by_its_name(fault, told):
    with Simulator(["binance"], faults=[fault]) as simulator:
        steps = walked("binance:BTC-USDT", *urls(simulator, "binance"))
    found = failing(steps, "WebSocket")
    assert found.startswith(told)
    # The instrument list was refused as well.
    assert f"/api/v3/exchangeInfo: expected HTTP 200, found {fault[5:8]}" in found


def test_a_venue_that_never_answers_is_given_up_within_the_limit():
    began_s = time.monotonic()
    with deaf() as port:
        at = f"127.0.0.1:{port}"
        steps = walked("binance:BTC-USDT", f"ws://{at}", f"http://{at}", limit_s=1.0)
    assert failing(steps, "WebSocket").startswith("expected an open WebSocket within ")
    # Leaving takes a while, too, with a request under way.
    assert time.monotonic() - began_s < 10


@pytest.mark.parametrize("source", ["binance:NOPE-USDT", "kraken:NOPE-USD", "coinbase:NOPE-USD"])
def test_an_unknown_symbol_fails_subscribe_and_is_named(simulator, source):
    venue, symbol = source.split(":")
    found = failing(walked(source, *urls(simulator, venue)), "subscribe")
    assert found.startswith(f"{symbol} quote and trade and book refused: expected a symbol of ")


def test_a_line_that_breaks_at_the_first_request_fails_subscribe():
    with Simulator(["binance"], faults=["flap:1"]) as simulator:
        steps = walked("binance:BTC-USDT", *urls(simulator, "binance"))
    found = failing(steps, "subscribe")
    assert found.startswith("expected the connection to last, found: ConnectionResetError")


def test_a_venue_that_acknowledges_nothing_fails_subscribe(monkeypatch):
    monkeypatch.setattr(walk, "ANSWER_S", 0.5)
    with Simulator(["kraken"]) as simulator:
        # A venue that speaks another language opens the line, and that is all it does.
        steps = walked("coinbase:BTC-USD", f"{simulator.ws_url('kraken')}/v2", "http://127.0.0.1:9")
    found = failing(steps, "subscribe")
    assert found.startswith("BTC-USD expected an answer for quote and trade and book within ")


def test_an_acknowledged_symbol_that_stays_silent_fails_first_data(monkeypatch, closed_port):
    monkeypatch.setattr(walk, "DATA_S", 1.0)
    with Simulator(["binance"]) as simulator:
        # Without the instrument list Binance acknowledges what it does not have.
        no_list = f"http://127.0.0.1:{closed_port}"
        steps = walked("binance:NOPE-USDT", simulator.ws_url("binance"), no_list)
    assert steps["subscribe"][0] == "PASS"
    found = failing(steps, "first data")
    assert found.startswith("expected data of quote and trade and book for NOPE-USDT within ")
    assert "found none; by REST: /api/v3/" in found


def test_a_market_without_trades_is_not_at_fault(monkeypatch, tmp_path):
    monkeypatch.setattr(walk, "DATA_S", 1.0)
    with played(tmp_path, {"result": None, "id": 1}, STREAMED) as simulator:
        steps = walked("binance:BNB-USDT+quote+trade", *urls(simulator, "binance"))
    assert steps["subscribe"][0] == "PASS"
    result, found = steps["first data"]
    assert (result, found.split(", ")[1]) == ("PASS", "no trade within 1.0 s")


def test_of_two_channels_of_trades_each_is_told_for_itself(monkeypatch, tmp_path):
    monkeypatch.setattr(walk, "DATA_S", 2.5)
    monkeypatch.setattr(walk, "DELAY_S", 0.0)
    with played(tmp_path, {"result": None, "id": 1}, TRADED) as simulator:
        steps = walked("binance:BNB-USDT+trade+aggTrade", *urls(simulator, "binance"))
    result, found = steps["first data"]
    assert result == "PASS"
    assert re.fullmatch(r"trade after \d+ ms, no aggTrade within 2.5 s", found)
    assert steps["stream against REST"] == ("SKIP", "no quotes to compare")


def test_a_book_with_wrong_checksums_fails():
    with Simulator(["kraken"], rate=600, faults=["crc:1"]) as simulator:
        steps = walked("kraken:BTC-USD", *urls(simulator, "kraken"))
    result, found = steps["book"]
    assert result == "FAIL"
    assert re.fullmatch(r"expected a book without a fault, found \d+ checksum", found)
    assert steps["clock offset"][0] == steps["stream against REST"][0] == "PASS"


def test_rest_that_cannot_be_had_fails_the_book_and_the_comparison(monkeypatch, closed_port):
    monkeypatch.setattr(walk, "BOOK_S", 1.5)
    monkeypatch.setattr(walk, "REST_S", 1.5)
    with Simulator(["binance"], rate=600) as simulator:
        rest = f"http://127.0.0.1:{closed_port}"
        steps = walked("binance:BTC-USDT", simulator.ws_url("binance"), rest)
    assert [name for name in ALL if steps[name][0] == "FAIL"] == ["book", "stream against REST"]
    assert "found it building; by REST: /api/v3/depth: " in steps["book"][1]
    refused = f"expected an open port {closed_port} on 127.0.0.1, found: Connection refused"
    assert steps["stream against REST"][1].endswith(refused)


@contextmanager
def played(folder: Path, *messages: dict[str, Any]) -> Iterator[Simulator]:
    """Play messages as Binance, and its documented best bid and ask by REST, 0.1 % above."""
    listed = {"symbol": "BNBUSDT", "status": "TRADING", "baseAsset": "BNB", "quoteAsset": "USDT"}
    rest = {"symbol": "BNBUSDT", "bidPrice": "25.37725190", "bidQty": "431.00000000"}
    rest |= {"askPrice": "25.39056520", "askQty": "9.00000000"}
    paths = {"exchangeInfo": {"symbols": [{**listed, "filters": []}]}, "ticker/bookTicker": [rest]}
    records = [{"kind": "ws", "conn": 1, "raw": json.dumps(message)} for message in messages]
    records += [
        {"kind": "http", "url": f"https://api.binance.com/api/v3/{path}", "raw": json.dumps(body)}
        for path, body in paths.items()
    ]
    file = folder / "played.ndjson"
    file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    with Simulator([], captures=[file], venue="binance", speed=None) as simulator:
        yield simulator


def test_a_venues_clock_that_is_years_behind_fails_the_clock_offset(tmp_path):
    behind_ms = time.time() * 1000 - EVENT_MS
    with played(tmp_path, STREAMED, TRADED) as simulator:
        steps = walked("binance:BNB-USDT+quote+trade", *urls(simulator, "binance"))
    result, found = steps["clock offset"]
    assert result == "FAIL"
    median_ms = float(re.match(r"expected at most 1000 ms, found ([\d.]+) ms ", found)[1])
    assert behind_ms < median_ms < behind_ms + 60_000


def test_rest_that_shows_another_price_fails_the_comparison(tmp_path):
    with played(tmp_path, STREAMED, TRADED) as simulator:
        steps = walked("binance:BNB-USDT+quote+trade", *urls(simulator, "binance"))
    # 25.3519 is 1/1001 below 25.3772519, the ask likewise: 9.99 bps. The spread is 5.25 bps.
    result, found = steps["stream against REST"]
    assert (result, found.split(": ")[-1]) == ("PASS", "bid -9.99 bps, ask -9.99 bps")
    moved = {**STREAMED, "b": "25.32650000"}
    with played(tmp_path, moved, TRADED) as simulator:
        steps = walked("binance:BNB-USDT+quote+trade", *urls(simulator, "binance"))
    # The spread is 15.28 bps now, and the bid 20 bps below that by REST.
    assert steps["stream against REST"] == (
        "FAIL",
        "expected at most 15.3 bps between them, found stream 25.3265/25.3652, "
        "REST 25.3772519/25.3905652: bid -20.00 bps, ask -9.99 bps",
    )


def test_a_source_had_by_rest_alone_skips_the_steps_of_the_stream(simulator):
    steps = walked(
        "binance:BTC-USDT", *urls(simulator, "binance"), settings=VenueSettings(mode="rest")
    )
    assert [steps[name] for name in BY_STREAM] == [("SKIP", "REST is asked for")] * 2
    skipped = [name for name in ALL if steps[name][0] == "SKIP"]
    assert skipped == ["TLS", *BY_STREAM, "clock offset", "stream against REST"]
    assert "FAIL" not in results(steps)


def test_what_a_proxy_does_is_left_to_it(monkeypatch, closed_port):
    monkeypatch.setenv("https_proxy", f"http://joe:secret@127.0.0.1:{closed_port}")
    steps = walked("kraken:BTC-USD", "wss://nowhere.invalid")
    told = ("SKIP", f"left to the proxy 127.0.0.1:{closed_port}")
    assert [steps[name] for name in REACHED] == [told] * 3
    assert steps["WebSocket"][0] == "FAIL"
    assert "secret" not in str(steps)


def test_the_command_prints_a_line_per_step_and_no_secret(monitor: Run, simulator):
    ws = simulator.ws_url("binance").replace("//", "//joe:secret@") + "?token=secret"
    endpoint = ("--endpoint", f"binance={ws},{simulator.http_url('binance')}")
    done = monitor("probe", "binance:BTC-USDT", *endpoint)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr, [line[:19].strip() for line in lines]) == (0, "", ALL)
    assert {line[21:25] for line in lines} == {"PASS", "SKIP"}
    assert "secret" not in done.stdout
    told = monitor("probe", "binance:NOPE-USDT", *endpoint, "--json")
    steps = json.loads(told.stdout)
    assert (told.returncode, told.stderr, [step["name"] for step in steps]) == (1, "", ALL)
    assert [step["result"] for step in steps].count("FAIL") == 1


def test_wrong_usage_is_one_line_and_exit_code_2(monitor: Run, tmp_path):
    file = tmp_path / "monitor.toml"
    file.write_text('[venues.kraken]\nws_url = "ws.kraken.com"\n', encoding="utf-8")
    for arguments in (
        (),
        ("binance:*-USDT",),
        ("kraken:BTC-USD", "--for", "soon"),
        ("kraken:BTC-USD", "--config", file),
    ):
        done = monitor("probe", *arguments)
        lines = done.stderr.strip().splitlines()
        assert (done.returncode, len(lines), done.stdout) == (2, 1, ""), (arguments, done)
    with pytest.raises(
        ValueError, match=r"expected a URL of ws://.*, found 'wss://127.0.0.1:99999'"
    ):
        walked("kraken:BTC-USD", "wss://127.0.0.1:99999")
