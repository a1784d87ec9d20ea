"""Recordings of other builds: the previous build's is read, a newer build's is refused."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from support.made_rows import batch_of, ignore, row

from monitor import recordings
from monitor.recordings.recorder import Recorder

S = 1_000_000_000
# The README in there says how it was made.
PREVIOUS = Path(__file__).parents[1] / "data" / "previous_build"
MESSAGE = "expected schema version 1 or older, found 2: monitor 9.9 made it"

Run = Callable[..., subprocess.CompletedProcess[str]]


def record(folder: Path) -> None:
    recorder = Recorder(folder, ["test:X"], ignore)
    recorder.start()
    recorder(batch_of([("quote", row("quote", n, (n + 1) * S)) for n in range(3)]))
    recorder.close()


def make_newer(file: Path) -> None:
    """Let a segment say that a newer build made it."""
    with duckdb.connect(str(file)) as con:
        con.execute("UPDATE recording SET schema_version = 2, program_version = '9.9'")


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A folder with a recording of this build and one of a newer build."""
    for name in ("known", "newer"):
        record(tmp_path / "recordings" / name)
    make_newer(tmp_path / "recordings" / "newer" / "000.duckdb")
    return tmp_path / "recordings"


@pytest.mark.parametrize(
    "command",
    [
        ("sql", "SELECT 1", "--recording", "newer"),
        ("replay", "newer", "--speed", "max"),
        ("replay", "newer", "--speed", "max", "--record", "copy"),
        ("verify", "newer"),
        ("clip", "newer", "--from", "1970-01-01", "--to", "1970-01-02", "--out", "clip.duckdb"),
        ("export", "newer", "--to", "exported"),
    ],
    ids=lambda command: f"{command[0]}{len(command)}",
)
def test_a_newer_recording_is_refused_with_one_message(
    newer: Path, monitor: Run, command: tuple[str, ...]
) -> None:
    done = monitor(*command)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"monitor: newer/000.duckdb: {MESSAGE}")
    assert not done.stdout
    assert sorted(path.name for path in newer.iterdir()) == ["known", "newer"]


def test_lists_leave_a_newer_recording_out_and_say_so(newer: Path, monitor: Run) -> None:
    listed = monitor("recordings", "--json")
    assert [one["id"] for one in json.loads(listed.stdout)] == ["known"]
    assert MESSAGE in listed.stderr
    counted = monitor(
        "sql", "SELECT recording, count(*) FROM quote GROUP BY ALL", "--format", "csv"
    )
    assert counted.stdout.splitlines()[1:] == ["known,3"]
    assert "left out newer" in counted.stderr


def test_a_newer_recording_that_was_left_open_is_left_as_it_is(newer: Path) -> None:
    sealed = newer / "newer" / "000.duckdb"
    left_open = sealed.rename(sealed.with_name(f"{sealed.name}{recordings.OPEN_SUFFIX}"))
    before = left_open.read_bytes()
    (told,) = recordings.recovery.recover_all(newer)
    assert told.startswith(f"newer/{left_open.name}: left as it is for now: {MESSAGE}")
    assert left_open.read_bytes() == before


def test_an_index_of_a_newer_schema_is_not_believed(newer: Path) -> None:
    """A newer build keeps the stamp of its own file in the index."""
    index = newer / "known" / "index.json"
    recordings.catalogue(newer)
    known = json.loads(index.read_text())
    index.write_text(json.dumps(known | {"schema": 2}))
    make_newer(newer / "known" / "000.duckdb")
    file = (newer / "known" / "000.duckdb").stat()
    kept = json.loads(index.read_text())
    kept["segments"]["000.duckdb"]["stamp"] = [file.st_size, file.st_mtime_ns]
    index.write_text(json.dumps(kept))
    with pytest.raises(recordings.NewerSchemaError, match="found 2"):
        recordings.sealed_parts(newer / "known")


def test_a_recording_of_the_previous_build_verifies_and_replays_with_its_digest(
    tmp_path: Path, monitor: Run
) -> None:
    segment = tmp_path / "recordings" / "previous" / "000.duckdb"
    segment.parent.mkdir(parents=True)
    segment.write_bytes(gzip.decompress((PREVIOUS / "000.duckdb.gz").read_bytes()))
    digest = (PREVIOUS / "digest.txt").read_text().strip()
    verified = monitor("verify", "previous", "--json")
    assert verified.returncode == 0, verified.stderr
    replayed = monitor("replay", "previous", "--speed", "max", "--digest")
    assert replayed.stdout.splitlines()[-1] == digest
    (listed,) = json.loads(monitor("recordings", "--json").stdout)
    assert (listed["state"], listed["digest"]) == ("sealed", digest)
    counted = monitor("sql", "SELECT count(*) AS n FROM trade", "--format", "csv")
    assert counted.stdout.splitlines() == ["n", str(listed["rows"]["trade"])]
