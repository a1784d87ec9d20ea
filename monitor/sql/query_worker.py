"""The child process that runs one statement over recordings, locked and bounded.

It reads a job from standard input and writes an Arrow stream, or one line of error.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from typing import Any

import duckdb
import pyarrow as pa

from monitor.rows import KINDS, SCHEMAS
from monitor.sql import ready_made_views

EXIT_REFUSED = 3
# Errors of DuckDB and Arrow that a statement can cause.
FAILURES = (duckdb.Error, ValueError, RuntimeError, MemoryError, OverflowError, pa.ArrowException)
ORPHAN_S = 2.0
NICENESS = 10
# Descriptors that the process has open beside segments, with some in reserve.
OTHER_FILES = 32
ORIGINS = {
    "recording": "VARCHAR",
    "ord": "UBIGINT",
    "venue": "VARCHAR",
    "symbol": "VARCHAR",
    "origin": "VARCHAR",
}
RECORDINGS = {
    **dict.fromkeys(("id", "state", "started", "ended"), "VARCHAR"),
    "sources": "VARCHAR[]",
    **dict.fromkeys(("rows", "gaps", "bytes"), "BIGINT"),
    "digest": "VARCHAR",
}
READING = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
# Statements that refer to tables without naming them.
ANY_NAME = ("information_schema", "duckdb_", "pg_catalog", "query_table", "show", "describe")
# Written once all is set up, right before the statement runs.
READY = b"R"


def main() -> None:
    job: dict[str, Any] = json.load(sys.stdin)
    try:
        table, truncated = _run(job)
    except FAILURES as error:
        sys.stderr.write((str(error).strip() or type(error).__name__) + "\n")
        sys.exit(EXIT_REFUSED)
    table = table.replace_schema_metadata({"truncated": str(truncated)})
    with os.fdopen(1, "wb") as out, pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)


def _run(job: dict[str, Any]) -> tuple[pa.Table, bool]:
    con = duckdb.connect(
        config={
            "threads": "2",
            "memory_limit": job["memory_limit"],
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "temp_directory": "",
        }
    )
    con.execute("SET TimeZone = 'UTC'")
    _table(con, "origins_before", job["origins"], ORIGINS)
    views = _views(job)
    if views:
        _attach(con, [file for _, file in job["files"]])
    for name, query in views.items():
        con.execute(f"CREATE TEMP VIEW {name} AS {query}")
    _table(con, "recordings", job["recordings"], RECORDINGS)
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    _limit(job)
    os.write(1, READY)
    reader = con.sql(_only_select(con, job["sql"]))
    if reader is None:
        raise ValueError("expected a statement that returns rows, found one that returns none")
    rows = job["max_rows"]
    table = reader.limit(rows + 1).to_arrow_table()
    truncated = table.num_rows > rows
    if truncated:
        table = table.slice(0, rows)
    if table.nbytes > job["max_bytes"]:
        raise ValueError(
            f"expected a result of at most {job['max_bytes']:,} bytes, found {table.nbytes:,}"
        )
    return table, truncated


def _only_select(con: duckdb.DuckDBPyConnection, sql: str) -> str:
    statements = con.extract_statements(sql)
    if len(statements) != 1:
        raise ValueError(f"expected one statement, found {len(statements)}")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        raise ValueError(f"expected a SELECT, found {kind.name}")
    text = _bare(sql)
    words = json.loads(con.execute("SELECT json_serialize_sql(?)", [text]).fetchall()[0][0])
    # A write inside WITH has the type SELECT, but its own node in the tree.
    others = sorted(_nodes(words) - READING)
    if words.get("error") or others:
        found = ", ".join(others) or words.get("error_message") or "one that cannot be taken apart"
        raise ValueError(f"expected a SELECT that only reads, found {found}")
    return text


def _bare(sql: str) -> str:
    """Remove semicolons and comments after a statement."""
    raw = sql.encode()
    for start, kind in reversed(duckdb.tokenize(sql)):
        if kind != duckdb.token_type.comment and raw[start : start + 1] != b";":
            break
        raw = raw[:start]
    return raw.decode()


def _nodes(tree: Any) -> set[str]:
    """Return the node types in a statement's syntax tree."""
    found: set[str] = set()
    left = [tree]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            kind = part.get("type")
            if isinstance(kind, str) and kind.endswith("_NODE"):
                found.add(kind)
            left += part.values()
        elif isinstance(part, list):
            left += part
    return found


