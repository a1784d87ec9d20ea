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
    ("'NaN'::DOUBLE", "nan"),
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


@pytest.mark.parametrize("texts", [["", None], ['a "word"', "two,\nlines\r"]])
def test_csv_of_one_column_has_a_line_for_every_row(texts: list[str | None]) -> None:
    out = io.BytesIO()
    queries.write(pa.table({"a": texts}), "csv", out)
    text = io.StringIO(out.getvalue().decode(), newline="")
    assert [row["a"] for row in csv.DictReader(text)] == [text or "" for text in texts]
