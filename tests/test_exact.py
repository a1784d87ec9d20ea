"""Values of a query keep every digit, on the terminal and in files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from rows import batch_of, record, row

from monitor import queries

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


@pytest.mark.parametrize("before", [None, "an older result"])
def test_a_file_that_cannot_be_written_leaves_what_was_there(
    monitor: Callable[..., Any], tmp_path: Path, before: str | None
) -> None:
    out = tmp_path / "result.parquet"
    if before is not None:
        out.write_text(before)
    # Parquet has no form for a value of several types.
    sql = "SELECT union_value(k := 1) AS c"
    done = monitor("sql", sql, "--format", "parquet", "--out", out)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert [file.read_text() for file in tmp_path.glob(".*")] == []
    assert (out.read_text() if out.exists() else None) == before


def test_a_device_is_written_to_and_a_link_followed(
    monitor: Callable[..., Any], tmp_path: Path
) -> None:
    link, file = tmp_path / "link.csv", tmp_path / "result.csv"
    link.symlink_to(file)
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
