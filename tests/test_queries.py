"""SQL over recordings: what it may do, and what it may not."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from test_recordings import batch_of, record, row

from monitor import queries


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


HOSTILE = [
    "WITH a AS (COPY (SELECT 1) TO 'evil.csv') SELECT 1",
    "WITH a AS (INSERT INTO quote SELECT * FROM quote) SELECT 1",
    "COPY quote TO 'evil.csv'",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM glob('/*')",
    "ATTACH 'evil.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET memory_limit = '1TB'",
    "PRAGMA database_list",
    "DROP VIEW quote",
    "CREATE TABLE evil AS SELECT 1",
    "DELETE FROM segment_0.quote",
    "UPDATE segment_0.quote SET bid = 0",
    "EXPORT DATABASE 'evil'",
    "CALL pragma_version()",
    "SELECT 1; SELECT 2",
    "",
    "SELEC 1",
]


@pytest.mark.parametrize("sql", HOSTILE)
def test_hostile_statements_are_refused_in_one_line(
    folder: Path, sql: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {file: file.read_bytes() for file in folder.glob("*/*")}
    with pytest.raises(queries.QueryError) as refused:
        queries.run(sql, folder)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
    assert {file: file.read_bytes() for file in folder.glob("*/*")} == before


@pytest.mark.parametrize(
    "sql", ["SELECT length(repeat('a', 2000000000))", "SELECT count(*) FROM range(1000000000000)"]
)
def test_what_takes_too_much_is_ended(folder: Path, sql: str) -> None:
    with pytest.raises(queries.QueryError):
        queries.run(sql, folder, wall_s=2.5)
