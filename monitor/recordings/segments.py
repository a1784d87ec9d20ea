"""The segments of a recording: create, fill and seal DuckDB files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from monitor import __version__
from monitor.recordings.recording_names import is_readable
from monitor.rows import KINDS, SCHEMAS, Batch

SCHEMA_VERSION = 1
OPEN_SUFFIX, JOURNAL_SUFFIX, LOG_SUFFIX = ".open", ".journal-", ".wal"
# By default DuckDB keeps what it wrote in memory, up to most of the machine's.
WRITER: dict[str, str | bool | int | float | list[str]] = {"threads": 1, "memory_limit": "128MB"}
NEVER: dict[str, str | bool | int | float | list[str]] = {
    **WRITER,
    "memory_limit": "512MB",
    "checkpoint_threshold": "1TB",
}
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
# DuckDB fetches and loads nothing, whatever a file name or a statement mentions.
AS_IS = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
# Errors of a file that cannot be read or written, or of a lack of memory.
FILE_ERRORS = (duckdb.Error, OSError, MemoryError)


def connect(
    file: Path, config: Mapping[str, Any], read_only: bool = False
) -> duckdb.DuckDBPyConnection:
    """Open a database by its absolute path: DuckDB takes `name:` for an extension's prefix."""
    if not is_readable(file):
        raise OSError(f"expected a path in UTF-8, found {str(file)!r}")
    return duckdb.connect(str(file.absolute()), read_only=read_only, config={**AS_IS, **config})


class About(NamedTuple):
    """A row of a segment's `recording` table; times in ns since 1970."""

    id: str
    started: int
    ended: int | None
    state: str
    sources: list[str]
    digest: str | None


class Segment:
    """The open segment of a recording: one connection, used by one thread at a time."""

    def __init__(self, file: Path, about: About) -> None:
        self.file = file
        self._about = about
        self.open_file = file.with_name(file.name + OPEN_SUFFIX)
        # Rows committed for it, including those in its journals.
        self.committed_rows = 0
        self._con = _open(self.open_file, about, WRITER)

    def write(self, batch: Batch) -> None:
        """Append all rows of a batch in one transaction."""
        _write(self._con, dict(batch.kinds))

    def take(self, journal: duckdb.DuckDBPyConnection) -> None:
        """Append all rows of a journal in one transaction, and compress them.

        On failure the segment is closed, so that no row follows the missing ones.
        """
        try:
            _write(self._con, _rows(journal))
            self._con.execute("CHECKPOINT")
        except FILE_ERRORS:
            self.abandon()
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

    def ords(self) -> tuple[int, int]:
        """Return the first and last `ord`; (0, -1) if there are no rows."""
        return ord_span(self._con)

    def last_ns(self) -> int | None:
        """Return the last `ts_recv` in ns since 1970, None if there are no rows."""
        span = recv_span(self._con)
        return span[1] if span else None

    def seal(
        self,
        ended: int,
        digest: str | None,
        state: str = "sealed",
        journal: duckdb.DuckDBPyConnection | None = None,
    ) -> None:
        """Take the last journal, checkpoint, close and rename: it is never written again."""
        last = _told(self._about._replace(ended=ended, state=state, digest=digest))
        rows = {} if journal is None else _rows(journal)
        try:
            # A sealed segment always has the journal's rows.
            _write(self._con, {**rows, "recording": last})
            self._con.execute("CHECKPOINT")
        except FILE_ERRORS:
            self.abandon()
            raise
        self._con.close()
        publish(self.open_file, self.file)

    def abandon(self) -> None:
        """Close a segment that cannot be written any more."""
        with suppress(duckdb.Error, MemoryError):
            self._con.close()


class Journal:
    """The newest rows of an open segment: a file of their own, used by one thread at a time.

    A checkpoint delays commits while it compresses rows. A journal has none: its rows stay in
    its log until the segment takes them.
    """

    def __init__(self, segment: Path, number: int, about: About) -> None:
        self.file = segment.with_name(f"{segment.name}{JOURNAL_SUFFIX}{number:06d}")
        self._log = self.file.with_name(self.file.name + LOG_SUFFIX)
        # Whether the journal has a row with an `ord`, which shows whether a segment has taken it.
        self.has_ords = False
        self.con = _open(self.file, about, NEVER)
        self.con.execute("PRAGMA disable_checkpoint_on_shutdown")

    def write(self, batch: Batch) -> None:
        """Append all rows of a batch in one transaction."""
        _write(self.con, dict(batch.kinds))
        self.has_ords = self.has_ords or batch.ords is not None

    def size_bytes(self) -> int:
        # The rows of a large transaction go straight into the file.
        return self.file.stat().st_size + self._log.stat().st_size

    def close(self) -> None:
        """Close it; its rows stay."""
        with suppress(duckdb.Error, MemoryError):
            self.con.close()

    def remove(self) -> None:
        """Close and delete it: its segment has its rows."""
        self.close()
        remove(self.file)


def settle(segment: Segment, journal: Journal) -> None:
    """Append a journal to its segment, and remove the journal."""
    try:
        segment.take(journal.con)
    except FILE_ERRORS:
        journal.close()
        raise
    journal.remove()


def seal(segment: Segment, journal: Journal, ended: int, digest: str) -> None:
    """Seal a segment with its last journal, and remove the journal."""
    try:
        segment.seal(ended, digest, journal=journal.con)
    except FILE_ERRORS:
        journal.close()
        raise
    journal.remove()


