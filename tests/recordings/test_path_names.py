"""Names of files and folders that DuckDB would take for something else, or cannot read."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.made_rows import MS, batch_of, record, row

from monitor.recordings import recovery, upkeep
from monitor.recordings.segments import WRITER, connect

Run = Callable[..., Any]
START = 1_700_000_000_000_000_000


def made(recording: Path) -> None:
    record(
        recording, [batch_of([("quote", row("quote", n, START + n * MS, 1.0))]) for n in range(3)]
    )


def test_a_directory_whose_name_is_not_utf_8_is_left_out_with_one_line(
    tmp_path: Path, monitor: Run
) -> None:
    folder = tmp_path / "recordings"
    made(folder / "good")
    bad = folder / os.fsdecode(b"bad\xff")
    shutil.copytree(folder / "good", bad)
    for command in (["recordings", "--json"], ["sql", "FROM quote", "--format", "json"]):
        done = monitor(*command)
        assert (done.returncode, len(json.loads(done.stdout))) == (0, 1 if len(command) == 2 else 3)
        assert done.stderr.count("\n") == 1, done.stderr
        assert "expected recordings with names in UTF-8, found " in done.stderr
    done = monitor("verify", os.fsdecode(b"bad\xff"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    (line,) = recovery.recover_all(folder)
    assert "expected names in UTF-8" in line
    assert list(upkeep.retain(folder, START + 10**18, None, 10**9)) == []
    assert list(upkeep.compact(folder, START + 10**18)) == []
    assert list(bad.glob("*.duckdb"))


@pytest.mark.parametrize("name", ["data:2", "md:x", "s3:x"])
def test_a_colon_in_a_relative_folder_names_no_extension(
    tmp_path: Path, monitor: Run, name: str
) -> None:
    done = monitor("record", "--simulated", "--for", "1s", "--recordings", name)
    assert done.returncode == 0, done.stderr
    listed = json.loads(monitor("recordings", "--json", "--recordings", name).stdout)
    (recording,) = (one["id"] for one in listed)
    assert (listed[0]["state"], listed[0]["rows"]["clock"] > 0) == ("sealed", True)
    done = monitor("verify", recording, "--recordings", name)
    assert done.returncode == 0, done.stderr + done.stdout
    counted = monitor(
        "sql", "SELECT count(*) AS n FROM clock", "--recordings", name, "--format", "json"
    )
    assert json.loads(counted.stdout) == [{"n": listed[0]["rows"]["clock"]}]
    assert (tmp_path / name / recording).is_dir()


def test_no_connection_installs_or_loads_an_extension(tmp_path: Path) -> None:
    with connect(tmp_path / "x.duckdb", WRITER) as con:
        settings = "SELECT name, value FROM duckdb_settings() WHERE name LIKE 'auto%extensions'"
        assert sorted(con.sql(settings).fetchall()) == [
            ("autoinstall_known_extensions", "false"),
            ("autoload_known_extensions", "false"),
        ]
        with pytest.raises(duckdb.Error):
            con.execute("ATTACH 'md:x'")
