"""The recorder: a sink with its own thread, one transaction per 100 ms, sealed segments.

Rows are committed to a journal. A second thread takes the journals into their segment, compresses
and seals it, which takes longer than rows should wait.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from monitor import lock
from monitor._rust_feed import Digest
from monitor.batches import Batch, concat
from monitor.config import RecorderSettings
from monitor.recovery import recover
from monitor.segments import (
    FILE_ERRORS,
    About,
    Identity,
    Journal,
    Segment,
    line,
    make_folder,
    seal,
    settle,
)

QUEUE_BYTES = 256 << 20
# A journal so long is taken when nothing else is being settled; at most so long it becomes.
JOURNAL_BYTES, MOST_JOURNAL_BYTES = 64 << 20, 128 << 20
COMMIT_EVERY_S = 0.1
RETRY_EVERY_S = 2.0
LOOK_EVERY_S = 1.0
CLOSE_S = 4.5
# A copy that nobody has taken away by then was asked for by somebody who is gone.
COPY_S = 120.0

log = logging.getLogger(__name__)

# Told of a change for the worse or the better: state, kind, detail, count of rows.
OnStatus = Callable[[str, str, str, int | None], None]


class _Job(NamedTuple):
    """What the second thread does for a segment; `tell` of its result, if anything."""

    done: Future[Any]
    segment: Segment | None
    tell: bool


class Recorder:
    """Writes what flows by; never blocks or fails the flow, and counts what it could not write."""

    def __init__(
        self,
        folder: Path,
        sources: list[str],
        on_status: OnStatus,
        settings: RecorderSettings | None = None,
    ) -> None:
        self.folder = folder
        self.segment_number = 0
        self.state = "recording"
        # Why nothing is recorded.
        self.trouble = ""
        self.is_space_low = False
        # What the disk had when last looked at.
        self.free_mb: int | None = None
        # How long the last transaction took.
        self.commit_ms = 0.0
        # Rows that could not be written, and the segments that failed with them.
        self._lost_rows = 0
        self._abandoned: list[Path] = []
        self._sources = sources
        self._on_status = on_status
        self._settings = settings or RecorderSettings()
        self._started = time.time_ns()
        self._digest = Digest()
        self._lock = threading.Condition()
        self._queue: deque[tuple[float, Batch]] = deque()
        self._queued_bytes = 0
        # Rows that found the queue full, and how many of them were told.
        self._refused_rows = self._told_rows = 0
        self._looked_s = 0.0
        self._closing = False
        self._snapshots: deque[tuple[Path, Future[Path]]] = deque()
        # When copies were asked for, the oldest first.
        self._copies: deque[tuple[float, Path]] = deque()
        self._segment: Segment | None = None
        # The files that are being written, and how many rows they have.
        self._files: list[Identity] = []
        self._open_rows = 0
        self._writer: lock.Writer | None = None
        self._journal: Journal | None = None
        self._journal_number = 0
        self._settler = ThreadPoolExecutor(1, "settler")
        self._jobs: deque[_Job] = deque()
        self._opened_s = self._retry_s = 0.0
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Open the first segment, so that a folder that cannot be written is told at once.

        LockedError if another recorder works on the recording.
        """
        self._open_segment()
        self._thread.start()

    def __call__(self, batch: Batch) -> None:
        """Queue a batch; when the queue is full its rows are counted as unrecorded."""
        size = batch.nbytes
        with self._lock:
            if self._closing or self._queued_bytes + size > QUEUE_BYTES:
                self._refused_rows += batch.row_count
                return
            self._queue.append((time.monotonic(), batch))
            self._queued_bytes += size

    @property
    def unrecorded_rows(self) -> int:
        """How many rows came and were not recorded."""
        return self._lost_rows + self._refused_rows

    @property
    def lag_ms(self) -> float:
        """How long the oldest queued batch has waited, in ms."""
        with self._lock:
            return (time.monotonic() - self._queue[0][0]) * 1e3 if self._queue else 0.0

    @property
    def digest(self) -> str:
        """The digest of all rows recorded so far."""
        return self._digest.hexdigest()

    def snapshot(self, timeout_s: float = 10.0) -> Path:
        """Return a checkpointed copy of the open segment; the caller deletes it."""
        wanted: Future[Path] = Future()
        with self._lock:
            number = f"{time.monotonic_ns():x}"
            self._snapshots.append((self.folder / f".snapshot-{number}", wanted))
            self._lock.notify()
        return wanted.result(timeout_s)

    def close(self) -> None:
        """Write what is queued, seal the segment and end the thread.

        OSError if that is not done in time: recovery seals it then.
        """
        with self._lock:
            self._closing = True
            self._lock.notify()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)
            if self._thread.is_alive():
                raise OSError(f"expected {self.folder} sealed within {CLOSE_S:g} s, found it open")
        if self.state != "failed":
            self.state = "stopped"

    def _run(self) -> None:
        try:
            self._record()
        except Exception as error:  # Whatever ends this thread is told of, and what comes counted.
            log.exception("the recorder has ended")
            with self._lock:
                self._closing = True
                self._refused_rows += sum(batch.row_count for _, batch in self._queue)
                self._queue.clear()
            self.state, self.trouble = "failed", f"{type(error).__name__}: {line(error)}"
            self._on_status("failed", "unrecorded", self.trouble, self.unrecorded_rows)

    def _record(self) -> None:
        while True:
            with self._lock:
                closing = self._lock.wait_for(self._wanted, COMMIT_EVERY_S) and self._closing
                refused_rows = self._refused_rows
                queued, self._queue = self._queue, deque()
                self._queued_bytes = 0
                snapshots, self._snapshots = self._snapshots, deque()
            self._look_at_jobs()
            if queued:
                self._write(concat(batch for _, batch in queued))
            if closing or time.monotonic() - self._looked_s >= LOOK_EVERY_S:
                self._looked_s = time.monotonic()
                self._tell_refused(refused_rows)
                self._go_on(self._look_at_files)
                self._look_at_space()
            for path, wanted in snapshots:
                self._copy(path, wanted)
            if closing:
                self._end()
                return
            self._go_on(self._make_room)

    def _make_room(self) -> None:
        """Begin another segment or journal when this one is full."""
        if self._segment and self._is_full(self._segment):
            self._seal()
            self._open_segment()
        elif self._journal and self._journal.size_bytes() >= JOURNAL_BYTES:
            self._settle(self._journal)

    def _end(self) -> None:
        self._seal()
        while self._jobs:
            self._jobs[-1].done.exception()
            self._look_at_jobs()
        self._settler.shutdown()
        if self._writer is not None:
            self._writer.close()

    def _look_at_files(self) -> None:
        """Raise if what is written is there no longer: writing into it goes on without a word."""
        try:
            for file in self._files:
                file.check()
        except OSError:
            self._lost_rows += self._open_rows
            self._files, self._open_rows = [], 0
            raise
        while self._copies and time.monotonic() - self._copies[0][0] > COPY_S:
            self._copies.popleft()[1].unlink(missing_ok=True)

    def _wanted(self) -> bool:
        return self._closing or bool(self._snapshots)

    def _is_full(self, segment: Segment) -> bool:
        if time.monotonic() - self._opened_s >= self._settings.segment_s:
            return True
        return segment.size_bytes() >= self._settings.segment_mb * (1 << 20)

    def _open_segment(self) -> None:
        make_folder(self.folder)
        if self._writer is not None and not lock.is_written(self.folder):
            # Another folder stands in the place of the first.
            self._writer.leave()
            self._writer = None
        self._writer = self._writer or lock.Writer(self.folder)
        number = self.segment_number
        while list(self.folder.glob(f"{number:03d}.duckdb*")):
            number += 1
        about = About(self.folder.name, self._started, None, "open", self._sources, None)
        segment = Segment(self.folder / f"{number:03d}.duckdb", about)
        try:
            self._journal = Journal(segment.file, 0, about)
        except FILE_ERRORS:
            segment.abandon()
            segment.open_file.unlink(missing_ok=True)
            raise
        self._segment, self._journal_number = segment, 0
        self._files = [Identity.of(segment.open_file), Identity.of(self._journal.file)]
        self._open_rows = 0
        self.segment_number = number + 1
        self._opened_s = time.monotonic()

    def _go_on(self, step: Callable[[], None]) -> None:
        try:
            step()
        except FILE_ERRORS as error:
            self._fail(Batch({}), error)

    def _settle(self, journal: Journal) -> None:
        """Have the journal taken, when the last one is; wait for that if it is long already."""
        if self._jobs:
            if journal.size_bytes() < MOST_JOURNAL_BYTES:
                return
            self._jobs[-1].done.exception()
        self._go_on(self._turn)

    def _turn(self) -> None:
        """Begin a new journal, and have the segment take the last one."""
        segment, full = self._segment, self._journal
        assert segment is not None and full is not None
        self._journal_number += 1
        about = About(self.folder.name, self._started, None, "open", self._sources, None)
        self._journal = Journal(segment.file, self._journal_number, about)
        self._files = [Identity.of(segment.open_file), Identity.of(self._journal.file)]
        self._submit(partial(settle, segment, full), segment)

    def _submit(
        self, job: Callable[[], Any], segment: Segment | None = None, tell: bool = False
    ) -> None:
        self._jobs.append(_Job(self._settler.submit(job), segment, tell))

    def _look_at_jobs(self) -> None:
        while self._jobs and self._jobs[0].done.done():
            job = self._jobs.popleft()
            try:
                told = job.done.result()
            except FILE_ERRORS as error:
                if job.segment is not None and job.segment is not self._segment:
                    self._abandon(job.segment)
                self._fail(Batch({}), error)
            else:
                if job.tell:
                    self._on_status("connected", "recovered", told, None)

    def _write(self, batch: Batch) -> None:
        try:
            if self._journal is None:
                if time.monotonic() < self._retry_s:
                    self._lost_rows += batch.row_count
                    return
                self._open_segment()
            assert self._journal is not None
            began_s = time.monotonic()
            self._journal.write(batch)
            self.commit_ms = (time.monotonic() - began_s) * 1e3
        except FILE_ERRORS as error:
            self._fail(batch, error)
            return
        self._digest.update(dict(batch.kinds))
        self._open_rows += batch.row_count
        if self.state == "failed":
            self.state, self.trouble = "recording", ""
            self._on_status("connected", "recording", "recording again", self.unrecorded_rows)
            while self._abandoned:
                self._submit(partial(recover, self._abandoned.pop()), tell=True)

    def _fail(self, batch: Batch, error: Exception) -> None:
        self._lost_rows += batch.row_count
        self._retry_s = time.monotonic() + RETRY_EVERY_S
        if self._journal is not None:
            self._journal.close()
        if self._segment is not None:
            self._abandon(self._segment)
        self._segment = self._journal = None
        self._files, self._open_rows = [], 0
        if self.state != "failed":
            self.state, self.trouble = "failed", line(error)
            self._on_status("failed", "unrecorded", self.trouble, self.unrecorded_rows)

    def _abandon(self, segment: Segment) -> None:
        """Have it closed by the thread that uses it; recovery waits until rows are written."""
        self._submit(segment.abandon)
        if segment.open_file.exists() and segment.open_file not in self._abandoned:
            self._abandoned.append(segment.open_file)

    def _tell_refused(self, rows: int) -> None:
        if rows != self._told_rows:
            self._told_rows = rows
            why = f"the disk is too slow: {QUEUE_BYTES >> 20} MB were waiting to be written"
            self._on_status("connected", "unrecorded", why, self.unrecorded_rows)

    def _look_at_space(self) -> None:
        try:
            free = shutil.disk_usage(self.folder).free >> 20
        except OSError:
            return
        self.free_mb = free
        was, self.is_space_low = self.is_space_low, free < self._settings.reserve_mb
        if self.is_space_low and not was:
            why = f"expected {self._settings.reserve_mb} MB free in reserve, found {free} MB"
            self._on_status("connected", "low_space", why, None)
        elif was and not self.is_space_low:
            self._on_status("connected", "space_again", f"{free} MB are free again", None)

    def _seal(self) -> None:
        segment, journal = self._segment, self._journal
        if segment is None or journal is None:
            return
        self._submit(partial(seal, segment, journal, time.time_ns(), self.digest), segment)
        self._segment = self._journal = None
        self._files, self._open_rows = [], 0

    def _copy(self, path: Path, wanted: Future[Path]) -> None:
        if self._journal is not None and self._journal.has_ords:
            self._go_on(self._turn)
        if self._segment is None:
            wanted.set_exception(FileNotFoundError("expected an open segment, found none"))
        else:
            self._copies.append((time.monotonic(), path))
            self._submit(partial(_copy, self._segment, path, wanted))


def _copy(segment: Segment, path: Path, wanted: Future[Path]) -> None:
    try:
        segment.copy(path)
        wanted.set_result(path)
    except FILE_ERRORS as error:
        wanted.set_exception(error)


def new_id(folder: Path, now_ns: int) -> str:
    """Name a new recording by its start in UTC; one that exists already gets a number behind it."""
    name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_ns // 1_000_000_000))
    names = (name if n == 1 else f"{name}-{n}" for n in range(1, 1000))
    return next(candidate for candidate in names if not (folder / candidate).exists())
