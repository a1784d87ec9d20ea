"""Real captured frames through the whole program must give what an independent decoder finds."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.corpus import expected, recorded
from support.running import collector_of, simulator_urls, until

from monitor.processes import locks

pytestmark = pytest.mark.corpus
Run = Callable[..., Any]

FILES = [
    ("binance/hft_ethusdt_20240808.norm.ndjson.gz", "binance", {"quote": 24077, "trade": 6106}),
    ("binance/hft_ethusdt_20240809.norm.ndjson.gz", "binance", {"quote": 34681, "trade": 8409}),
    (
        "coinbase_advanced/cf_v3_20260809_seq0_499.norm.ndjson.gz",
        "coinbase",
        {"quote": 81, "trade": 250},
    ),
    ("kraken_v2/lookup_misc.norm.ndjson.gz", "kraken", {"quote": 1, "trade": 1}),
    ("kraken_v2/depthcharge_kraken_minagbp_d25_20260816.norm.ndjson.gz", "kraken", {}),
    ("kraken_v2/python_kraken_sdk_book10_v2.norm.ndjson.gz", "kraken", {}),
]


@pytest.mark.parametrize(("name", "venue", "counts"), FILES)
def test_ingested_rows_equal_the_independent_decoder(
    captures: Path, tmp_path: Path, monitor: Run, name: str, venue: str, counts: dict[str, int]
) -> None:
    done = monitor("ingest", captures / name, "--venue", venue, "--recording", "x")
    assert done.returncode == 0, done.stderr
    rows = expected(captures / name, venue)
    assert recorded(tmp_path / "recordings", "x") == rows
    assert Counter(row[0] for row in rows) == counts


def test_a_changed_price_changes_the_digest(captures: Path, tmp_path: Path, monitor: Run) -> None:
    source = captures / "coinbase_advanced/cf_v3_20260809_seq0_499.norm.ndjson.gz"
    with gzip.open(source, "rt", encoding="utf-8") as lines:
        text = lines.read()
    trades = text.index(r"\"channel\":\"market_trades\",\"timestamp\"")
    before, after = text[:trades], text[trades:]
    assert "65083.67" in after
    (tmp_path / "same.ndjson").write_text(text, encoding="utf-8")
    other = before + after.replace("65083.67", "65083.68", 1)
    (tmp_path / "other.ndjson").write_text(other, encoding="utf-8")
    digests = [
        monitor("ingest", path, "--venue", "coinbase").stdout.split()[-1]
        for path in (source, tmp_path / "same.ndjson", tmp_path / "other.ndjson")
    ]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("name", "venue", "source"),
    [
        ("binance/hft_ethusdt_20240808.norm.ndjson.gz", "binance", "ETH-USDT"),
        ("coinbase_advanced/cf_v3_20260809_seq0_499.norm.ndjson.gz", "coinbase", "BTC-USD"),
        ("kraken_v2/lookup_misc.norm.ndjson.gz", "kraken", "USDT-USD"),
    ],
)
def test_frames_played_over_a_real_socket_are_recorded_and_replayed(
    captures: Path,
    tmp_path: Path,
    monitor: Run,
    background: Run,
    name: str,
    venue: str,
    source: str,
) -> None:
    folder = tmp_path / "recordings"
    played = background(
        "simulate", "--capture", captures / name, "--venue", venue, "--speed", "max"
    )
    endpoint = simulator_urls(played)
    live = background("record", f"{venue}:{source}", "--endpoint", endpoint)
    held = collector_of(folder)
    wanted = expected(captures / name, venue, with_recv=False)
    until(lambda: _ticks(held) >= len(wanted), f"{len(wanted)} rows", 60)
    live.terminate()
    digest = live.stdout.read().split()[-1]
    assert live.wait(10) == 0
    assert recorded(folder, held.recording, with_recv=False) == wanted
    for speed in ("max", "1000"):
        again = monitor("replay", held.recording, "--speed", speed, "--digest")
        assert again.stdout.split()[-1] == digest
    described = json.loads(monitor("recordings", "--json").stdout)
    assert [(item["digest"], item["state"]) for item in described] == [(digest, "sealed")]
    assert locks.holder(folder) is None


def _ticks(held: locks.Held) -> int:
    """Return how many quotes and trades the collector has had."""
    import requests

    text = requests.get(f"http://{held.address}/metrics", timeout=10).text
    wanted = ('monitor_rows_total{kind="quote"}', 'monitor_rows_total{kind="trade"}')
    return sum(int(float(line.split()[1])) for line in text.splitlines() if line.startswith(wanted))
