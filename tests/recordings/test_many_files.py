"""More recordings and segments than a process may have files open."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.made_rows import MS, batch_of, record, row

from monitor import recordings
from monitor.recordings import merge, segment_files
from monitor.recordings.recorder import Recorder
from monitor.rows.batches import column
from monitor.settings.configuration import RecorderSettings

START, MINUTE = 1_700_000_000_000_000_000, 60_000 * MS
# What the commands may have open, and how many recordings there are.
LIMIT, COUNT = 80, 100


def quotes(at_ns: int, count: int = 3) -> list[Any]:
    rows = [("quote", row("quote", n, at_ns + n * MS, float(n))) for n in range(count)]
    return [batch_of(rows)]


@pytest.fixture
def limited(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command of the program that may have few files open."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        given = [sys.executable, "-m", "monitor.cli", *map(str, arguments)]
        command = ["bash", "-c", f'ulimit -n {LIMIT} && exec "$@"', "bash", *given]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def test_many_recordings_of_one_time_are_read_under_a_small_limit(
    tmp_path: Path, limited: Callable[..., Any]
) -> None:
    folder = tmp_path / "recordings"
    record(folder / "r000", quotes(START))
    names = [f"r{at:03d}" for at in range(COUNT)]
    for name in names[1:]:
        (folder / name).mkdir()
        os.link(folder / "r000" / "000.duckdb", folder / name / "000.duckdb")
    done = limited("replay", *names, "--speed", "max")
    assert done.returncode == 0, done.stderr
    assert f"{3 * COUNT} quote" in done.stderr
    assert limited("recordings").returncode == 0
    assert limited("verify", "r099").returncode == 0
    # Each segment of a statement stays open: too many are refused in one line.
    done = limited("sql", "SELECT count(*) AS n FROM quote")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert f"under the limit of {LIMIT} open files (ulimit -n), found {COUNT}" in line
    for statement, options in (
        ("SELECT count(*) AS n FROM recordings", ()),
        ("SELECT 97 + count(*) AS n FROM quote", ("--recording", "r005")),
    ):
        done = limited("sql", statement, *options, "--format", "csv")
        assert (done.returncode, done.stdout) == (0, "n\n100\n"), done.stderr


def test_many_segments_are_read_under_a_small_limit(
    tmp_path: Path, limited: Callable[..., Any]
) -> None:
    folder = tmp_path / "recordings"
    record(folder / "x", quotes(START))
    for at in range(1, COUNT):
        shutil.copy(folder / "x" / "000.duckdb", folder / "x" / f"{at:03d}.duckdb")
    done = limited("replay", "x", "--speed", "max")
    assert done.returncode == 0, done.stderr
    assert f"{3 * COUNT} quote" in done.stderr
    assert limited("export", "x", "--to", "out").returncode == 0


def test_recordings_are_put_in_order_alike_however_few_files_are_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Some at one time, some behind others, some of several segments.
    starts = [START, START + MS, START, START + MINUTE, START + 2 * MINUTE, START + MINUTE]
    for at, start_ns in enumerate(starts):
        settings = RecorderSettings(segment_mb=1e-6) if at % 2 else None
        recorder = Recorder(tmp_path / f"r{at}", ["test:X"], lambda *_: None, settings)
        recorder.start()
        recorder(quotes(start_ns, 5)[0])
        recorder.close()
    names = [f"r{at}" for at in range(len(starts))]

    def read() -> list[tuple[int, int, float]]:
        with merge.open_recordings(tmp_path, names) as opened:
            return [
                row
                for batch in opened.batches(batch_rows=2)
                for row in zip(
                    column(batch["quote"], "ord").tolist(),
                    column(batch["quote"], "ts_recv").tolist(),
                    batch["quote"]["bid"].to_pylist(),
                    strict=True,
                )
            ]

    # By hand: time, then the recording, then the place in it.
    made = [(start + n * MS, at, float(n)) for at, start in enumerate(starts) for n in range(5)]
    expected = [(place, at_ns, bid) for place, (at_ns, _, bid) in enumerate(sorted(made))]
    assert read() == expected
    monkeypatch.setattr(segment_files, "MOST_OPEN", 1)
    monkeypatch.setattr(merge, "HELD_ROWS", 12)
    assert read() == expected


def test_a_file_that_is_replaced_before_it_is_opened_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "x"):
        record(tmp_path / name, quotes(START))
    monkeypatch.setattr(segment_files, "MOST_OPEN", 1)
    # The first has the only room.
    with (
        recordings.open_recording(tmp_path, "first"),
        recordings.open_recording(tmp_path, "x") as opened,
    ):
        file = tmp_path / "x" / "000.duckdb"
        shutil.copy(file, tmp_path / "other")
        (tmp_path / "other").rename(file)
        with pytest.raises(FileNotFoundError, match=r"000\.duckdb where it was made"):
            list(opened.batches())
