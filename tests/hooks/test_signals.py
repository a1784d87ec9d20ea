"""Signals of a live run and of its replays: the same ones, in every column, at every speed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.faulty import collecting, plain

from monitor import recordings
from monitor.graph.pipeline import Graph
from monitor.hooks import builtin, user_hooks
from monitor.recordings.player import Player
from monitor.rows.batches import Batch
from monitor.settings import configuration

VENUES = ("binance", "kraken", "coinbase")
FAULTS = ("gap:0.01", "duplicate:0.01", "corrupt:0.005", "crc:0.05", "reset@5")
# Long enough for several resets and for rules that look back.
SPAN_NS = 14_000_000_000
SETTINGS = """
[hooks]
folder = "{folder}"
[hooks.cross_venue]
threshold_bps = 0.0
taken_for = {{ USDT = "USD" }}
[[alerts]]
kind = "gap_rate"
window_s = 2
cooldown_s = 0
[[alerts]]
kind = "stale"
age_s = 0.5
cooldown_s = 0
[[alerts]]
kind = "disconnected"
down_s = 0.2
severity = "alert"
cooldown_s = 0
[[alerts]]
kind = "checksum"
window_s = 2
cooldown_s = 0
[[alerts]]
kind = "price_move"
move_percent = 0.01
window_s = 2
cooldown_s = 0
[[alerts]]
kind = "spread"
min_bps = 0.1
max_bps = 2
cooldown_s = 0
[[alerts]]
kind = "latency_p99"
latency_ms = 20
cooldown_s = 0
"""
# It keeps a state over batches, and gives a value that is not a number.
OWN = """
\"\"\"Tells at every seventh trade of an instrument how much was traded.\"\"\"

import math
import pyarrow as pa
from monitor.hooks import signals


class Hook:
    def start(self):
        return {}

    def step(self, state, batch):
        trades = batch["trade"]
        at, texts, values = [], [], []
        columns = (trades[name].to_pylist() for name in ("venue", "symbol", "price", "size"))
        for number, (venue, symbol, price, size) in enumerate(zip(*columns)):
            count, total = state.get((venue, symbol), (0, 0.0))
            state[venue, symbol] = count, total = count + 1, total + price * size
            if count % 7 == 0:
                at.append(number)
                texts.append(f"{count} trades")
                values.append(math.nan if count % 14 == 0 else total)
        return state, signals(trades.take(pa.array(at, pa.int64())), "info", texts, values)
"""


class Live(NamedTuple):
    """A recording of a live run with hooks and faults, and the file of its settings."""

    folder: Path
    name: str
    settings: Path
    digest: str


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Live:
    folder = tmp_path_factory.mktemp("live")
    own = folder / "own"
    own.mkdir()
    (own / "every_seventh.py").write_text(OWN)
    settings = folder / "monitor.toml"
    settings.write_text(SETTINGS.format(folder=own))
    flags = ["--config", str(settings)]
    with collecting(folder / "recordings", FAULTS, VENUES, instruments=2, flags=flags) as run:
        run.until(run.has_data, "data of every instrument")
        until_ns = run.now_ns + SPAN_NS
        run.until(lambda: run.now_ns > until_ns, "rows of so many seconds")
        run.stop()
    (listed,) = recordings.catalogue(folder / "recordings")
    return Live(folder / "recordings", listed["id"], settings, listed["digest"])


def told(batches: list[Batch]) -> list[str]:
    """All columns of signals but their origin, in an order that no run decides."""
    rows: list[dict[str, Any]] = [row for batch in batches for row in plain(batch["signal"])]
    return sorted(repr({k: v for k, v in row.items() if k != "origin"}) for row in rows)


def digest(signals: list[str]) -> str:
    return hashlib.sha256("\n".join(signals).encode()).hexdigest()


def recomputed(of: Live, speed: float | None) -> list[str]:
    """Replay the recorded rows through the same hooks, made anew."""
    settings = configuration.load(of.settings)
    given: list[Batch] = []
    own = user_hooks.load(settings.hooks.folder, "recomputed")
    assert not own.troubles
    graph = Graph(
        {"sink": given.append},
        [*builtin.load(settings.hooks, "recomputed", settings.alerts), *own.hooks],
    )

    def relive(batch: Batch) -> None:
        graph.emit(Batch({kind: rows for kind, rows in batch.kinds.items() if kind != "signal"}))

    with recordings.open_recording(of.folder, of.name) as opened:
        Player(opened, relive, speed=speed).run_to_end()
    assert {row["origin"] for batch in given for row in plain(batch["signal"])} == {"recomputed"}
    return told(given)


def recorded(of: Live) -> list[str]:
    with recordings.open_recording(of.folder, of.name) as opened:
        batches = list(opened.batches())
    origins = {row["origin"] for batch in batches for row in plain(batch["signal"])}
    assert origins == {"recorded"}
    return told(batches)


def test_the_live_run_gave_signals_of_every_kind_of_hook(live: Live) -> None:
    with recordings.open_recording(live.folder, live.name) as opened:
        rows = [row for batch in opened.batches() for row in plain(batch["signal"])]
        statuses = [row for batch in opened.batches() for row in plain(batch["status"])]
    hook = Counter(row["hook"] for row in rows)
    assert set(hook) == {"alerts", "cross_venue", "every_seventh"}
    assert min(hook.values()) >= 5, hook
    rules = {row["text"].partition(":")[0] for row in rows if row["hook"] == "alerts"}
    assert {"gap_rate", "checksum", "disconnected", "price_move"} <= rules, rules
    mixed = [row for row in rows if "(USDT as USD)" in row["text"]]
    assert mixed and {row["hook"] for row in mixed} == {"cross_venue"}
    assert {"gap", "checksum", "disconnected", "resync"} <= {row["kind"] for row in statuses}
    assert not any(row["kind"].startswith("hook_") for row in statuses)


@pytest.mark.parametrize("speed", [None, 4.0])
def test_a_replay_at_any_speed_gives_exactly_the_signals_of_the_live_run(
    live: Live, speed: float | None
) -> None:
    was, again = recorded(live), recomputed(live, speed)
    assert again == was
    assert digest(again) == digest(was)


@pytest.mark.parametrize("speed", ["max", "10"])
def test_the_command_line_says_that_they_are_equal(live: Live, speed: str) -> None:
    command = [sys.executable, "-m", "monitor.cli", "replay", live.name, "--speed", speed]
    command += ["--config", str(live.settings), "--recordings", str(live.folder), "--digest"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    count = len(recorded(live))
    expected = f"signals: {count} recorded, {count} recomputed, {count} equal"
    assert expected in done.stderr.splitlines()
    assert done.stdout.split()[-1] == live.digest