def _views(job: dict[str, Any]) -> dict[str, str]:
    """Return the queries of the tables and views that the statement names, in order.

    Each is bound to every segment: creating all of them takes 1.5 s for 700 segments.
    """
    made = {kind: _union(kind, job) for kind in KINDS}
    made |= ready_made_views.views(
        job["venues"], _switches(job), len({name for name, _ in job["files"]})
    )
    text = job["sql"].casefold()
    if any(name in text for name in ANY_NAME):
        return made
    wanted = set()
    for name, query in reversed(made.items()):
        if name in text:
            wanted.add(name)
            text += query
    return {name: query for name, query in made.items() if name in wanted}


def _union(kind: str, job: dict[str, Any]) -> str:
    window, conditions = job["window"], []
    if window["from_ns"] is not None:
        conditions.append(f"ts_recv >= make_timestamp_ns({int(window['from_ns'])})")
    if window["to_ns"] is not None:
        conditions.append(f"ts_recv <= make_timestamp_ns({int(window['to_ns'])})")
    if window["venue"] is not None:
        conditions.append(f"venue = {_quoted(window['venue'])}")
    if window["symbol"] is not None:
        conditions.append(f"(symbol = {_quoted(window['symbol'])} OR symbol IS NULL)")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    parts = [
        f"SELECT {_quoted(name)} AS recording, * FROM segment_{number}.{kind}{where}"
        for number, (name, _) in enumerate(job["files"])
    ]
    return " UNION ALL BY NAME ".join(parts) if parts else _empty(kind)


def _switches(job: dict[str, Any]) -> str:
    """Return a query for all changes of the quotes' origin, including those before the window."""
    parts = [
        f"SELECT {_quoted(name)}, ord, venue, symbol, detail FROM segment_{number}.status"
        " WHERE kind = 'origin'"
        for number, (name, _) in enumerate(job["files"])
    ]
    return " UNION ALL ".join(["FROM origins_before", *parts])


def _table(
    con: duckdb.DuckDBPyConnection, name: str, rows: list[Any], columns: dict[str, str]
) -> None:
    """Create a table from JSON objects: Arrow would load pandas, which takes 0.2 s."""
    read = f"unnest(from_json(?, '{json.dumps([columns])}'), max_depth := 2)"
    con.execute(f"CREATE TEMP TABLE {name} AS SELECT {read}", [json.dumps(rows)])


def _empty(kind: str) -> str:
    types = {
        pa.timestamp("ns"): "TIMESTAMP_NS",
        pa.string(): "VARCHAR",
        pa.float64(): "DOUBLE",
        pa.uint32(): "UINTEGER",
        pa.uint64(): "UBIGINT",
        pa.int64(): "BIGINT",
        pa.list_(pa.string()): "VARCHAR[]",
        pa.list_(pa.float64()): "DOUBLE[]",
    }
    columns = [f"NULL::{types[field.type]} AS {field.name}" for field in SCHEMAS[kind]]
    return f"SELECT NULL::VARCHAR AS recording, {', '.join(columns)} WHERE false"


def _attach(con: duckdb.DuckDBPyConnection, files: list[str]) -> None:
    """Attach segments; each file stays open. ValueError if there are too many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if 0 <= most < len(files) + OTHER_FILES:
        raise ValueError(
            f"expected at most {max(0, most - OTHER_FILES)} segments under the limit of {most} open"
            f" files (ulimit -n), found {len(files)}: raise it, narrow the time, or name a"
            " recording, a venue or a symbol"
        )
    for number, file in enumerate(files):
        con.execute(f"ATTACH {_quoted(file)} AS segment_{number} (READ_ONLY)")


def _limit(job: dict[str, Any]) -> None:
    """Limit what the statement may use beyond what the process already uses."""
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123
        used = int(statm.read().split()[0]) * resource.getpagesize()
    space = used + job["address_bytes"]
    seconds = job["cpu_s"] + round(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
    # Run at lower priority than the recorder.
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    # If the parent dies, the system ends this process.
    signal.setitimer(signal.ITIMER_REAL, job["wall_s"] + ORPHAN_S)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
