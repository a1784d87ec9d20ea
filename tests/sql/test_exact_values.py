"""Values of a query keep every digit, on the terminal and in files."""

from __future__ import annotations

import csv
import io
import json
import math
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.made_rows import batch_of, record, row

from monitor.rows import table_text
from monitor.sql import queries

# A value as SQL writes it, and what must be read: written out by hand.
VALUES = [
    ("8.08e-06::DOUBLE", "0.00000808"),
    ("91234567890.1::DOUBLE", "91234567890.1"),
    ("0.1::DOUBLE + 0.2::DOUBLE", "0.30000000000000004"),
    ("0.1::FLOAT", "0.1"),
    ("1e22::DOUBLE", "10000000000000000000000"),
    ("9007199254740993::BIGINT", "9007199254740993"),
    ("18446744073709551615::UBIGINT", "18446744073709551615"),
    ("0.00000000000000000000000000000000000001::DECIMAL(38,38)", f"0.{'0' * 37}1"),
    (f"{'1234567890' * 3}12345678::DECIMAL(38,0)", f"{'1234567890' * 3}12345678"),
    (
        "TIMESTAMP_NS '2026-11-30 14:02:45.123456789'",
        "2026-11-30T14:02:45.123456789Z",
    ),
    ("[8.08e-06::DOUBLE, NULL]", "[0.00000808, null]"),
    ("[0.1::FLOAT]", "[0.1]"),
    ("MAP {'k': 1.5e-7::DOUBLE}", '{"k": 0.00000015}'),
    ("MAP {1: [0.1::FLOAT, NULL]}", '{"1": [0.1, null]}'),
    (
        "[TIMESTAMP_NS '2026-11-30 14:02:45.123456789']",
        '["2026-11-30T14:02:45.123456789Z"]',
    ),
    (
        "{'at': TIMESTAMPTZ '2026-11-30 14:02:45.5+01', 'price': 1.50::DECIMAL(9, 2)}",
        '{"at": "2026-11-30T13:02:45.500000Z", "price": 1.50}',
    ),
    ("'NaN'::DOUBLE", "nan"),
]
# Rows of nested values, some missing, as JSON has them.
NESTED = """
    SELECT list, map, struct, pair::INTEGER[2] AS pair FROM (VALUES
        ([0.1::FLOAT, 'nan'], MAP {'a': 0.3::FLOAT}, {'x': '-inf'::DOUBLE, 'y': [1]}, [1, 2]),
        (NULL, NULL, NULL, NULL),
        ([], MAP {}, {'x': NULL, 'y': NULL}, [NULL, 3]),
        ([NULL, 2], MAP {'b': NULL, 'c': 1e-7::FLOAT}, {'x': 0.5, 'y': [2, NULL]}, [4, 5])
    ) AS rows(list, map, struct, pair)
"""
READ = [
    {"list": [0.1, None], "map": {"a": 0.3}, "struct": {"x": None, "y": [1]}, "pair": [1, 2]},
    {"list": None, "map": None, "struct": None, "pair": None},
    {"list": [], "map": {}, "struct": {"x": None, "y": None}, "pair": [None, 3]},
    {
        "list": [None, 2.0],
        "map": {"b": None, "c": 1e-07},
        "struct": {"x": 0.5, "y": [2, None]},
        "pair": [4, 5],
    },
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("exact") / "recordings"
    record(made / "one", [batch_of([("quote", row("quote", 1, 1, 2.0))])])
    return made


def select(values: list[tuple[str, str]]) -> str:
    return "SELECT " + ", ".join(f"{value} AS c{at}" for at, (value, _) in enumerate(values))


def test_the_terminal_shows_every_digit(folder: Path, monitor: Callable[..., Any]) -> None:
    statement = select([*VALUES, ("NULL::VARCHAR", "NULL"), ("''", "")])
    done = monitor("sql", statement, "--recordings", folder, "--format", "table")
    (line,) = [line for line in done.stdout.splitlines() if "0.00000808" in line]
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert cells == [*(expected for _, expected in VALUES), "NULL", ""]


def test_files_keep_every_digit_and_tell_no_value_from_an_empty_text(folder: Path) -> None:
    numbers = VALUES[:-1]
    statement = select([*numbers, ("NULL::VARCHAR", ""), ("''", "")])
    table = queries.run(statement, folder, wall_s=60).table
    out = io.BytesIO()
    queries.write(table, "csv", out)
    options = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(table.column_names, pa.string()),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    (found,) = pa_csv.read_csv(io.BytesIO(out.getvalue()), convert_options=options).to_pylist()
    # A whole double keeps its point, by which readers know it.
    whole = {"10000000000000000000000": "10000000000000000000000.0"}
    assert [*found.values()] == [*(whole.get(text, text) for _, text in numbers), None, ""]
    out = io.BytesIO()
    queries.write(table, "json", out)
    (read,) = json.loads(out.getvalue(), parse_float=str)
    assert read["c7"] == VALUES[7][1] and read["c8"] == VALUES[8][1]
    assert float(read["c0"]) == 8.08e-06


def refuse(word: str) -> None:
    raise AssertionError(f"expected JSON, found {word}")


def test_nested_values_are_json_of_the_same_digits(folder: Path) -> None:
    table = queries.run(NESTED, folder, wall_s=60).table
    for first in range(len(READ)):
        out = io.BytesIO()
        queries.write(table.slice(first), "json", out)
        assert json.loads(out.getvalue(), parse_constant=refuse) == READ[first:]
        out = io.BytesIO()
        queries.write(table.slice(first), "csv", out)
        cells = csv.DictReader(io.StringIO(out.getvalue().decode()))
        read = [{name: json.loads(cell or "null") for name, cell in row.items()} for row in cells]
        assert read == READ[first:]


def test_a_value_of_several_types_is_written_as_its_own(folder: Path) -> None:
    kind = "UNION(number FLOAT, word VARCHAR)"
    sql = f"SELECT unnest([0.1::FLOAT::{kind}, NULL, 'one'::{kind}]) AS c"
    table = queries.run(sql, folder, wall_s=60).table
    out = io.BytesIO()
    queries.write(table.slice(1), "json", out)
    assert json.loads(out.getvalue()) == [{"c": None}, {"c": "one"}]
    out = io.BytesIO()
    queries.write(table, "csv", out)
    assert out.getvalue() == b'c\n0.1\n""\none\n'


def test_a_file_that_cannot_be_written_leaves_nothing(
    monitor: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "recordings").mkdir()
    # Parquet has no form for a value of several types.
    sql = "SELECT union_value(k := 1) AS c"
    done = monitor("sql", sql, "--format", "parquet", "--out", "result.parquet")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["recordings"]


def test_a_device_is_written_to_and_a_link_followed(
    monitor: Callable[..., Any], tmp_path: Path
) -> None:
    link, file = tmp_path / "link.csv", tmp_path / "result.csv"
    link.symlink_to(file)
    (tmp_path / "recordings").mkdir()
    for out in (link, Path("/dev/null")):
        done = monitor("sql", "SELECT 1 AS a", "--format", "csv", "--out", out)
        assert (done.returncode, done.stderr) == (0, "")
    assert link.is_symlink() and file.read_text() == "a\n1\n"
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("texts", [["", None], ['a "word"', "two,\nlines\r"]])
def test_csv_of_one_column_has_a_line_for_every_row(texts: list[str | None]) -> None:
    out = io.BytesIO()
    queries.write(pa.table({"a": texts}), "csv", out)
    text = io.StringIO(out.getvalue().decode(), newline="")
    assert [row["a"] for row in csv.DictReader(text)] == [text or "" for text in texts]


def lines_of(table: pa.Table) -> list[list[str]]:
    out = io.BytesIO()
    queries.write(table, "csv", out)
    return list(csv.reader(io.StringIO(out.getvalue().decode(), newline="")))[1:]


@given(st.lists(st.none() | st.floats() | st.floats(-1e9, 1e9), min_size=1))
def test_numbers_of_files_are_those_that_python_writes(values: list[float | None]) -> None:
    table = pa.table({"a": pa.array(values, pa.float64()), "b": range(len(values))})
    cells = [cell for cell, _ in lines_of(table)]
    for value, cell in zip(values, cells, strict=True):
        if value is None or not math.isfinite(value):
            assert cell == ("" if value is None else repr(value))
        else:
            assert "e" not in cell and "." in cell
            assert Decimal(cell) == Decimal(repr(value))
    out = io.BytesIO()
    queries.write(table, "json", out)
    read = [row["a"] for row in json.loads(out.getvalue(), parse_constant=refuse)]
    finite = [v if v is not None and math.isfinite(v) else None for v in values]
    assert list(map(repr, read)) == list(map(repr, finite))


def test_infinite_numbers_are_read_back_by_others(folder: Path, tmp_path: Path) -> None:
    sql = "SELECT unnest(['inf'::DOUBLE, '-inf', 'nan', NULL, 1.5]) AS a, 1 AS b"
    with (tmp_path / "a.csv").open("wb") as file:
        queries.write(queries.run(sql, folder, wall_s=60).table, "csv", file)
    read = pd.read_csv(tmp_path / "a.csv")["a"]
    assert list(map(repr, read.tolist())) == ["inf", "-inf", "nan", "nan", "1.5"]
    (found,) = duckdb.sql(f"SELECT list(a::VARCHAR) FROM '{tmp_path / 'a.csv'}'").fetchall()
    assert found[0] == ["inf", "-inf", "nan", None, "1.5"]


@given(st.lists(st.none() | st.binary(max_size=9), min_size=1))
def test_bytes_are_hexadecimal_digits(values: list[bytes | None]) -> None:
    table = pa.table({"a": pa.array(values, pa.binary()), "b": range(len(values))})
    out = io.BytesIO()
    queries.write(table, "json", out)
    for texts in (
        [cell for cell, _ in lines_of(table)],
        [one["a"] for one in json.loads(out.getvalue())],
    ):
        found = [bytes.fromhex(text or "") for text in texts]
        assert found == [value or b"" for value in values]


@given(st.lists(st.none() | st.text(), min_size=1))
def test_texts_of_files_are_read_back(values: list[str | None]) -> None:
    table = pa.table({"a": pa.array(values, pa.string()), "b": range(len(values))})
    assert [cell for cell, _ in lines_of(table)] == [value or "" for value in values]
    out = io.BytesIO()
    queries.write(table, "json", out)
    assert [row["a"] for row in json.loads(out.getvalue())] == values


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_longer_result_wants_no_more_memory_to_be_written(form: str) -> None:
    def peak_bytes(rows: int) -> int:
        table = pa.table({"a": np.arange(rows) / 7, "b": ["x"] * rows, "c": range(rows)})
        with Path("/dev/null").open("wb") as out:
            tracemalloc.start()
            queries.write(table, form, out)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return peak

    peak_bytes(10)
    few, many = peak_bytes(table_text.BATCH_ROWS), peak_bytes(6 * table_text.BATCH_ROWS)
    assert many < 2 * few + 1_000_000
