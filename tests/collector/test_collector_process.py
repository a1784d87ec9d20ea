"""The whole program as processes: what is lost when one is killed, and what the others notice."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from support.collectors import all_connected, answers, free_port, health, statuses
from support.running import collector_of, simulator_urls, until

from monitor import recordings
from monitor.collector.follower import Follower
from monitor.processes import locks
from monitor.rows.batches import Batch

Run = Callable[..., Any]


def ords(folder: Path, name: str) -> list[int]:
    found: list[int] = []
    with recordings.open_recording(folder, name) as recording:
        for batch in recording.batches():
            for kind, rows in batch.kinds.items():
                if kind != "signal":
                    found += rows["ord"].to_pylist()
    return sorted(found)


def test_killing_the_page_twenty_times_loses_no_row(tmp_path: Path, background: Run) -> None:
    folder = tmp_path / "recordings"
    live = background("record", "--simulated")
    held = collector_of(folder)
    until(lambda: all_connected(held, 6), "six connected sources")
    for _ in range(5):
        ports = [free_port() for _ in range(4)]
        pages = [background("serve", "--port", port) for port in ports]
        for port, page in zip(ports, pages, strict=True):
            until(lambda port=port: answers(f"http://127.0.0.1:{port}/health"), "the page")
            page.send_signal(signal.SIGKILL)
    live.terminate()
    digest = live.stdout.read().split()[-1]
    assert live.wait(5) == 0
    found = ords(folder, held.recording)
    assert found == list(range(len(found)))
    (described,) = recordings.catalogue(folder)
    assert (described["state"], described["digest"]) == ("sealed", digest)


def test_a_follower_that_comes_later_sees_the_last_minutes(tmp_path: Path, background: Run) -> None:
    folder = tmp_path / "recordings"
    background("record", "--simulated")
    held = collector_of(folder)
    until(lambda: all_connected(held, 6), "six connected sources")
    first: list[int] = []
    enough = threading.Event()

    def see(batch: Batch) -> None:
        first.append(batch.ords[0] if batch.ords else -1)
        enough.set()

    follower = Follower(lambda: locks.holder(folder), see)
    follower.start()
    assert enough.wait(10)
    follower.close()
    assert first[0] == 0


def test_stop_and_start_act_on_the_shared_pipeline(tmp_path: Path, background: Run) -> None:
    folder = tmp_path / "recordings"
    background("record", "--simulated")
    held = collector_of(folder)
    until(lambda: all_connected(held, 6), "six connected sources")
    address, token = f"http://{held.address}/sources", {"Authorization": f"Bearer {held.token}"}
    assert requests.post(address, json={"action": "stop"}, timeout=10).status_code == 401
    told = requests.post(address, json={"action": "stop"}, headers=token, timeout=10).json()
    assert told["running"] is False
    states = {source["state"] for source in health(held.address)["sources"]}
    assert until(lambda: states == {"stopped"} or _stopped(held), "stopped sources")
    requests.post(address, json={"action": "start"}, headers=token, timeout=10)
    until(lambda: all_connected(held, 6), "six connected sources again")
    answer = requests.post(address, json={"action": "fly"}, headers=token, timeout=10)
    assert (answer.status_code, "expected one of" in answer.text) == (400, True)


def test_faults_become_rows(tmp_path: Path, background: Run) -> None:
    folder = tmp_path / "recordings"
    faults = ("gap:0.02", "duplicate:0.02", "corrupt:0.01", "fragment:0.05", "slice:0.05")
    options = [option for fault in faults for option in ("--fault", fault)]
    exchange = background("simulate", "binance", "--rate", 400, *options)
    live = background(
        "record", "binance:BTC-USDT", "binance:NOPE-USDT", "--endpoint", simulator_urls(exchange)
    )
    held = collector_of(folder)
    until(lambda: _count(held, "BTC-USDT") > 500, "500 updates")
    live.terminate()
    assert live.wait(5) == 0
    kinds = {row["kind"] for row in statuses(folder, held.recording)}
    assert {"gap", "duplicate", "undecodable", "refused", "subscribed", "stopped"} <= kinds
    refused = [r for r in statuses(folder, held.recording) if r["kind"] == "refused"]
    assert [(row["symbol"], row["state"]) for row in refused] == [("NOPE-USDT", "failed")] * len(
        refused
    )


def test_a_venue_that_goes_away_is_told_and_had_again(tmp_path: Path, background: Run) -> None:
    folder, port = tmp_path / "recordings", free_port()
    exchange = background("simulate", "kraken", "--port", port)
    endpoint = simulator_urls(exchange)
    live = background("record", "kraken:XBT/USD", "--endpoint", endpoint)
    held = collector_of(folder)
    until(lambda: all_connected(held, 1), "a connected source")
    exchange.terminate()
    exchange.wait(10)
    until(lambda: health(held.address)["status"] == "failed", "the outage")
    background("simulate", "kraken", "--port", port)
    until(lambda: all_connected(held, 1), "the source again", 60)
    live.terminate()
    assert live.wait(5) == 0
    with recordings.open_recording(folder, held.recording) as recording:
        quotes = [row for batch in recording.batches() for row in batch["quote"].to_pylist()]
    assert {row["symbol"] for row in quotes} == {"BTC-USD"}
    # The quote that was true until the outage is ended by one without prices.
    assert sum(row["bid"] is None for row in quotes) == 2


def test_serve_starts_what_it_needs_and_stops_it(tmp_path: Path, background: Run) -> None:
    folder, port = tmp_path / "recordings", free_port()
    page = background("serve", "--port", port)
    until(lambda: answers(f"http://127.0.0.1:{port}/health"), "the page")
    held = locks.holder(folder)
    assert held is not None
    report = requests.get(f"http://127.0.0.1:{port}/health", timeout=10).json()
    assert len(report["sources"]) == 6 or report["sources"] == []
    began_s = time.monotonic()
    page.terminate()
    assert page.wait(10) == 0
    assert time.monotonic() - began_s < 10
    assert locks.holder(folder) is None
    assert [item["state"] for item in recordings.catalogue(folder)] == ["sealed"]


def test_bad_input_is_one_line(tmp_path: Path, monitor: Run, background: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        cases = [
            (("record", "nyse:IBM"), 2),
            (("record", "binance"), 2),
            (("record", "binance:BTC-USDT+nope"), 2),
            (("record",), 2),
            (("record", "binance:BTC-USDT", "--endpoint", "binance"), 2),
            (("record", "binance:BTC-USDT", "--for", "soon"), 2),
            (("record", "binance:BTC-USDT", "--transport", "native"), 2),
            (("serve", "--port", port), 1),
            (("serve", "--address", "0.0.0.0"), 2),
            (("replay", "nothing"), 1),
            (("replay", "nothing", "--speed", "0"), 2),
            (("sql", "SELECT nope"), 1),
            (("sql", "DROP TABLE quote"), 1),
            (("sql", "SELECT 1", "--format", "xml"), 2),
            (("ingest", "nothing.gz", "--venue", "binance"), 1),
            (("simulate", "--fault", "fire:1"), 2),
            (("simulate", "nyse"), 2),
            (("tail",), 1),
            (("nope",), 2),
        ]
        for arguments, code in cases:
            done = monitor(*arguments)
            lines = done.stderr.strip().splitlines()
            assert (done.returncode, len(lines), done.stdout) == (code, 1, ""), (arguments, done)
            assert "Traceback" not in done.stderr
    (tmp_path / "recordings").mkdir(exist_ok=True)
    (tmp_path / "broken.gz").write_bytes(b"no gzip")
    done = monitor("ingest", "broken.gz", "--venue", "binance", "--recording", "b")
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (1, 1)
    assert json.loads(monitor("recordings", "--json").stdout) == []


def _stopped(held: locks.Held) -> bool:
    return {source["state"] for source in health(held.address)["sources"]} == {"stopped"}


def _count(held: locks.Held, symbol: str) -> int:
    found = [s["updates"] for s in health(held.address)["sources"] if s["symbol"] == symbol]
    return sum(found)
