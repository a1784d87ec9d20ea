"""The index beside the segments: fast to read, never believed over the files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.made_rows import batch_of, ignore, row

from monitor import recordings
from monitor.recordings import segment_index
from monitor.recordings.recorder import Recorder
from monitor.rows.batches import SYNTHETIC
from monitor.sql import queries

S = 1_000_000_000


def record(folder: Path, first: int, count: int, venue: str = "kraken") -> None:
    """Write a segment of `count` quotes, one a second, a gap, and a wrong checksum said twice."""
    recorder = Recorder(folder, ["test:X"], ignore)
    recorder.start()
    numbers = range(first, first + count)
    quotes = [("quote", row("quote", n, n * S) | {"venue": venue}) for n in numbers]
    gap = row("status", first + count, (first + count) * S) | {"kind": "gap"}
    wrong = gap | {"kind": "checksum"}
    told = [gap, wrong, wrong | {"flags": SYNTHETIC}]
    statuses = [("status", one | {"ord": first + count + at}) for at, one in enumerate(told)]
    recorder(batch_of([*quotes, *statuses]))
    recorder.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    record(tmp_path / "a", 0, 3, "kraken")
    record(tmp_path / "a", 10, 4, "binance")
    record(tmp_path / "b", 100, 5, "kraken")
    return tmp_path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are opened in this process, as they are."""
    names: list[str] = []
    connect = duckdb.connect

    def counted(file: str, **options: Any) -> Any:
        names.append(Path(file).name)
        return connect(file, **options)

    monkeypatch.setattr(duckdb, "connect", counted)
    return names


def test_segments_are_described_without_being_opened_again(folder: Path, opened: list[str]) -> None:
    first = recordings.catalogue(folder)
    assert opened == ["000.duckdb", "001.duckdb", "000.duckdb"]
    opened.clear()
    assert recordings.catalogue(folder) == first
    assert opened == []
    assert [(item["rows"]["quote"], item["gaps"]) for item in first] == [(7, 2), (5, 1)]
    assert [item["losses"] for item in first] == [4, 2]
    entries = list(segment_index.entries(folder / "a").values())
    assert [entry and entry.span_ns for entry in entries] == [(0, 3 * S), (10 * S, 14 * S)]
    assert [entry and entry.venues for entry in entries] == [["kraken"], ["binance"]]


def test_a_segment_of_another_size_or_time_is_read_anew(folder: Path, opened: list[str]) -> None:
    recordings.catalogue(folder)
    opened.clear()
    file = folder / "a" / "000.duckdb"
    os.utime(file, ns=(1, 1))
    recordings.catalogue(folder)
    assert opened == ["000.duckdb"]
    (folder / "b" / "000.duckdb").replace(file)
    opened.clear()
    (described,) = recordings.catalogue(folder)
    assert described["rows"]["quote"] == 9
    assert opened == ["000.duckdb"]
    file.unlink()
    (described,) = recordings.catalogue(folder)
    assert described["rows"]["quote"] == 4
    index = json.loads((folder / "a" / segment_index.INDEX).read_text())
    assert list(index["segments"]) == ["001.duckdb"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "nonsense",
        "\x00" * 9,
        '{"version": 2}',
        '{"version": 1, "segments": {}}',
        '{"version": 2, "segments": {"000.duckdb": 7}}',
        '{"version": 2, "segments": {"000.duckdb": {"stamp": STAMP, "span_ns": [1]}}}',
    ],
)
def test_an_index_that_makes_no_sense_is_made_again(folder: Path, text: str) -> None:
    first = recordings.catalogue(folder)
    index = folder / "a" / segment_index.INDEX
    good = index.read_text()
    stamp = json.loads(good)["segments"]["000.duckdb"]["stamp"]
    index.write_text(text.replace("STAMP", str(stamp)))
    assert recordings.catalogue(folder) == first
    assert index.read_text() == good


def test_a_folder_that_cannot_be_written_is_no_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    assert [item["rows"]["quote"] for item in recordings.catalogue(folder)] == [7, 5]
    assert not (folder / "a" / segment_index.INDEX).exists()


def test_a_damaged_segment_is_looked_at_every_time(folder: Path, opened: list[str]) -> None:
    (folder / "a" / "002.duckdb").write_bytes(b"not a database")
    for _ in range(2):
        opened.clear()
        states = [item["state"] for item in recordings.catalogue(folder)]
        assert states == ["damaged", "sealed"]
        assert "002.duckdb" in opened


def test_a_recording_can_be_listed_while_it_is_open_in_the_same_process(folder: Path) -> None:
    with recordings.open_recording(folder, "a"):
        (folder / "a" / segment_index.INDEX).unlink()
        assert recordings.catalogue(folder)[0]["state"] == "sealed"


@pytest.mark.parametrize(
    ("options", "attached"),
    [
        ({}, 3),
        ({"from_ns": 4 * S}, 2),
        ({"from_ns": 3 * S}, 3),
        ({"to_ns": 99 * S}, 2),
        ({"from_ns": 4 * S, "to_ns": 9 * S}, 0),
        ({"recording": "a"}, 2),
        ({"recording": "a", "from_ns": 14 * S}, 1),
        ({"venue": "binance"}, 1),
        ({"venue": "kraken", "symbol": "x"}, 2),
        ({"venue": "kraken", "from_ns": 50 * S}, 1),
        ({"symbol": "y"}, 0),
    ],
)
def test_only_segments_with_rows_of_the_window_are_attached(
    folder: Path, options: dict[str, Any], attached: int
) -> None:
    sql = "SELECT (SELECT count(*) FROM duckdb_databases() WHERE path IS NOT NULL), count(*), "
    sql += "(SELECT count(*) FROM recordings) FROM quote"
    (found,) = queries.run(sql, folder, **options).table.to_pylist()
    from_ns, to_ns = options.get("from_ns", 0), options.get("to_ns", 200 * S)
    quotes = [("a", "kraken", n) for n in range(3)]
    quotes += [("a", "binance", n) for n in range(10, 14)]
    quotes += [("b", "kraken", n) for n in range(100, 105)]
    wanted = [options.get(name) for name in ("recording", "venue")]
    rows = sum(
        from_ns <= n * S <= to_ns
        and wanted[0] in (None, recording)
        and wanted[1] in (None, venue)
        and options.get("symbol", "x") == "x"
        for recording, venue, n in quotes
    )
    assert list(found.values()) == [attached, rows, 2]
