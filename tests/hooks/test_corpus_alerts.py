"""Alert rules over captured sessions: silent on what is clean, exact on what is damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.corpus_faults import COINBASE, KRAKEN_CF, carries_checksum, ingest, records

pytestmark = pytest.mark.corpus
Run = Callable[..., Any]

RULES = """
[[alerts]]
kind = "gap_rate"
[[alerts]]
kind = "checksum"
severity = "alert"
[[alerts]]
kind = "crossed"
"""


def told(folder: Path, monitor: Run) -> list[str]:
    """What a replay of the recording `x` prints for the rules, without its times."""
    (folder / "rules.toml").write_text(RULES)
    done = monitor("replay", "x", "--speed", "max", "--rules", folder / "rules.toml")
    assert done.returncode == 0, done.stderr
    return [line.partition("+00:00 ")[2] or line for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("name", "venue"),
    [
        (COINBASE, "coinbase"),
        (KRAKEN_CF, "kraken-v1"),
        ("binance/hft_ethusdt_20240808", "binance"),
    ],
)
def test_a_session_as_captured_fires_nothing(
    captures: Path, tmp_path: Path, monitor: Run, name: str, venue: str
) -> None:
    ingest(tmp_path, monitor, venue, records(captures, name))
    assert told(tmp_path, monitor) == ["0 signals of alert rules"]


def test_a_wrong_checksum_fires_once(captures: Path, tmp_path: Path, monitor: Run) -> None:
    lines = records(captures, KRAKEN_CF)
    altered = [at for at, line in enumerate(lines) if carries_checksum(line)][99]
    frame = json.loads(lines[altered]["raw"])
    frame[1]["c"] = str(int(frame[1]["c"]) ^ 1)
    lines[altered] = {**lines[altered], "raw": json.dumps(frame, separators=(",", ":"))}
    ingest(tmp_path, monitor, "kraken-v1", lines)
    symbol = frame[-1].replace("XBT", "BTC").replace("/", "-")
    # The session ends before a minute without another is over.
    assert told(tmp_path, monitor) == [
        f"alert kraken-v1:{symbol} checksum: 1 failures, at or above 1",
        "1 signals of alert rules",
    ]


def test_a_lost_message_fires_for_each_book_it_spoils(
    captures: Path, tmp_path: Path, monitor: Run
) -> None:
    lines = records(captures, COINBASE)
    del lines[250]
    ingest(tmp_path, monitor, "coinbase", lines)
    symbols = {
        event["product_id"]
        for line in lines[:250]
        for event in json.loads(line["raw"]).get("events", [])
        if "product_id" in event
    }
    fired = [line for line in told(tmp_path, monitor) if line.startswith("warn")]
    assert fired == [
        f"warn coinbase:{symbol} gap_rate: 1 gaps, at or above 1" for symbol in sorted(symbols)
    ]
