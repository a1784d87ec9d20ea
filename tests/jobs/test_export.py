"""A recording as plain files: every row, readable by other programs, and nothing by halves."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from support.made_rows import batch_of, ignore, row

from monitor import recordings
from monitor.jobs import export_files
from monitor.recordings.recorder import Recorder
from monitor.rows.batches import KINDS, SCHEMAS

Run = Callable[..., Any]


@pytest.fixture
def made(tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    """Record two segments with rows of every kind; return what was recorded."""
    kinds = [KINDS[n % len(KINDS)] for n in range(60)]
    rows = [(kind, row(kind, n, n * 10**9 + n)) for n, kind in enumerate(kinds)]
    for kind, values in rows:
        if kind == "depth":
            values |= {"bid_prices": [1.5, 2.25], "bid_sizes": []}
        if kind == "status":
            values |= {"detail": 'a "quoted", text\nof two lines'}
    # A signal that was written behind the segment of its cause.
    rows[-2:-1] = [("signal", row("signal", 58, 58 * 10**9) | {"cause_ord": 3})]
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for part in (rows[:30], rows[30:]):
        recorder = Recorder(tmp_path / "recordings" / "x", ["test:X"], ignore)
        recorder.start()
        recorder(batch_of(part))
        recorder.close()
        for kind, values in sorted(part, key=lambda made: made[1].get("cause_ord", 0)):
            by_kind.setdefault(kind, []).append({f.name: values.get(f.name) for f in SCHEMAS[kind]})
    return by_kind


def in_ns(table: Any) -> list[dict[str, Any]]:
    for at, field in enumerate(table.schema):
        if str(field.type).startswith("timestamp"):
            table = table.set_column(at, field.name, table[field.name].cast("int64"))
    return table.to_pylist()


def test_parquet_holds_every_row_and_value(
    made: dict[str, list[dict[str, Any]]], tmp_path: Path, monitor: Run
) -> None:
    done = monitor("export", "x", "--to", "out/parquet")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    out = tmp_path / "out" / "parquet"
    assert sorted(file.name for file in out.iterdir()) == sorted(f"{k}.parquet" for k in KINDS)
    for kind in KINDS:
        file = out / f"{kind}.parquet"
        table = pq.read_table(file)
        assert table.schema == SCHEMAS[kind]
        assert in_ns(table) == made.get(kind, [])
        (found,) = duckdb.sql(f"SELECT count(*), count(DISTINCT ts_recv) FROM '{file}'").fetchall()
        assert found == (len(made.get(kind, [])),) * 2
        assert len(pd.read_parquet(file)) == found[0]
        times = pl.read_parquet(file)["ts_recv"].dt.timestamp("ns").to_list()
        assert times == table["ts_recv"].cast("int64").to_pylist()
    assert pq.read_metadata(out / "quote.parquet").row_group(0).column(0).compression == "ZSTD"


def test_csv_is_read_back_by_pandas_polars_and_duckdb(
    made: dict[str, list[dict[str, Any]]], tmp_path: Path, monitor: Run
) -> None:
    done = monitor("export", "x", "--to", "out", "--format", "csv")
    assert done.returncode == 0, done.stderr
    for kind in KINDS:
        file = tmp_path / "out" / f"{kind}.csv"
        read = pd.read_csv(file, dtype=str, keep_default_na=False)
        assert list(read.columns) == SCHEMAS[kind].names
        times = pd.to_datetime(read["ts_recv"]).astype("int64").tolist()
        assert times == [values["ts_recv"] for values in made.get(kind, [])]
        (found,) = duckdb.read_csv(str(file)).aggregate("count(*)").fetchall()
        assert found == (len(read),)
        assert pl.read_csv(file, infer_schema=False).height == len(read)
    depth = pd.read_csv(tmp_path / "out" / "depth.csv")
    assert [json.loads(text) for text in depth["bid_prices"]] == [[1.5, 2.25]] * len(depth)
    details = pd.read_csv(tmp_path / "out" / "status.csv")["detail"]
    assert set(details) == {'a "quoted", text\nof two lines'}


@pytest.mark.usefixtures("made")
def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path, monitor: Run) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "trade.parquet").write_text("mine")
    done = monitor("export", "x", "--to", "out")
    assert done.returncode == 2
    assert done.stderr == "monitor: expected no trade.parquet in out, found one\n"
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["trade.parquet"]
    done = monitor("export", "x", "--to", "out", "--format", "csv")
    assert done.returncode == 0
    assert (tmp_path / "out" / "trade.parquet").read_text() == "mine"


@pytest.mark.usefixtures("made")
def test_what_cannot_be_finished_leaves_nothing(tmp_path: Path) -> None:
    def fail(_done: int, _total: int) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        export_files.export(tmp_path / "recordings", "x", tmp_path / "out", "parquet", fail)
    assert not (tmp_path / "out").exists()


SLOW = """
import sys, threading
from pathlib import Path
from monitor.jobs import export_files
from monitor.processes import end_signals
def wait(done, total):
    print("begun", flush=True)
    threading.Event().wait()
end_signals.exit_on_signal()
export_files.export(Path("recordings"), "x", Path("out"), "parquet", wait)
"""


@pytest.mark.usefixtures("made")
def test_an_export_that_is_told_to_end_leaves_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SLOW], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        assert (tmp_path / "out").exists()
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 128 + signal.SIGTERM
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("made")
def test_a_bar_is_shown_on_a_terminal_only(tmp_path: Path, monitor: Run) -> None:
    done = monitor("export", "x", "--to", "plain")
    assert done.stderr.count("\n") == 1
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "monitor.cli", "export", "x", "--to", "shown"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=theirs) as child:
        os.close(theirs)
        shown = b""
        with pytest.raises(OSError, match="Input/output"):
            while True:
                shown += os.read(ours, 4096)
        assert child.wait(60) == 0
    os.close(ours)
    assert b"100%" in shown


def test_wrong_usage_is_told(monitor: Run) -> None:
    assert monitor("export", "x", "--to", "out", "--format", "xml").returncode == 2
    done = monitor("export", "nothing", "--to", "out")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


def test_rows_come_in_order_and_only_those_wanted(
    made: dict[str, list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.recordings.reading.WINDOW_ORDS", 7)
    with recordings.open_recording(tmp_path / "recordings", "x") as opened:
        ords = [n for batch in opened.rows("trade") for n in batch["ord"].to_pylist()]
        assert ords == [values["ord"] for values in made["trade"]] == sorted(ords)
        assert sum(batch.num_rows for batch in opened.rows("trade", venue="nobody")) == 0
        late = opened.rows("trade", symbol="x", from_ns=30 * 10**9, to_ns=50 * 10**9)
        assert [n for batch in late for n in batch["ord"].to_pylist()] == [31, 41]
