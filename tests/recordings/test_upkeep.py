"""Upkeep: finished days become one file with the same rows and digest; what is too old goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import reference_digest
from support.made_rows import batch_of, row
from support.running import until

from monitor import recordings
from monitor._rust_feed import Digest
from monitor.recordings.segments import About, Segment
from monitor.recordings.upkeep import COMPACTING_SUFFIX, DAY_NS, REMOVED, Upkeep, compact, retain
from monitor.rows.batches import Batch
from monitor.settings.configuration import RetentionSettings
from monitor.verify.verification import verify

MONDAY = 20_000 * DAY_NS
HOUR_NS = 3_600_000_000_000


def made(folder: Path, starts: list[int], rows: int = 5) -> list[Batch]:
    """Seal a segment of so many rows of three kinds at each start; return all batches."""
    folder.mkdir(parents=True)
    digest, batches, number = Digest(), [], 0
    for at, start in enumerate(starts):
        about = About(folder.name, starts[0], None, "open", ["test:X"], None)
        segment = Segment(folder / f"{at:03d}.duckdb", about)
        for _ in range(rows):
            wanted = [
                (kind, row(kind, number + step, start + number + step))
                for step, kind in enumerate(("quote", "trade", "clock"))
            ]
            number += len(wanted)
            batches.append(batch_of(wanted))
            segment.write(batches[-1])
            digest.update(dict(batches[-1].kinds))
        segment.seal(start + number, digest.hexdigest())
    return batches


def rows_of(folder: Path, name: str) -> tuple[str, int]:
    """Return the digest of a recording's rows, and how many there are."""
    with recordings.open_recording(folder, name) as opened:
        batches = list(opened.batches())
    return reference_digest.digest(batches), sum(batch.row_count for batch in batches)


def test_each_finished_day_becomes_one_file_with_the_same_rows_and_digest(tmp_path: Path) -> None:
    hours = [0, 10, 23, 24, 30, 48]
    batches = made(tmp_path / "x", [MONDAY + hour * HOUR_NS for hour in hours])
    (before,) = recordings.catalogue(tmp_path)
    deeds = list(compact(tmp_path, MONDAY + 49 * HOUR_NS))
    assert deeds == [
        "x/000.duckdb: holds the rows of 3 segments now",
        "x/003.duckdb: holds the rows of 2 segments now",
    ]
    names = sorted(file.name for file in (tmp_path / "x").glob("*.duckdb*"))
    assert names == ["000.duckdb", "003.duckdb", "005.duckdb"]
    (after,) = recordings.catalogue(tmp_path)
    unsized = {key: value for key, value in before.items() if key != "bytes"}
    assert {key: value for key, value in after.items() if key != "bytes"} == unsized
    assert rows_of(tmp_path, "x") == (reference_digest.digest(batches), 6 * 15)
    assert after["digest"] == reference_digest.digest(batches)
    assert list(compact(tmp_path, MONDAY + 49 * HOUR_NS)) == []


def test_an_unclean_segment_stays_so_within_a_day(tmp_path: Path) -> None:
    made(tmp_path / "x", [MONDAY])
    open_about = About("x", MONDAY, None, "open", ["test:X"], None)
    unclean = Segment(tmp_path / "x" / "001.duckdb", open_about)
    unclean.write(batch_of([("quote", row("quote", 100, MONDAY + HOUR_NS))]))
    unclean.seal(MONDAY + HOUR_NS, None, "unclean")
    clean = Segment(tmp_path / "x" / "002.duckdb", open_about)
    clean.write(batch_of([("quote", row("quote", 200, MONDAY + 2 * HOUR_NS))]))
    clean.seal(MONDAY + 2 * HOUR_NS, "d")
    assert len(list(compact(tmp_path, MONDAY + DAY_NS))) == 1
    (after,) = recordings.catalogue(tmp_path)
    assert (after["state"], after["rows"]["quote"]) == ("unclean", 7)


def test_a_compaction_cut_short_is_read_once_and_tidied_up(tmp_path: Path) -> None:
    batches = made(tmp_path / "x", [MONDAY, MONDAY + HOUR_NS, MONDAY + 2 * HOUR_NS])
    folder = tmp_path / "x"
    kept = {file.name: file.read_bytes() for file in folder.iterdir()}
    (folder / f"000.duckdb{COMPACTING_SUFFIX}").write_bytes(b"half of it")
    assert list(compact(tmp_path, MONDAY + DAY_NS))
    # As if it had been killed before it removed the last of the old files.
    (folder / "002.duckdb").write_bytes(kept["002.duckdb"])
    assert rows_of(tmp_path, "x") == (reference_digest.digest(batches), 45)
    (described,) = recordings.catalogue(tmp_path)
    assert described["rows"]["quote"] == 15
    deeds = list(compact(tmp_path, MONDAY + DAY_NS))
    assert deeds == ["x/002.duckdb: removed, for another file holds its rows"]
    assert [file.name for file in folder.glob("*.duckdb*")] == ["000.duckdb"]


