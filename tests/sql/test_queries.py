"""SQL over recordings: what it may do, and what it may not."""

from __future__ import annotations

import io
import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from support.made_rows import batch_of, record, row
from support.statements import ENDLESS

from monitor.page.layouts.sql_snippets import FIRST, SNIPPETS
from monitor.rows.batches import KINDS
from monitor.sql import queries
from monitor.sql.ready_made_views import NAMES

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("recordings")
    rows = [("quote", row("quote", n, n * 1_000_000_000, 2.0)) for n in range(10)]
    record(made / "one", [batch_of(rows)])
    record(made / "two", [batch_of(rows[:3])])
    return made


def test_all_recordings_are_one_set_of_tables(folder: Path) -> None:
    sql = "SELECT recording, count(*) AS n FROM quote GROUP BY ALL ORDER BY 1"
    assert queries.run(sql, folder).table.to_pylist() == [
        {"recording": "one", "n": 10},
        {"recording": "two", "n": 3},
    ]
    one = queries.run("FROM quote", folder, recording="one", from_ns=5_000_000_000)
    assert one.table.num_rows == 5
    assert queries.run("FROM recordings", folder).table.num_rows == 2
    assert queries.run("FROM quote", folder, max_rows=4).truncated


def test_what_is_written_can_be_read_back(folder: Path) -> None:
    table = queries.run("SELECT ts_recv, bid FROM quote ORDER BY ALL LIMIT 1", folder).table
    out = io.BytesIO()
    queries.write(table, "json", out)
    assert json.loads(out.getvalue()) == [{"ts_recv": "1970-01-01T00:00:00.000000000Z", "bid": 2.0}]
    out = io.BytesIO()
    queries.write(table, "csv", out)
    assert out.getvalue() == b"ts_recv,bid\n1970-01-01T00:00:00.000000000Z,2.0\n"


def test_an_interval_is_written_as_a_text(folder: Path) -> None:
    sql = "SELECT max(ts_recv) - min(ts_recv) AS a, INTERVAL '-3 months 2 days' AS b FROM quote"
    assert queries.texts(queries.run(sql, folder).table).to_pylist() == [
        {"a": "00:00:09.000000000", "b": "-3 months 2 days 00:00:00.000000000"}
    ]


def test_a_value_that_python_cannot_hold_is_told_in_one_line(folder: Path, monitor: Run) -> None:
    done = monitor("sql", "FROM test_all_types()", "--recordings", folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1


def test_a_result_cut_short_is_told_on_standard_error_alone(monitor: Run, tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    sql = f"SELECT * FROM range({queries.MAX_ROWS + 1})"
    done = monitor("sql", sql, "--format", "parquet", "--out", tmp_path / "n.parquet")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "monitor: truncated to 5,000,000 rows\n"
    assert pq.read_metadata(tmp_path / "n.parquet").num_rows == queries.MAX_ROWS


def test_a_result_of_too_many_bytes_is_refused(folder: Path) -> None:
    with pytest.raises(queries.QueryError, match=r"at most 1,000 bytes, found \d"):
        queries.run("SELECT repeat('a', 2000)", folder, max_bytes=1000)


def test_a_running_query_can_be_cancelled(folder: Path) -> None:
    cancelled = threading.Event()
    timer = threading.Timer(0.3, cancelled.set)
    timer.start()
    with pytest.raises(queries.QueryError, match="cancelled"):
        queries.run(ENDLESS, folder, wall_s=60, cancelled=cancelled)
    timer.join()


def test_a_query_that_nobody_is_left_to_end_is_ended_by_the_system(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "_go_on", lambda *_: None)
    with pytest.raises(queries.QueryError, match=f"signal {signal.SIGALRM:d}"):
        queries.run("SELECT pg_sleep(600)", folder, wall_s=0.1)


def test_what_can_be_asked_for_is_listed_with_its_types() -> None:
    listed = queries.schema()
    assert set(listed) == {*KINDS, "recordings", *NAMES}
    assert ("bid_prices", "DOUBLE[]") in listed["depth"]
    assert listed["bars_1s"] == [
        *(("recording", "VARCHAR"), ("venue", "VARCHAR"), ("symbol", "VARCHAR")),
        *(("start", "TIMESTAMP_NS"), ("open", "DOUBLE"), ("high", "DOUBLE"), ("low", "DOUBLE")),
        *(("close", "DOUBLE"), ("volume", "DOUBLE"), ("trades", "BIGINT")),
    ]


def test_every_snippet_is_a_statement_that_can_be_run(folder: Path) -> None:
    texts = {"first": FIRST, **SNIPPETS}
    counts = [
        f"(SELECT count(*) FROM ({text})) AS n_{at}" for at, text in enumerate(texts.values())
    ]
    (found,) = queries.run(f"SELECT {', '.join(counts)}", folder, wall_s=60).table.to_pylist()
    rows = dict(zip(texts, found.values(), strict=True))
    assert rows["first"] == 1
    assert rows["What is recorded"] == 2


def test_a_table_on_the_terminal_is_bounded_and_says_so(monitor: Run, tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    done = monitor("sql", "SELECT * FROM range(1200)")
    assert done.returncode == 0
    assert "│ 999 " in done.stdout
    assert "│ 1000 " not in done.stdout
    assert done.stderr == (
        "monitor: showing 1,000 of 1,200 rows: --limit N shows more, --format csv all\n"
    )
    done = monitor("sql", "SELECT * FROM range(1200)", "--limit", "1200")
    assert "│ 1199 " in done.stdout
    assert done.stderr == ""
