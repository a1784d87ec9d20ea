"""Run one SELECT-like statement over recordings in a locked child process."""

from __future__ import annotations

import json
import math
import os
import select
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from monitor import recordings
from monitor.processes import command_of
from monitor.recordings import Entry
from monitor.rows import KINDS, exact_text, table_text
from monitor.sql.query_worker import ORIGINS, READY
from monitor.sql.ready_made_views import NAMES

# A result is held in memory: for more rows use an aggregate or a narrower window.
MAX_ROWS = 5_000_000
MAX_BYTES = 1 << 30
MAX_SQL_CHARS = 1_000_000
# Each attached segment costs memory and an open file.
MAX_SEGMENTS = 2000
WALL_S = 5.0
START_S = 30.0
CANCEL_EVERY_S = 0.05
MEMORY_LIMIT = "1GB"
ADDRESS_BYTES = 4 << 30
FORMATS = ("table", "csv", "json", "parquet")


class QueryError(Exception):
    """The statement was refused or failed; the message is one line."""


# Errors of a statement and of writing its result: not every value has a text.
ERRORS = (QueryError, ValueError, OverflowError, NotImplementedError)


class Result(NamedTuple):
    """The rows of a query, whether they were cut, and the segments not read."""

    table: pa.Table
    truncated: bool
    unread: tuple[str, ...] = ()


class Column(NamedTuple):
    """A column of a table or view, its type as DuckDB names it."""

    name: str
    type: str


def schema() -> dict[str, list[Column]]:
    """Return the tables and views that a statement sees, in the order of the documentation."""
    text = "SELECT table_name, column_name, data_type FROM information_schema.columns"
    found: dict[str, list[Column]] = {name: [] for name in (*KINDS, "recordings", *NAMES)}
    # Not a folder, so without recordings.
    nothing = Path(os.devnull)
    for row in run(f"{text} ORDER BY ordinal_position", nothing, wall_s=START_S).table.to_pylist():
        if row["table_name"] in found:
            found[row["table_name"]].append(Column(row["column_name"], row["data_type"]))
    return found


class _Window(NamedTuple):
    """The rows that a statement may see; None means all."""

    from_ns: int | None
    to_ns: int | None
    venue: str | None
    symbol: str | None

    def is_outside(self, entry: Entry) -> bool:
        """Return whether a segment has no row of the window."""
        if entry.span_ns is None:
            return True
        first, last = entry.span_ns
        if (self.from_ns is not None and last < self.from_ns) or (
            self.to_ns is not None and first > self.to_ns
        ):
            return True
        return (self.venue, self.symbol) != (None, None) and not any(
            self.venue in (None, venue) and self.symbol in (None, symbol)
            for venue, symbol in entry.instruments
        )


class _Scope(NamedTuple):
    """The segments that a statement can see, and facts known without opening them."""

    files: list[tuple[str, str]]
    venues: set[str]
    # The last changes of the quotes' origin in skipped segments.
    origins: list[dict[str, Any]]
    listed: list[dict[str, Any]]
    unread: list[str]


def run(
    sql: str,
    folder: Path,
    recording: str | None = None,
    from_ns: int | None = None,
    to_ns: int | None = None,
    venue: str | None = None,
    symbol: str | None = None,
    max_rows: int = MAX_ROWS,
    wall_s: float = WALL_S,
    max_bytes: int = MAX_BYTES,
    cancelled: Event | None = None,
) -> Result:
    """Run one statement over all recordings of `folder`, or one; return at most `max_rows` rows.

    Times bound `ts_recv`, inclusive. `venue` and `symbol` keep their rows, and rows without a
    symbol; segments without such rows are not opened.

    The tables are the kinds of the contract, each with a `recording` column, `recordings`, and the
    views of `ready_made`. Setting `cancelled`, from any thread, ends the statement.
    QueryError says in one line why a statement was refused or failed.
    """
    if len(sql) > MAX_SQL_CHARS:
        raise QueryError(
            f"expected a statement of at most {MAX_SQL_CHARS:,} characters, found {len(sql):,}"
        )
    if any("\ud800" <= letter <= "\udfff" for letter in sql):
        raise QueryError("expected a statement in Unicode, found bytes that are none")
    with ExitStack() as stack:
        window = _Window(from_ns, to_ns, venue, symbol)
        scope = _scope(stack, folder, recording, window)
        if len(scope.files) > MAX_SEGMENTS:
            raise QueryError(
                f"expected at most {MAX_SEGMENTS} segments, found {len(scope.files)}:"
                " narrow the time, or name a recording, a venue or a symbol"
            )
        job = {
            "sql": sql,
            "files": scope.files,
            "venues": sorted(scope.venues),
            "origins": scope.origins,
            "recordings": [
                {**about, "rows": sum(about["rows"].values())} for about in scope.listed
            ],
            "window": window._asdict(),
            "max_rows": max_rows,
            "max_bytes": max_bytes,
            "memory_limit": MEMORY_LIMIT,
            "address_bytes": ADDRESS_BYTES,
            "wall_s": wall_s,
            "cpu_s": math.ceil(wall_s) * 2,
        }
        found = _in_child(json.dumps(job).encode(), wall_s, cancelled or Event())
        return found._replace(unread=tuple(scope.unread))