def test_the_oldest_segments_go_by_age_and_by_size(tmp_path: Path) -> None:
    made(tmp_path / "a", [MONDAY, MONDAY + DAY_NS])
    made(tmp_path / "b", [MONDAY + 2 * DAY_NS])
    now_ns = MONDAY + 3 * DAY_NS
    assert list(retain(tmp_path, now_ns, None, None)) == []
    assert list(retain(tmp_path, now_ns, 2.5, None)) == ["a/000.duckdb: removed, too old"]
    (told,) = json.loads((tmp_path / "a" / REMOVED).read_text())
    assert (told["segment"], told["ords"]) == ("000.duckdb", [0, 14])
    report = verify(tmp_path, "a")
    assert not report.is_damaged
    (note,) = report.document["notes"]
    assert note == "000.duckdb: removed to keep the folder small, so without a digest"
    size = sum(file.stat().st_size for file in tmp_path.glob("*/*.duckdb"))
    deeds = list(retain(tmp_path, now_ns, None, size - 1))
    assert deeds == ["a/001.duckdb: removed, too large a folder"]
    # Nothing is left of it.
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_folder_left_by_a_compaction_keeps_nothing_from_being_kept_up(tmp_path: Path) -> None:
    made(tmp_path / "a", [MONDAY, MONDAY + HOUR_NS])
    made(tmp_path / "b", [MONDAY, MONDAY + HOUR_NS])
    # What DuckDB spilled, whose process was killed.
    left = tmp_path / "a" / f"000.duckdb{COMPACTING_SUFFIX}.tmp"
    left.mkdir()
    (left / "block").write_bytes(b"spilled")
    deeds = list(compact(tmp_path, MONDAY + DAY_NS))
    assert deeds == [f"{name}/000.duckdb: holds the rows of 2 segments now" for name in "ab"]
    assert not left.exists()


def test_what_a_link_leads_to_is_not_removed(tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "recordings"
    made(elsewhere / "linked", [MONDAY, MONDAY + HOUR_NS])
    made(folder / "own", [MONDAY])
    (folder / "linked").symlink_to(elsewhere / "linked")
    assert list(compact(folder, MONDAY + DAY_NS)) == []
    assert list(retain(folder, MONDAY + DAY_NS, None, 0)) == [
        "own/000.duckdb: removed, too large a folder"
    ]
    assert len(list((elsewhere / "linked").glob("*.duckdb"))) == 2


def test_a_clock_that_jumps_by_years_removes_nothing(tmp_path: Path) -> None:
    year_ns = 365 * DAY_NS
    made(tmp_path / "a", [MONDAY, MONDAY + DAY_NS])
    now_ns = MONDAY + 73 * year_ns
    assert list(retain(tmp_path, now_ns, 30.0, None)) == []
    # It records on by the wrong clock.
    made(tmp_path / "b", [now_ns])
    (told,) = retain(tmp_path, now_ns + DAY_NS, 30.0, None)
    assert "a clock may have been wrong" in told
    assert len(list(tmp_path.glob("*/*.duckdb"))) == 3
    # What comes after the hole goes by its age as ever.
    made(tmp_path / "c", [now_ns + 40 * DAY_NS])
    deeds = list(retain(tmp_path, now_ns + 40 * DAY_NS, 30.0, None))
    assert deeds[1:] == ["b/000.duckdb: removed, too old"]


def test_upkeep_that_cannot_be_started_is_reported_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tried at every tick; the tick that fails does so for want of a program to start.
    for name in ("FIRST_S", "RETRY_S"):
        monkeypatch.setattr(f"monitor.recordings.upkeep.{name}", 0.0)
    batches = made(tmp_path / "x", [MONDAY, MONDAY + HOUR_NS])
    upkeep = Upkeep(tmp_path, RetentionSettings())
    with monkeypatch.context() as broken:
        broken.setattr("sys.executable", str(tmp_path / "missing"))
        upkeep.tick()
        upkeep.tick()
    (told,) = caplog.messages
    assert told.startswith("upkeep: expected to start a process, found ")
    assert "No such file or directory" in told
    upkeep.tick()
    until(lambda: len(list((tmp_path / "x").glob("*.duckdb"))) == 1, "one file of the day")
    upkeep.close()
    with recordings.open_recording(tmp_path, "x") as opened:
        found = list(opened.batches())
    assert reference_digest.digest(found) == reference_digest.digest(batches)
