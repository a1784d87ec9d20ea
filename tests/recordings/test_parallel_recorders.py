"""Recorders beside each other, and a recording whose files are taken away while it is written."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from support.made_rows import MS, batch_of, ignore, record, row
from support.running import collector_of, until

from monitor import recordings
from monitor.processes import locks
from monitor.recordings.recorder import Recorder
from monitor.settings.configuration import RecorderSettings
from monitor.verify.verification import verify

Run = Callable[..., Any]
START, MINUTE = 1_700_000_000_000_000_000, 60_000 * MS


def quotes(count: int, every_ns: int) -> list[Any]:
    return [
        batch_of([("quote", row("quote", n, START + n * every_ns, float(n)))]) for n in range(count)
    ]


def test_a_collector_that_starts_leaves_what_others_record_alone(
    tmp_path: Path, background: Run, monitor: Run
) -> None:
    folder = tmp_path / "recordings"
    record(folder / "past", quotes(60, MS * 100))
    replay = background("replay", "past", "--record", "again")
    until(lambda: list(folder.glob("again/*.open")), "the second recorder")
    assert locks.is_written(folder / "again")
    assert {one["id"]: one["state"] for one in recordings.catalogue(folder)}["again"] == "open"
    # Another one may not write there.
    with pytest.raises(locks.LockedError, match="no other recorder"):
        Recorder(folder / "again", ["test:X"], ignore).start()
    done = monitor("record", "--simulated", "--for", "1s")
    assert done.returncode == 0, done.stderr
    assert replay.wait(60) == 0
    described = {one["id"]: one for one in recordings.catalogue(folder)}
    assert described["again"]["state"] == "sealed"
    assert described["again"]["rows"]["quote"] == 60
    assert not verify(folder, "again").is_damaged
    assert not list(folder.glob("*/*.damaged"))


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_a_folder_that_is_taken_away_is_reported_and_recording_goes_on(
    tmp_path: Path, how: str
) -> None:
    folder = tmp_path / "recordings"
    command = [sys.executable, "-m", "monitor.cli", "record", "--simulated"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        held = collector_of(folder)

        def recorder() -> dict[str, Any]:
            answer = requests.get(f"http://{held.address}/health", timeout=30)
            return dict(answer.json()["recorder"])

        def trouble() -> bool:
            # It may be recording again by now, into another segment.
            return bool(recorder()["unrecorded_rows"])

        file = folder / held.recording / "000.duckdb.open"
        until(file.exists, "the first segment")
        if how == "deleted":
            shutil.rmtree(file.parent)
        else:
            file.parent.rename(tmp_path / "elsewhere")
        until(trouble, "rows that are told to be lost")
        until(lambda: recorder()["state"] == "recording", "recording again")
        until(lambda: list(file.parent.glob("*.duckdb.open")), "another segment")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert len(out.strip()) == 64
    assert "expected all rows recorded, found " in err
    assert "Traceback" not in err
    (described,) = recordings.catalogue(folder)
    assert described["state"] == "sealed"
    assert described["rows"]["clock"] > 0


def test_segments_are_read_by_their_numbers(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "x", ["test:X"], ignore, RecorderSettings(segment_mb=1e-6))
    recorder.start()
    for batch in quotes(4, MINUTE):
        before = recorder.segment_number
        recorder(batch)
        until(lambda before=before: recorder.segment_number > before, "a segment more")
    recorder.close()
    made = sorted((tmp_path / "x").glob("*.duckdb"))
    for number, file in enumerate(made, 998):
        file.rename(file.with_name(f"{number}.duckdb"))
    with recordings.open_recording(tmp_path, "x") as opened:
        ords = [n for batch in opened.batches() for n in batch["quote"]["ord"].to_pylist()]
    assert len(made) >= 3 and ords == [0, 1, 2, 3]
    assert not verify(tmp_path, "x").is_damaged


def test_a_copy_that_nobody_takes_away_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.recordings.recorder.COPY_S", 0.0)
    recorder = Recorder(tmp_path / "x", ["test:X"], ignore)
    recorder.start()
    recorder(quotes(1, MS)[0])
    copy = recorder.snapshot()
    assert copy.exists()
    until(lambda: not copy.exists(), "the copy to go")
    recorder.close()
