"""What a kill, a power cut and a failing disk leave of a recording: all that was committed."""

from __future__ import annotations

import json
import random
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests
from support.disk import Disk, Platter
from support.disk import segments as program
from support.killed_recorders import (
    PROGRAM,
    WAL,
    check,
    committed,
    damage,
    feed,
    last,
    lines,
    logged,
    recorded,
    told,
)
from support.running import until

from monitor import recordings
from monitor.processes import locks
from monitor.recordings import recovery

ROWS = program.SEGMENTS * program.JOURNALS * program.BATCHES * program.ROWS
# Of all places where a process may be killed, so many are tried; the long form tries each.
KILLS = 8


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_a_kill_before_any_change_of_a_file_leaves_what_was_committed(
    disk: Disk, tmp_path: Path
) -> None:
    changes = logged(disk)
    check(disk.folder, ROWS, "no kill")
    labelled = [at for at, change in enumerate(changes) if change.operation in "ru"]
    draw = random.Random(4)
    chosen = sorted({*labelled, *draw.sample(range(len(changes)), KILLS)})
    for at in chosen:
        tried = Disk(_made(tmp_path / f"kill-{at}"))
        with tried.start(PROGRAM, kill=at) as child:
            assert child.wait() == -9
        check(tried.folder, committed(tried.folder), f"killed before {changes[at][:3]}")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_power_cut_after_any_sync_leaves_what_was_committed(disk: Disk, tmp_path: Path) -> None:
    platter, safe, draw = Platter(), 0, random.Random(7)
    for at, change in enumerate(logged(disk)):
        if change.path.endswith("committed"):
            if change.operation == "w":
                safe = int(change.data)
            continue
        platter.take(change)
        if change.operation != "s":
            continue
        for chance in (None, draw):
            folder = tmp_path / f"cut-{at}-{draw.random()}"
            folder.mkdir()
            platter.cut(folder, chance)
            check(folder, safe, f"power cut after {at}: {change[:3]}")


def test_a_recorder_killed_at_work_loses_nothing_committed(disk: Disk) -> None:
    with feed(disk, 20_000) as child:
        told(child, "started")
        until(lambda: len(lines(disk.folder / "fed")) > 60, "rows")
        child.kill()
    (line,) = recovery.recover_all(disk.folder)
    assert line == "x/000.duckdb.open: recovered and sealed as unclean"
    ords = recorded(disk.folder)
    assert ords == list(range(len(ords)))
    assert ords[-1] >= last(disk, "committed")
    (described,) = recordings.catalogue(disk.folder)
    assert described["state"] == "unclean"


@pytest.mark.parametrize("fault", ["write 28", "sync 5"])
def test_a_full_or_broken_disk_is_told_counted_and_recovered_from(disk: Disk, fault: str) -> None:
    with feed(disk, 5_000) as child:
        told(child, "started")
        until(lambda: last(disk, "committed") > 500, "rows")
        disk.break_down(fault)
        assert told(child, "unrecorded")["count"] > 0
        until(lambda: last(disk, "fed") > last(disk, "committed") + 5_000, "a loss")
        disk.mend()
        assert told(child, "recording")["count"] > 5_000
        said = told(child, "recovered")["detail"]
        assert said == "x/000.duckdb.open: recovered and sealed as unclean"
        before = last(disk, "committed")
        until(lambda: last(disk, "committed") > before, "rows again")
        assert child.stdin is not None
        child.stdin.close()
        end = told(child, "ended")
    ords = recorded(disk.folder)
    assert len(ords) == end["fed"] - end["unrecorded"]
    assert ords == sorted(set(ords))
    # One hole, and nothing else is missing.
    assert sum(b - a != 1 for a, b in pairwise(ords)) == 1
    assert (ords[0], ords[-1]) == (0, end["fed"] - 1)
    assert not list(disk.folder.glob("*/*.damaged"))


def test_a_slow_disk_costs_what_finds_the_queue_full_and_says_so(disk: Disk) -> None:
    with feed(disk, 20_000, queue_bytes=200_000) as child:
        told(child, "started")
        disk.break_down("slow 1500")
        count = told(child, "unrecorded")["count"]
        disk.mend()
        assert child.stdin is not None
        child.stdin.close()
        end = told(child, "ended")
    ords = recorded(disk.folder)
    assert len(ords) == end["fed"] - end["unrecorded"]
    assert 0 < count <= end["unrecorded"]
    (described,) = recordings.catalogue(disk.folder)
    assert (described["state"], described["digest"]) == ("sealed", end["digest"])


