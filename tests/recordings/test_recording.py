"""Recorder, recordings and replay on real DuckDB files."""

from __future__ import annotations

import gc
import re
import time
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import reference_digest
from support.killed_recorders import kill_a_recorder
from support.made_rows import MS, batch_of, ignore, record, row
from support.running import until

from monitor import recordings
from monitor.page.viewer_replay import Replaying
from monitor.page.views.recordings_table import table
from monitor.processes import locks
from monitor.recordings import reading, recovery, segment_reader
from monitor.recordings.player import Player
from monitor.recordings.recorder import Recorder
from monitor.recordings.segments import About, Journal, Segment
from monitor.rows.batches import Batch
from monitor.settings.configuration import HookSettings, RecorderSettings

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["quote", "trade", "status", "clock", "frame"]),
        st.integers(0, 300 * MS),
        st.one_of(st.none(), st.floats(allow_nan=False)),
    ),
    min_size=1,
    max_size=40,
)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(made=ROWS, cut=st.integers(1, 7), speed=st.sampled_from([None, 1000.0, 100.0]))
def test_a_replay_gives_what_was_recorded(
    tmp_path_factory: pytest.TempPathFactory,
    made: list[tuple[str, int, float | None]],
    cut: int,
    speed: float | None,
) -> None:
    folder = tmp_path_factory.mktemp("recordings")
    rows, now = [], 1_700_000_000_000_000_000
    for number, (kind, pause, value) in enumerate(made):
        now += pause
        rows.append((kind, row(kind, number, now, value)))
    batches = [batch_of(rows[at : at + cut]) for at in range(0, len(rows), cut)]
    recorder = record(folder / "x", batches)
    seen: list[Batch] = []
    with recordings.open_recording(folder, "x") as opened:
        Player(opened, seen.append, speed=speed).run_to_end()
    expected = reference_digest.digest(batches)
    assert recorder.digest == expected
    assert reference_digest.digest(seen) == expected


def test_segments_are_sealed_by_size_and_read_as_one(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "x", ["test:X"], ignore, RecorderSettings(segment_mb=1e-6))
    recorder.start()
    recorder(batch_of([("quote", row("quote", 0, 5))]))
    until((tmp_path / "x" / "000.duckdb").exists, "a sealed segment")
    recorder(batch_of([("quote", row("quote", 1, 6))]))
    recorder.close()
    assert len(list((tmp_path / "x").glob("*.duckdb"))) >= 2
    with recordings.open_recording(tmp_path, "x") as opened:
        ords = [n for b in opened.batches() for n in b["quote"]["ord"].to_pylist()]
    assert ords == [0, 1]


def test_journals_are_taken_one_after_the_other_and_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.recordings.recorder.JOURNAL_BYTES", 1)
    batches = [
        batch_of([("quote", row("quote", n, n)), ("trade", row("trade", n + 1, n))])
        for n in range(0, 200, 2)
    ]
    recorder = Recorder(tmp_path / "x", ["test:X"], ignore)
    recorder.start()
    for batch in batches:
        recorder(batch)
        until(lambda: not recorder.lag_ms, "a commit")
    recorder.close()
    assert recorder._journal_number > 2
    assert [file.name for file in (tmp_path / "x").iterdir()] == ["000.duckdb"]
    with recordings.open_recording(tmp_path, "x") as opened:
        assert reference_digest.digest(list(opened.batches())) == reference_digest.digest(batches)
    (described,) = recordings.catalogue(tmp_path)
    assert (described["state"], described["digest"]) == ("sealed", recorder.digest)


def test_what_a_segment_has_of_a_journal_is_not_taken_twice(tmp_path: Path) -> None:
    about = About("x", 0, None, "open", [], None)
    (tmp_path / "x").mkdir()
    segment = Segment(tmp_path / "x" / "000.duckdb", about)
    for number in range(2):
        journal = Journal(segment.file, number, about)
        journal.write(batch_of([("quote", row("quote", number, number))]))
        if number == 0:
            segment.take(journal.con)
        journal.close()
    segment.abandon()
    (line,) = recovery.recover_all(tmp_path)
    assert line == "x/000.duckdb.open: recovered and sealed as unclean"
    with recordings.open_recording(tmp_path, "x") as opened:
        ords = [n for b in opened.batches() for n in b["quote"]["ord"].to_pylist()]
    assert ords == [0, 1]
    assert [file.name for file in (tmp_path / "x").glob("*.duckdb*")] == ["000.duckdb"]