def _scope(stack: ExitStack, folder: Path, recording: str | None, window: _Window) -> _Scope:
    """Find the segments with rows of the window; use the index instead of opening them."""
    scope = _Scope([], set(), [], [], [])
    only = None if recording is None else recordings.find(folder, recording)[1]
    paths = recordings.paths_of(folder)
    for path in [*paths, *([only] if only and only not in paths else [])]:
        try:
            parts = stack.enter_context(recordings.parts_of(folder, path))
        except recordings.NewerSchemaError as error:
            if path == only:
                raise
            recordings.log_left_out(str(error))
            if only is None:
                scope.unread.append(path.name)
            continue
        if path in paths:
            scope.listed.append(recordings.describe(folder, path, parts))
        if only not in (None, path):
            continue
        name = path.name.removesuffix(".duckdb")
        left_out = recordings.unread_in(folder, path, parts)
        scope.unread.extend(f"{name}/{file}" for file in left_out)
        for part in parts:
            if part.entry is None:
                continue
            if window.is_outside(part.entry):
                scope.origins.extend(
                    dict(zip(ORIGINS, (name, *switch), strict=True))
                    for switch in part.entry.origins
                )
            else:
                scope.files.append((name, str(part.file.resolve())))
                scope.venues.update(part.entry.venues)
    return scope


def _in_child(job: bytes, wall_s: float, cancelled: Event) -> Result:
    with subprocess.Popen(
        command_of("sql"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        try:
            answer, complaint = _answer(child, job, wall_s, cancelled)
        finally:
            child.kill()
    if child.returncode:
        lines = complaint.decode("utf-8", "replace").strip().splitlines()
        why = " ".join(line.strip() for line in lines if line.strip())
        raise QueryError(why[:500] or f"the query was ended by signal {-child.returncode}")
    table = pa.ipc.open_stream(answer).read_all()
    metadata = table.schema.metadata or {}
    return Result(table.replace_schema_metadata(None), metadata.get(b"truncated") == b"True")


def _answer(
    child: subprocess.Popen[bytes], job: bytes, wall_s: float, cancelled: Event
) -> tuple[bytes, bytes]:
    """Send a child its job and read its answer, within the limits."""
    assert child.stdin is not None
    assert child.stdout is not None
    with suppress(BrokenPipeError), child.stdin as words:
        words.write(job)
    child.stdin = None
    # The limit counts from the statement's start, which the child reports.
    end_s = time.monotonic() + START_S
    while not select.select([child.stdout], [], [], CANCEL_EVERY_S)[0]:
        _go_on(cancelled, end_s, START_S)
    os.read(child.stdout.fileno(), len(READY))
    end_s = time.monotonic() + wall_s
    while True:
        try:
            return child.communicate(timeout=CANCEL_EVERY_S)
        except subprocess.TimeoutExpired:
            _go_on(cancelled, end_s, wall_s)


def _go_on(cancelled: Event, end_s: float, limit_s: float) -> None:
    if cancelled.is_set():
        raise QueryError("the query was cancelled")
    if time.monotonic() >= end_s:
        raise QueryError(f"expected an answer within {limit_s:g} s, found none")


def write(table: pa.Table, form: str, out: BinaryIO) -> None:
    """Write a result as csv (header, LF lines), json (one array of objects) or parquet (zstd)."""
    if form == "parquet":
        pq.write_table(table, out, compression="zstd")
        return
    (table_text.write_json if form == "json" else table_text.write_csv)(table, out)


def texts(table: pa.Table, *, only_finite: bool = True) -> pa.Table:
    """Turn times into ISO 8601 texts in UTC, and decimals and bytes into exact texts.

    With `only_finite`, NaN and infinities become null. Nested values stay.
    """
    columns = [exact_text.flat(column, only_finite=only_finite) for column in table.columns]
    return pa.table(columns, names=table.column_names)