def test_of_a_log_with_a_wrong_byte_what_comes_before_it_is_kept(disk: Disk) -> None:
    with feed(disk, 20_000) as child:
        told(child, "started")
        until(lambda: len(lines(disk.folder / "fed")) > 60, "rows")
        child.kill()
    before = last(disk, "committed")
    damage(disk.folder / "x" / WAL, 0.5)
    (line,) = recovery.recover_all(disk.folder)
    assert "of its log can be read; recovered and sealed as unclean" in line
    assert [file.name for file in disk.folder.glob("x/*.damaged")] == [f"{WAL}.damaged"]
    ords = recorded(disk.folder)
    assert ords == list(range(len(ords)))
    assert before / 4 < len(ords) < before
    (described,) = recordings.catalogue(disk.folder)
    assert described["state"] == "damaged"


def test_a_file_with_a_wrong_header_is_set_aside_and_named(disk: Disk) -> None:
    with feed(disk, 20_000) as child:
        told(child, "started")
        child.kill()
    damage(disk.folder / "x" / "000.duckdb.open", 0.0)
    (line,) = recovery.recover_all(disk.folder)
    assert line.startswith("x/000.duckdb.open: expected a readable segment, found ")
    (described,) = recordings.catalogue(disk.folder)
    assert described["state"] == "damaged"


def test_a_collector_goes_on_without_its_disk_and_says_so(disk: Disk, monitor: Any) -> None:
    command = ["-m", "monitor.cli", "record", "mock:BTC-USD", "--recordings"]
    # The folders of recordings are named by their time; the lock beside them is left alone.
    with disk.start(command, match="2") as child:
        held = until(lambda: locks.holder(disk.folder), "a collector")
        headers = {"Authorization": f"Bearer {held.token}"}

        def health() -> dict[str, Any]:
            found: dict[str, Any] = requests.get(f"http://{held.address}/health", timeout=10).json()
            return found

        def updates() -> int:
            return sum(source["updates"] for source in health()["sources"])

        until(lambda: updates() > 10, "updates")
        disk.break_down("write 28")
        until(lambda: health()["recorder"]["state"] == "failed", "the failure")
        seen = updates()
        until(lambda: updates() > seen + 10, "updates in spite of it")
        assert health()["status"] == "failed"
        about = requests.get(f"http://{held.address}/sources", headers=headers, timeout=10).json()
        assert about["trouble"].startswith("NOT RECORDING: ")
        assert "No space left on device" in about["trouble"]
        disk.mend()
        until(lambda: health()["recorder"]["state"] == "recording", "the recovery")
        unrecorded = health()["recorder"]["unrecorded_rows"]
        until((disk.folder / held.recording / "000.duckdb").exists, "the first segment")
        seen = updates()
        until(lambda: updates() > seen + 10, "updates after it")
        child.terminate()
        assert child.stdout is not None
        digest = child.stdout.read().split()[-1]
    (described,) = recordings.catalogue(disk.folder)
    assert described["state"] == "unclean"
    query = "SELECT kind, count FROM status WHERE scope = 'recorder' ORDER BY ord"
    rows = json.loads(monitor("sql", query, "--format", "json").stdout)
    assert [row["kind"] for row in rows] == ["unrecorded", "recording", "recovered"]
    assert rows[0]["count"] == rows[1]["count"] == unrecorded > 0
    # Whoever looks for what is missing finds it, with the reason.
    assert described["gaps"] == 1
    (gap,) = json.loads(monitor("sql", "FROM gaps", "--format", "json").stdout)
    assert (gap["kind"], gap["count"]) == ("unrecorded", unrecorded)
    assert re.fullmatch(r"rows from \S+ to \S+: .*No space left on device.*", gap["detail"])
    verified = json.loads(monitor("verify", held.recording, "--json").stdout)
    assert (verified["told"], verified["problems"]) == ({"unrecorded": 1}, [])
    # The row that told of the failure is lost as well.
    assert verified["missing"] == unrecorded
    replayed = monitor("replay", held.recording, "--speed", "max", "--digest")
    assert replayed.stdout.split()[-1] == digest
