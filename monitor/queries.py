"""SQL over recordings: one SELECT-like statement, run by a child process that can do no more."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import select
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from monitor import recordings
from monitor.query_worker import READY

# A result is held in memory: more rows than this want an aggregate, or a narrower window.
MAX_ROWS = 5_000_000
WALL_S = 5.0
START_S = 30.0
MEMORY_LIMIT = "1GB"
ADDRESS_BYTES = 4 << 30
FORMATS = ("table", "csv", "json", "parquet")


class QueryError(Exception):
    """The statement was refused or failed; the message is one line."""


class Result(NamedTuple):
    """A query's rows, and whether there were more than the cap."""

    table: pa.Table
    truncated: bool


def run(
    sql: str,
    folder: Path,
    recording: str | None = None,
    from_ns: int | None = None,
    to_ns: int | None = None,
    max_rows: int = MAX_ROWS,
    wall_s: float = WALL_S,
) -> Result:
    """Run one statement over all recordings of `folder`, or one; of `max_rows` at most.

    The tables are the kinds of the contract, each with a `recording` column, and `recordings`.
    QueryError says in one line why a statement was refused or failed.
    """
    with ExitStack() as stack:
        files: list[tuple[str, str]] = []
        listed = recordings.catalogue(folder)
        if recording is None:
            paths = [folder / about["id"] for about in listed]
        else:
            paths = [recordings.find(folder, recording)[1]]
        for path in paths:
            parts = stack.enter_context(recordings.parts_of(folder, path))
            name = path.name.removesuffix(".duckdb")
            files += [(name, str(part.file.resolve())) for part in parts if part.about]
        job = {
            "sql": sql,
            "files": files,
            "recordings": [{**about, "rows": sum(about["rows"].values())} for about in listed],
            "from_ns": from_ns,
            "to_ns": to_ns,
            "max_rows": max_rows,
            "memory_limit": MEMORY_LIMIT,
            "address_bytes": ADDRESS_BYTES,
            "cpu_s": math.ceil(wall_s) * 2,
        }
        return _in_child(job, wall_s)


def _in_child(job: dict[str, Any], wall_s: float) -> Result:
    command = [sys.executable, "-m", "monitor.query_worker", json.dumps(job)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        try:
            assert child.stdout is not None
            # The limit is the statement's: the child says when it begins.
            if select.select([child.stdout], [], [], START_S)[0]:
                os.read(child.stdout.fileno(), len(READY))
            answer, complaint = child.communicate(timeout=wall_s)
        except subprocess.TimeoutExpired:
            raise QueryError(f"expected an answer within {wall_s:g} s, found none") from None
        finally:
            child.kill()
    if child.returncode:
        lines = complaint.decode("utf-8", "replace").strip().splitlines()
        why = " ".join(line.strip() for line in lines if line.strip())
        raise QueryError(why[:500] or f"the query was ended by signal {-child.returncode}")
    table = pa.ipc.open_stream(answer).read_all()
    metadata = table.schema.metadata or {}
    return Result(table.replace_schema_metadata(None), metadata.get(b"truncated") == b"True")


def write(table: pa.Table, form: str, out: BinaryIO) -> None:
    """Write a result as csv (header, LF lines), json (one array of objects) or parquet (zstd)."""
    if form == "parquet":
        pq.write_table(table, out, compression="zstd")
        return
    rows = texts(table).to_pylist()
    if form == "json":
        out.write(json.dumps(rows, ensure_ascii=False, default=str).encode() + b"\n")
        return
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(table.column_names)
    lines.writerows([_cell(row[name]) for name in table.column_names] for row in rows)
    out.write(text.getvalue().encode())


def texts(table: pa.Table) -> pa.Table:
    """Turn times into ISO 8601 texts in UTC and numbers that JSON has no word for into null."""
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_timestamp(column.type):
            zone = "" if column.type.tz is None else "Z"
            whole = pa.compute.strftime(column.cast(pa.timestamp(column.type.unit)))
            columns[name] = pa.compute.binary_join_element_wise(whole, zone or "Z", "")
        elif pa.types.is_temporal(column.type) or pa.types.is_decimal(column.type):
            columns[name] = column.cast(pa.string())
        elif pa.types.is_floating(column.type):
            finite = pa.compute.is_finite(column)
            columns[name] = pa.compute.if_else(finite, column, None)
        else:
            columns[name] = column
    return pa.table(columns)


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value
