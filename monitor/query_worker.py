"""The child process that runs one statement over recordings, locked in and bounded.

It reads a job from its arguments and writes an Arrow stream, or one line of error, to descriptors.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

import duckdb
import pyarrow as pa

from monitor.batches import KINDS, SCHEMAS

EXIT_REFUSED = 3
# Written once all is set up, right before the statement runs.
READY = b"R"


def main() -> None:
    job: dict[str, Any] = json.loads(sys.argv[1])
    try:
        table, truncated = _run(job)
    except (duckdb.Error, ValueError, MemoryError, pa.ArrowException) as error:
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
            "temp_directory": "",
        }
    )
    con.execute("SET TimeZone = 'UTC'")
    statement = _only_select(con, job["sql"])
    for number, (_, file) in enumerate(job["files"]):
        con.execute(f"ATTACH {_quoted(file)} AS segment_{number} (READ_ONLY)")
    for kind in KINDS:
        con.execute(f"CREATE TEMP VIEW {kind} AS {_union(kind, job)}")
    listed = pa.Table.from_pylist(job["recordings"]) if job["recordings"] else _no_recordings()
    con.register("recordings", listed)
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    _limit(job)
    os.write(1, READY)
    reader = con.sql(statement)
    if reader is None:
        raise ValueError("expected a statement that returns rows, found one that returns none")
    rows = job["max_rows"]
    table = reader.limit(rows + 1).to_arrow_table()
    truncated = table.num_rows > rows
    return (table.slice(0, rows) if truncated else table), truncated


def _only_select(con: duckdb.DuckDBPyConnection, sql: str) -> str:
    statements = con.extract_statements(sql)
    if len(statements) != 1:
        raise ValueError(f"expected one statement, found {len(statements)}")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        raise ValueError(f"expected a SELECT, found {kind.name}")
    text = sql.strip().rstrip(";").strip()
    # Only what parses as a subquery is a query through and through, whatever hides in a WITH.
    words = con.execute("SELECT json_serialize_sql(?)", [text]).fetchall()[0][0]
    if json.loads(words).get("error"):
        raise ValueError("expected a SELECT that only reads, found one that does more")
    return text


def _union(kind: str, job: dict[str, Any]) -> str:
    conditions = []
    if job["from_ns"] is not None:
        conditions.append(f"ts_recv >= make_timestamp_ns({int(job['from_ns'])})")
    if job["to_ns"] is not None:
        conditions.append(f"ts_recv <= make_timestamp_ns({int(job['to_ns'])})")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    parts = [
        f"SELECT {_quoted(name)} AS recording, * FROM segment_{number}.{kind}{where}"
        for number, (name, _) in enumerate(job["files"])
    ]
    return " UNION ALL BY NAME ".join(parts) if parts else _empty(kind)


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


def _no_recordings() -> pa.Table:
    names = ("id", "state", "started", "ended", "digest")
    return pa.table({name: pa.array([], pa.string()) for name in names})


def _limit(job: dict[str, Any]) -> None:
    """Bound what the statement may use beyond what the process has already."""
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123
        used = int(statm.read().split()[0]) * resource.getpagesize()
    space = used + job["address_bytes"]
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_CPU, (job["cpu_s"], job["cpu_s"]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


if __name__ == "__main__":
    main()
