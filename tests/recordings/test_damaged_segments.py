"""A recording with a segment that cannot be read: commands work, and say what they leave out."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from support.made_rows import batch_of, record, row
from support.running import collector_of, until

from monitor.processes import collector_client

Run = Callable[..., Any]
ROWS = 10
LINE = "monitor: expected every segment to be readable, left out x/001.duckdb\n"


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A recording `x` of three segments, the second of which is no database."""
    folder = tmp_path / "recordings"
    for part in range(3):
        numbers = range(part * ROWS, (part + 1) * ROWS)
        record(folder / "x", [batch_of([("quote", row("quote", n, n * 10**9)) for n in numbers])])
    (folder / "x" / "001.duckdb").write_bytes(b"no database")
    return folder


def test_an_export_says_which_segment_it_leaves_out(
    damaged: Path, tmp_path: Path, monitor: Run
) -> None:
    done = monitor("export", "x", "--to", "out")
    assert done.returncode == 1
    assert done.stderr.endswith(LINE)
    ords = pq.read_table(tmp_path / "out" / "quote.parquet")["ord"].to_pylist()
    assert ords == [*range(ROWS), *range(2 * ROWS, 3 * ROWS)]


def test_a_clip_says_which_segment_it_leaves_out(
    damaged: Path, tmp_path: Path, monitor: Run
) -> None:
    window = ("--from", "1970-01-01T00:00:05", "--to", "1970-01-01T00:00:25")
    done = monitor("clip", "x", *window, "--out", "cut.duckdb")
    assert done.returncode == 1
    assert done.stderr.endswith(LINE)
    (digest,) = done.stdout.splitlines()
    assert (len(digest), (tmp_path / "cut.duckdb").is_file()) == (64, True)


def test_a_replay_says_which_segment_it_leaves_out(damaged: Path, monitor: Run) -> None:
    done = monitor("replay", "x", "--speed", "max", "--digest")
    assert done.returncode == 1
    assert done.stderr.endswith(LINE)
    assert len(done.stdout.splitlines()[-1]) == 64


def test_sql_answers_from_the_others_and_says_so(damaged: Path, monitor: Run) -> None:
    for arguments in ((), ("--recording", "x")):
        done = monitor("sql", "SELECT count(*) AS n FROM quote", "--format", "csv", *arguments)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"n\n{2 * ROWS}\n", LINE)


def test_a_whole_recording_is_said_nothing_of(damaged: Path, monitor: Run) -> None:
    whole = damaged / "x" / "002.duckdb"
    shutil.copy(whole, damaged.parent / "alone.duckdb")
    for name in ("x", "alone.duckdb"):
        (damaged / "x" / "001.duckdb").unlink(missing_ok=True)
        done = monitor("sql", "SELECT count(*) AS n FROM quote", "--recording", name)
        assert (done.returncode, done.stderr) == (0, "")
        done = monitor("replay", name, "--speed", "max")
        assert done.returncode == 0 and "left out" not in done.stderr


def test_what_a_kill_left_open_is_said_to_be_left_out_until_it_is_recovered(
    tmp_path: Path, background: Run, monitor: Run
) -> None:
    folder = tmp_path / "recordings"
    live = background("record", "mock:BTC-USD", "--simulated")
    held = collector_of(folder)
    until(lambda: collector_client.request(held, "GET", "/sources").json()["rows"] > 100, "rows")
    done = monitor("sql", "SELECT count(*) AS n FROM clock")
    assert (done.returncode, done.stderr) == (0, "")
    os.kill(live.pid, signal.SIGKILL)
    live.wait()
    # A whole segment stands beside the one that was left open.
    record(folder / "other", [batch_of([("quote", row("quote", 0, 0))])])
    shutil.copy(folder / "other" / "000.duckdb", folder / held.recording / "900.duckdb")
    file = f"{held.recording}/000.duckdb.open"
    left = f"monitor: expected every segment to be readable, left out {file}\n"
    done = monitor("sql", "SELECT count(*) AS n FROM quote")
    assert (done.returncode, done.stderr) == (0, left)
    done = monitor("export", held.recording, "--to", "out")
    assert done.returncode == 1 and done.stderr.endswith(left)
