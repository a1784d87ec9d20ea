"""Open segment files, within the process's limit of descriptors.

A file stays open until another needs its place, because opening takes some ms.
"""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import duckdb
import numpy as np
import pyarrow as pa

from monitor.recordings.segment_index import Entry, connect
from monitor.recordings.segments import Identity
from monitor.rows import Batch

# Each costs a descriptor, a thread and some MB; the rest of the process needs descriptors too.
MOST_OPEN, SHARE_OF_LIMIT = 128, 4
ONE_THREAD = "SET threads = 1"

Rows = TypeVar("Rows", pa.Table, pa.RecordBatch)


def most_open() -> int:
    """Return how many files of recordings this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_OPEN if soft < 0 else max(1, min(MOST_OPEN, soft // SHARE_OF_LIMIT))


def owned(rows: Rows) -> Rows:
    """Copy rows: rows from DuckDB keep their file open while they exist."""
    return rows.take(pa.array(np.arange(rows.num_rows)))


def owned_batch(batch: Batch) -> Batch:
    return Batch({kind: owned(rows) for kind, rows in batch.kinds.items()})


class SegmentFile:
    """A file of a recording and its index entry; any thread may use it."""

    def __init__(self, path: Path, entry: Entry) -> None:
        self.path, self.entry = path, entry
        self._has_one_thread = False
        self.con: duckdb.DuckDBPyConnection | None = None
        self.users = 0
        self._identity = Identity.of(path)

    @contextmanager
    def use(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield an open connection; OSError if the file was replaced, or too many are in use."""
        con = _room.enter(self)
        try:
            yield con
        finally:
            _room.leave(self)

    def use_one_thread(self) -> None:
        self._has_one_thread = True
        if self.con is not None:
            self.con.execute(ONE_THREAD)

    def open_early(self) -> None:
        """Open the file if there is room, so that it stays readable if it is replaced."""
        _room.enter_early(self)

    def close(self) -> None:
        _room.close(self)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Open the file; only `_Room` calls this."""
        self._identity.check()
        con = connect(self.path)
        con.execute("SET TimeZone = 'UTC'")
        if self._has_one_thread:
            con.execute(ONE_THREAD)
        return con


class _Room:
    """The open files of this process; idle ones are closed to make room."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        # In order of use, the latest last.
        self._idle: dict[SegmentFile, None] = {}

    def enter(self, file: SegmentFile) -> duckdb.DuckDBPyConnection:
        with self._lock:
            self._idle.pop(file, None)
            if file.con is None:
                self._make_room()
                file.con = file.connect()
                self._count += 1
            file.users += 1
            return file.con

    def enter_early(self, file: SegmentFile) -> None:
        with self._lock:
            if file.con is None and self._count < most_open():
                file.con = file.connect()
                self._count += 1
                self._idle[file] = None

    def leave(self, file: SegmentFile) -> None:
        with self._lock:
            file.users -= 1
            if file.users == 0 and file.con is not None:
                self._idle[file] = None

    def close(self, file: SegmentFile) -> None:
        with self._lock:
            self._close(file)

    def _make_room(self) -> None:
        most = most_open()
        while self._count >= most and self._idle:
            self._close(next(iter(self._idle)))
        if self._count >= most:
            raise OSError(
                f"expected at most {most} files of recordings to be read at once, found more:"
                " name fewer recordings of one time"
            )

    def _close(self, file: SegmentFile) -> None:
        self._idle.pop(file, None)
        if file.con is not None:
            file.con.close()
            file.con = None
            self._count -= 1


_room = _Room()