def expect_writable(path: Path) -> None:
    """Raise OSError for a path with `?`: DuckDB reads it but puts `.wal` before the `?`."""
    if "?" in str(path.resolve()):
        raise OSError(f"expected a path without a question mark to write to, found {path}")


def make_folder(recording: Path) -> None:
    """Create the folder of a recording and sync it to disk; OSError if that fails."""
    expect_writable(recording)
    recording.mkdir(parents=True, exist_ok=True)
    sync(recording.parent)


def _open(file: Path, about: About, config: dict[str, Any]) -> duckdb.DuckDBPyConnection:
    """Open a database with a table per kind; describe a new one in `recording`."""
    expect_writable(file)
    is_new = not file.exists()
    con = None
    try:
        con = connect(file, config)
        con.execute("BEGIN")
        for kind, schema in {**SCHEMAS, "recording": RECORDING_SCHEMA}.items():
            empty = schema.empty_table()
            con.execute(f"CREATE TABLE IF NOT EXISTS {kind} AS FROM empty")
            del empty
        if is_new:
            tell(con, about)
        con.execute("COMMIT")
        sync(file.parent)
    except FILE_ERRORS:
        if con is not None:
            with suppress(duckdb.Error, MemoryError):
                con.close()
        if is_new:
            remove(file)
        raise
    return con


def _write(con: duckdb.DuckDBPyConnection, kinds: Mapping[str, Any]) -> None:
    """Append rows of any number of kinds in one transaction."""
    con.execute("BEGIN")
    try:
        for kind, rows in kinds.items():
            con.execute(f"INSERT INTO {kind} FROM rows")
            del rows
        con.execute("COMMIT")
    except FILE_ERRORS:
        # After some errors a rollback fails too; report the first error.
        with suppress(duckdb.Error, MemoryError):
            con.execute("ROLLBACK")
        raise


def _rows(con: duckdb.DuckDBPyConnection) -> dict[str, pa.RecordBatchReader]:
    """Return the rows of each kind in the order of writing; read one before the next."""
    return {kind: con.cursor().sql(f"FROM {kind}").to_arrow_reader() for kind in KINDS}


def tell(con: duckdb.DuckDBPyConnection, about: About) -> None:
    """Append a row to the `recording` table; the last one counts."""
    told = _told(about)
    con.execute("INSERT INTO recording FROM told")
    del told


def _told(about: About) -> pa.Table:
    row = {**about._asdict(), "program_version": __version__, "schema_version": SCHEMA_VERSION}
    return pa.Table.from_pylist([row], schema=RECORDING_SCHEMA)


def publish(open_file: Path, file: Path) -> None:
    """Rename a closed segment; after a power cut it has either name."""
    sync(open_file)
    open_file.rename(file)
    sync(file.parent)


def remove(file: Path) -> None:
    """Delete a database file, its log and its temp folder; ignore missing ones."""
    for one in (file, file.with_name(file.name + LOG_SUFFIX), file.with_name(f"{file.name}.tmp")):
        discard(one)


def discard(path: Path) -> None:
    """Delete a file, or a folder with its contents; ignore a missing one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.exists() or path.is_symlink():
        path.unlink(missing_ok=True)


class Identity(NamedTuple):
    """A file and its inode, to check that the path still leads to the same file."""

    path: Path
    inode: tuple[int, int]

    @staticmethod
    def of(path: Path) -> Identity:
        found = path.stat()
        return Identity(path, (found.st_dev, found.st_ino))

    def check(self) -> None:
        """Raise FileNotFoundError if the file has gone or another one has its path."""
        try:
            if Identity.of(self.path) == self:
                return
        except (FileNotFoundError, NotADirectoryError):
            pass
        raise FileNotFoundError(
            f"expected {self.path} where it was made, found that it was moved or deleted"
        )


class NewerSchemaError(OSError):
    """A newer build made the file, with tables that this build does not know."""


def expect_known_schema(con: duckdb.DuckDBPyConnection) -> None:
    """Raise NewerSchemaError if a newer build made the file."""
    query = "SELECT schema_version, program_version FROM recording ORDER BY rowid DESC LIMIT 1"
    ((schema, program),) = con.sql(query).fetchall()
    if schema > SCHEMA_VERSION:
        raise NewerSchemaError(
            f"expected schema version {SCHEMA_VERSION} or older, found {schema}:"
            f" monitor {program} made it, and this is {__version__}: update monitor to read it"
        )


def last_about(con: duckdb.DuckDBPyConnection) -> About:
    """Return the last row of the `recording` table, which is the one that counts."""
    expect_known_schema(con)
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
    """Return the files whose rows a larger file of the recording holds too, by `ord`.

    A compaction that was cut short leaves such files.
    """
    return {
        at
        for at, (first, last) in enumerate(spans)
        if first <= last
        and any(a <= first and last <= b and (a, b) != (first, last) for a, b in spans)
    }


def by_number(file: Path) -> tuple[int, str]:
    """Return the sort key of segments: their number, which may have more than three digits."""
    number = file.name.partition(".")[0]
    return (int(number) if number.isdecimal() else 0, file.name)


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def line(error: BaseException) -> str:
    """Return the first line of an error's text, or its name."""
    return (str(error).splitlines() or [type(error).__name__])[0]
