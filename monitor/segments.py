"""A recording's segments: DuckDB files that are made, filled, sealed and recovered here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from monitor import __version__
from monitor.batches import KINDS, SCHEMAS, Batch

SCHEMA_VERSION = 1
OPEN_SUFFIX, LOG_SUFFIX, DAMAGED_SUFFIX = ".open", ".wal", ".damaged"
# Three headers come first: a shorter file was never made whole, and holds nothing.
HEADER_BYTES = 3 * 4096
# How closely the place of a wrong byte in a log is looked for.
LOG_STEP = 4096
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
        self.open_file = file.with_name(file.name + OPEN_SUFFIX)
        is_new = not self.open_file.exists()
        try:
            self._con = duckdb.connect(str(self.open_file), config=WRITER)
            self._con.execute("BEGIN")
            for kind, schema in {**SCHEMAS, "recording": RECORDING_SCHEMA}.items():
                empty = schema.empty_table()
                self._con.execute(f"CREATE TABLE IF NOT EXISTS {kind} AS FROM empty")
                del empty
            self._tell(about)
            self._con.execute("COMMIT")
            sync(file.parent)
        except FILE_ERRORS:
            if is_new:
                self.abandon()
                self.open_file.unlink(missing_ok=True)
                self.open_file.with_name(self.open_file.name + LOG_SUFFIX).unlink(missing_ok=True)
            raise

    def write(self, batch: Batch) -> None:
        """Append all rows of a batch in one transaction."""
        self._con.execute("BEGIN")
        try:
            for kind, rows in batch.kinds.items():
                self._con.execute(f"INSERT INTO {kind} FROM rows")
                del rows
            self._con.execute("COMMIT")
        except duckdb.Error:
            # After some errors there is nothing left to roll back; what went wrong first is told.
            with suppress(duckdb.Error):
                self._con.execute("ROLLBACK")
            raise

    def copy(self, to: Path) -> None:
        """Write a checkpointed copy of the segment, which other processes can open."""
        self._con.execute("CHECKPOINT")
        with self.open_file.open("rb") as source, to.open("wb") as target:
            os.fchmod(target.fileno(), 0o600)
            while os.sendfile(target.fileno(), source.fileno(), None, 1 << 24):
                pass

    def size_bytes(self) -> int:
        return self.open_file.stat().st_size

    def seal(self, ended: int, digest: str | None, state: str = "sealed") -> None:
        """Checkpoint, close and rename: from now on the segment is never written again."""
        self._tell(self._about._replace(ended=ended, state=state, digest=digest))
        self._con.execute("CHECKPOINT")
        self._con.close()
        publish(self.open_file, self.file)

    def abandon(self) -> None:
        """Close what cannot be written any more."""
        with suppress(duckdb.Error, AttributeError):
            self._con.close()

    def _tell(self, about: About) -> None:
        tell(self._con, about)


def tell(con: duckdb.DuckDBPyConnection, about: About) -> None:
    """Append a row to the `recording` table; the last one counts."""
    row = {**about._asdict(), "program_version": __version__, "schema_version": SCHEMA_VERSION}
    told = pa.Table.from_pylist([row], schema=RECORDING_SCHEMA)
    con.execute("INSERT INTO recording FROM told")
    del told


def recover(open_file: Path) -> str:
    """Seal a segment that was left open: replay its log, mark it `unclean`, rename it.

    Of a log that cannot be read what comes before the damage is kept, and the log set aside; a file
    that cannot be opened at all is set aside whole. Returns what was done, for people.
    """
    where = f"{open_file.parent.name}/{open_file.name}"
    log = open_file.with_name(open_file.name + LOG_SUFFIX)
    try:
        return f"{where}: {_finish(open_file)}"
    except (*FILE_ERRORS, IndexError) as error:
        found = line(error)
    if _is_readable(open_file):
        return f"{where}: left as it is, for it cannot be written: {found}"
    if log.exists():
        content = log.read_bytes()
        _set_aside(log)
        if kept := _readable_part(open_file, log, content):
            done = recover(open_file).partition(": ")[2]
            return f"{where}: {kept:,} of {len(content):,} bytes of its log can be read; {done}"
    _set_aside(open_file)
    return f"{where}: expected a readable segment, found {found}; set aside"


def _finish(open_file: Path) -> str:
    file = open_file.with_name(open_file.name.removesuffix(OPEN_SUFFIX))
    if open_file.stat().st_size < HEADER_BYTES:
        open_file.unlink()
        return "removed, for nothing was written yet"
    with duckdb.connect(str(open_file), config=WRITER) as con:
        (tables,) = con.sql("SELECT count(*) FROM duckdb_tables()").fetchall()
        about = last_about(con) if tables[0] else None
        span = recv_span(con) if tables[0] else None
    if about is None:
        open_file.unlink()
        return "removed, for nothing was written yet"
    if about.state == "sealed":
        publish(open_file, file)
        return "was sealed, and has its name now"
    ended = span[1] if span else about.started
    Segment(file, about._replace(state="unclean", ended=ended)).seal(ended, None, "unclean")
    return "recovered and sealed as unclean"


def publish(open_file: Path, file: Path) -> None:
    """Give a closed segment its name, which a power cut leaves under the one or the other."""
    sync(open_file)
    open_file.rename(file)
    sync(file.parent)


def _is_readable(file: Path) -> bool:
    try:
        with duckdb.connect(str(file), read_only=True) as con:
            last_about(con)
    except (*FILE_ERRORS, IndexError):
        return False
    return True


def _readable_part(open_file: Path, log: Path, content: bytes) -> int:
    """Cut a log down to what can be read of it; returns how many bytes that are.

    The database leaves out a last entry that is not whole, but refuses a log with a wrong byte.
    """
    good, bad = 0, len(content)
    while bad - good > LOG_STEP:
        tried = (good + bad) // 2
        log.write_bytes(content[:tried])
        if _is_readable(open_file):
            good = tried
        else:
            bad = tried
    log.write_bytes(content[:good])
    return good


def _set_aside(file: Path) -> None:
    file.rename(file.with_name(file.name + DAMAGED_SUFFIX))


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


def ord_span(con: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """Return the first and last `ord` of a file; (0, -1) if it has no rows."""
    kinds = [kind for kind in KINDS if kind != "signal"]
    ends = " UNION ALL ".join(f"SELECT min(ord) AS a, max(ord) AS b FROM {kind}" for kind in kinds)
    (row,) = con.sql(f"SELECT min(a), max(b) FROM ({ends})").fetchall()
    return (0, -1) if row[0] is None else (int(row[0]), int(row[1]))


def recv_span(con: duckdb.DuckDBPyConnection) -> tuple[int, int] | None:
    """Return the first and last `ts_recv` of a file in ns, None if it has no rows."""
    kinds = [kind for kind in KINDS if kind != "signal"]
    ends = " UNION ALL ".join(
        f"SELECT min(ts_recv) AS a, max(ts_recv) AS b FROM {kind}" for kind in kinds
    )
    (row,) = con.sql(f"SELECT epoch_ns(min(a)), epoch_ns(max(b)) FROM ({ends})").fetchall()
    return None if row[0] is None else (int(row[0]), int(row[1]))


def superseded(spans: Sequence[tuple[int, int]]) -> set[int]:
    """Return which files of a recording hold only rows that a larger one holds, by their `ord`s.

    A compaction that was cut short leaves such files.
    """
    return {
        at
        for at, (first, last) in enumerate(spans)
        if first <= last
        and any(a <= first and last <= b and (a, b) != (first, last) for a, b in spans)
    }


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def line(error: BaseException) -> str:
    """Return the first line of an error's text, or its name."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def iso(ns: int | None) -> str | None:
    """Write ns since 1970 as ISO 8601 in UTC, to the µs."""
    if ns is None:
        return None
    return datetime.fromtimestamp(ns // 1000 / 1e6, UTC).isoformat(timespec="microseconds")
