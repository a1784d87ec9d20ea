"""A recording's segments: DuckDB files that are made, filled, sealed and recovered here."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from monitor import __version__
from monitor.batches import KINDS, SCHEMAS, Batch

SCHEMA_VERSION = 1
OPEN_SUFFIX = ".open"
# Left to itself it keeps all that it wrote in memory, up to most of the machine's.
WRITER: dict[str, str | bool | int | float | list[str]] = {"threads": 1, "memory_limit": "128MB"}
RECORDING_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("started", pa.timestamp("ns")),
        ("ended", pa.timestamp("ns")),
        ("state", pa.string()),
        ("sources", pa.list_(pa.string())),
        ("program_version", pa.string()),
        ("schema_version", pa.uint32()),
        ("digest", pa.string()),
    ]
)
# What a file that cannot be written or read raises.
FILE_ERRORS = (duckdb.Error, OSError)


class About(NamedTuple):
    """A row of a segment's `recording` table; times in ns since 1970."""

    id: str
    started: int
    ended: int | None
    state: str
    sources: list[str]
    digest: str | None


class Segment:
    """The open segment of a recording: one connection, used by one thread."""

    def __init__(self, file: Path, about: About) -> None:
        self.file = file
        self._about = about
        self._open_file = file.with_name(file.name + OPEN_SUFFIX)
        self._con = duckdb.connect(str(self._open_file), config=WRITER)
        for kind, schema in {**SCHEMAS, "recording": RECORDING_SCHEMA}.items():
            empty = schema.empty_table()
            self._con.execute(f"CREATE TABLE IF NOT EXISTS {kind} AS FROM empty")
            del empty
        self._tell(about)

    def write(self, batch: Batch) -> None:
        """Append all rows of a batch in one transaction."""
        self._con.execute("BEGIN")
        try:
            for kind, rows in batch.kinds.items():
                self._con.execute(f"INSERT INTO {kind} FROM rows")
                del rows
            self._con.execute("COMMIT")
        except duckdb.Error:
            self._con.execute("ROLLBACK")
            raise

    def copy(self, to: Path) -> None:
        """Write a checkpointed copy of the segment, which other processes can open."""
        self._con.execute("CHECKPOINT")
        with self._open_file.open("rb") as source, to.open("wb") as target:
            os.fchmod(target.fileno(), 0o600)
            while os.sendfile(target.fileno(), source.fileno(), None, 1 << 24):
                pass

    def size_bytes(self) -> int:
        return self._open_file.stat().st_size

    def seal(self, ended: int, digest: str | None, state: str = "sealed") -> None:
        """Checkpoint, close and rename: from now on the segment is never written again."""
        self._tell(self._about._replace(ended=ended, state=state, digest=digest))
        self._con.execute("CHECKPOINT")
        self._con.close()
        _sync(self._open_file)
        self._open_file.rename(self.file)
        _sync(self.file.parent)

    def abandon(self) -> None:
        """Close what cannot be written any more."""
        try:
            self._con.close()
        except duckdb.Error:
            return

    def _tell(self, about: About) -> None:
        row = {**about._asdict(), "program_version": __version__, "schema_version": SCHEMA_VERSION}
        told = pa.Table.from_pylist([row], schema=RECORDING_SCHEMA)
        self._con.execute("INSERT INTO recording FROM told")
        del told


def recover(open_file: Path) -> None:
    """Seal a segment that its collector left open: replay its log, mark it `unclean`, rename it."""
    with duckdb.connect(str(open_file)) as con:
        about = last_about(con)
        ended = _last_recv(con)
    file = open_file.with_name(open_file.name.removesuffix(OPEN_SUFFIX))
    Segment(file, about._replace(state="unclean", ended=ended)).seal(ended, None, "unclean")


def last_about(con: duckdb.DuckDBPyConnection) -> About:
    """Return the last row of the `recording` table, which is the one that counts."""
    table = con.sql("FROM recording ORDER BY rowid DESC LIMIT 1").to_arrow_table()
    row: dict[str, Any] = (
        table.drop_columns(["program_version", "schema_version"])
        .cast(
            pa.schema(
                [
                    field.with_type(pa.int64()) if pa.types.is_timestamp(field.type) else field
                    for field in RECORDING_SCHEMA
                    if field.name not in ("program_version", "schema_version")
                ]
            )
        )
        .to_pylist()[0]
    )
    return About(**row)


def _last_recv(con: duckdb.DuckDBPyConnection) -> int:
    latest = " UNION ALL ".join(f"SELECT max(ts_recv) AS t FROM {kind}" for kind in KINDS)
    (row,) = con.sql(f"SELECT epoch_ns(max(t)) FROM ({latest})").fetchall()
    return int(row[0]) if row[0] is not None else 0


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def iso(ns: int | None) -> str | None:
    """Write ns since 1970 as ISO 8601 in UTC, to the µs."""
    if ns is None:
        return None
    return datetime.fromtimestamp(ns // 1000 / 1e6, UTC).isoformat(timespec="microseconds")