def test_a_snapshot_is_readable_while_recording_goes_on(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "x", ["test:X"], ignore)
    recorder.start()
    recorder(batch_of([("quote", row("quote", 0, 5))]))
    copy = recorder.snapshot()
    part = reading._part(copy)
    assert part.about is not None
    assert part.about.state == "open"
    recorder.close()


def test_a_signal_whose_cause_is_in_the_segment_before_is_replayed(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "x", ["test:X"], ignore, RecorderSettings(segment_mb=1e-6))
    recorder.start()
    recorder(batch_of([("quote", row("quote", 0, 5))]))
    until(lambda: recorder.segment_number > 1, "a second segment")
    caused = row("signal", 0, 6) | {"cause_ord": 0}
    del caused["ord"]
    recorder(batch_of([("quote", row("quote", 1, 6)), ("signal", caused)]))
    recorder.close()
    with recordings.open_recording(tmp_path, "x") as opened:
        signals = [n for b in opened.batches() for n in b["signal"]["cause_ord"].to_pylist()]
    assert signals == [0]


def test_a_killed_recorder_loses_nothing_committed(tmp_path: Path) -> None:
    kill_a_recorder(tmp_path)
    killed_ns = time.time_ns()
    (described,) = recordings.catalogue(tmp_path)
    assert (described["state"], described["unread"]) == ("unclean", True)
    # It lasts no longer than it was written to, and its rows are not known.
    ended = datetime.fromisoformat(described["ended"]).timestamp()
    assert ended <= killed_ns / 1e9
    (shown,) = re.findall(r"<tr data-say=.*</tr>", table([described], None, 1))
    assert re.findall(r'number">(.*?)</td>', shown)[:5] == ["…"] * 5
    with pytest.raises(ValueError, match="the next one that starts recovers"):
        Replaying(tmp_path, ["x"], HookSettings())
    with locks.hold(tmp_path):
        (line,) = recovery.recover_all(tmp_path)
    assert "recovered" in line
    (described,) = recordings.catalogue(tmp_path)
    assert (described["state"], described["rows"]["quote"]) == ("unclean", 100)
    assert not described["unread"]


def test_a_file_that_is_no_segment_is_named_and_the_rest_stays_readable(tmp_path: Path) -> None:
    record(tmp_path / "x", [batch_of([("quote", row("quote", 0, 5))])])
    (tmp_path / "x" / "001.duckdb").write_bytes(b"not a database")
    (described,) = recordings.catalogue(tmp_path)
    assert (described["state"], described["rows"]["quote"]) == ("damaged", 1)


def test_a_second_collector_is_refused_by_name(tmp_path: Path) -> None:
    import os

    with locks.hold(tmp_path) as held:
        held.tell(locks.Held(os.getpid(), "127.0.0.1:1", "t", "user", "x"))
        with pytest.raises(locks.LockedError, match=str(os.getpid())), locks.hold(tmp_path):
            pass
    assert locks.holder(tmp_path) is None


def test_a_reader_that_is_broken_off_leaves_nothing_to_the_garbage_collector(
    tmp_path: Path,
) -> None:
    record(tmp_path / "a", [batch_of([("quote", row("quote", n, n * MS)) for n in range(9)])])
    with recordings.open_recording(tmp_path, "a") as opened:
        gc.collect()
        gc.disable()
        try:
            reader = opened.batches(batch_rows=2)
            assert next(reader)["quote"].num_rows == 2
            reader.close()
            del reader
            left = [
                one for one in gc.get_objects() if type(one).__module__ == segment_reader.__name__
            ]
        finally:
            gc.enable()
    assert left == []
