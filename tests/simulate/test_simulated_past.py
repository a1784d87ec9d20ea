"""Hours of the simulated market, written at once and ingested as a recording."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
PAST_S = 600


@pytest.mark.parametrize("venue", ["binance", "kraken", "coinbase"])
def test_the_past_of_a_venue_becomes_a_sound_recording_that_ends_now(
    tmp_path: Path, monitor: Run, venue: str
) -> None:
    began_s = time.time()
    file = tmp_path / "past.ndjson.gz"
    done = monitor("simulate", venue, "--past", "10m", "--rate", 40, "--to", file)
    assert done.returncode == 0, done.stderr
    done = monitor("ingest", file, "--venue", venue, "--recording", "old")
    assert done.returncode == 0, done.stderr
    asked = (
        "SELECT epoch(min(ts_recv)) AS first, epoch(max(ts_recv)) AS last,"
        " count(*) AS quotes, count(DISTINCT symbol) AS symbols FROM quote"
    )
    (found,) = json.loads(monitor("sql", asked, "--format", "json").stdout)
    assert found["last"] - found["first"] == pytest.approx(PAST_S, abs=5)
    assert found["last"] == pytest.approx(began_s, abs=time.time() - began_s + 5)
    assert found["symbols"] == 7
    assert monitor("verify", "old").returncode == 0
    wrong = "SELECT count(*) AS n FROM status WHERE kind IN ('gap', 'checksum', 'crossed')"
    assert json.loads(monitor("sql", wrong, "--format", "json").stdout) == [{"n": 0}]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("binance", "--past", "10m"), "expected --past and --to together"),
        (("binance", "kraken", "--past", "10m", "--to", "x"), "expected one venue with --past"),
        (("binance", "--past", "10", "--to", "x"), "expected a time such as 30s"),
        (("mock", "--past", "10m", "--to", "x"), "expected a venue that speaks WebSocket"),
    ],
)
def test_a_past_that_cannot_be_made_is_refused_in_one_line(
    monitor: Run, given: tuple[str, ...], said: str
) -> None:
    done = monitor("simulate", *given)
    assert done.returncode == 2
    assert said in done.stderr and done.stderr.count("\n") == 1
