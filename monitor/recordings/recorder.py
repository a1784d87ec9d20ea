"""The recorder: a sink with its own thread, one transaction per 100 ms, sealed segments.

Rows are committed to a journal. A second thread takes the journals into their segment, compresses
and seals it, which takes longer than rows should wait.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from monitor._rust_feed import Digest
from monitor.processes import locks
from monitor.recordings.abandoned_segments import Abandoned
from monitor.recordings.disk_space import Space
from monitor.recordings.lost_rows import Losses
from monitor.recordings.recovery import Tried
from monitor.recordings.segments import (
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
from monitor.rows import Batch, concat
from monitor.settings import RecorderSettings

QUEUE_BYTES = 256 << 20
# A journal of this size is settled when none is being settled; the second is its largest size.
JOURNAL_BYTES, MOST_JOURNAL_BYTES = 64 << 20, 128 << 20
COMMIT_EVERY_S = 0.1
RETRY_EVERY_S = 2.0
LOOK_EVERY_S = 1.0
CLOSE_S = 4.5
# A copy still on disk after this time was requested by a process that has gone.
COPY_S = 120.0

log = logging.getLogger(__name__)

# Called when recording fails or works again: state, kind, detail, count of rows.
OnStatus = Callable[[str, str, str, int | None], None]


class Recorder:
    """Writes every batch. It never blocks the graph, and counts the rows it cannot write."""

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
        # Duration of the last transaction.
        self.commit_ms = 0.0
        # Rows that could not be written, and the segments that failed.
        self._losses = Losses()
        self._abandoned = Abandoned()
        self._sources = sources
        self._on_status = on_status
        self._settings = settings or RecorderSettings()
        self.space = Space(self._settings.reserve_mb)
        self._started = time.time_ns()
        self._digest = Digest()
        self._lock = threading.Condition()
        self._queue: deque[tuple[float, Batch]] = deque()
        self._queued_bytes = 0
        # Rows dropped because the queue was full, and how many of them were reported.
        self._refused_rows = self._told_rows = 0
        self._looked_s = 0.0
        self._closing = False
        self._snapshots: deque[tuple[Path, Future[Path]]] = deque()
        # Times of the requests for copies, the oldest first.
        self._copies: deque[tuple[float, Path]] = deque()
        self._segment: Segment | None = None
        # The files that are being written.
        self._files: list[Identity] = []
        self._writer: locks.Writer | None = None
        self._journal: Journal | None = None
        self._journal_number = 0
        self._settler = ThreadPoolExecutor(1, "settler")
        # The jobs of the second thread: settle a segment, or recover one.
        self._jobs: deque[tuple[Future[Any], Segment | None]] = deque()
        self._opened_s = self._retry_s = 0.0
        self._opened_ns = self._started
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Open the first segment, so that a folder that cannot be written fails at once.

        LockedError if another recorder works on the recording.
        """
        self._open_segment()
        # Started now: later the machine may have no thread left.
        self._submit(lambda: None)
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
        """Rows received but not recorded."""
        return self._losses.rows + self._refused_rows

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
        except Exception as error:  # Any error is reported, and further rows are counted.
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
                self._write([batch for _, batch in queued])
            if closing or time.monotonic() - self._looked_s >= LOOK_EVERY_S:
                self._looked_s = time.monotonic()
                self._tell_refused(refused_rows)
                self._go_on(self._look_at_files)
                self._look_at_space()
                self._recover(closing)
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
            self._jobs[-1][0].exception()
            self._look_at_jobs()
        self._settler.shutdown()
        if self._writer is not None:
            self._writer.close()

    def _look_at_files(self) -> None:
        """Raise if the files have gone: writes to a deleted file succeed silently."""
        try:
            for file in self._files:
                file.check()
        except OSError:
            if self._segment is not None:
                self._losses.add(self._segment.committed_rows, self._opened_ns)
                self._segment.committed_rows = 0
            self._files = []
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
        if self._writer is not None and not locks.is_written(self.folder):
            # Another folder has taken the first one's place.
            self._writer.leave()
            self._writer = None
        self._writer = self._writer or locks.Writer(self.folder)
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
        self.segment_number = number + 1
        self._opened_s, self._opened_ns = time.monotonic(), time.time_ns()

    def _go_on(self, step: Callable[[], None]) -> None:
        try:
            step()
        except FILE_ERRORS as error:
            self._fail(error)

    def _settle(self, journal: Journal) -> None:
        """Settle the journal once the last one is settled; wait for that if the journal is long."""
        if self._jobs:
            if journal.size_bytes() < MOST_JOURNAL_BYTES:
                return
            self._jobs[-1][0].exception()
        self._go_on(self._turn)

    def _turn(self) -> None:
        """Begin a new journal and settle the last one into the segment."""
        segment, full = self._segment, self._journal
        assert segment is not None and full is not None
        self._journal_number += 1
        about = About(self.folder.name, self._started, None, "open", self._sources, None)
        self._journal = Journal(segment.file, self._journal_number, about)
        self._files = [Identity.of(segment.open_file), Identity.of(self._journal.file)]
        self._submit(partial(settle, segment, full), segment)

    def _submit(self, job: Callable[[], Any], segment: Segment | None = None) -> None:
        self._jobs.append((self._settler.submit(job), segment))

    def _look_at_jobs(self) -> None:
        while self._jobs and self._jobs[0][0].done():
            done, segment = self._jobs.popleft()
            try:
                recovered = done.result()
            except FILE_ERRORS as error:
                if segment is not None and segment is not self._segment:
                    self._abandon(segment)
                self._fail(error)
            else:
                if isinstance(recovered, tuple):
                    self._tell_recovered(*recovered)

    def _recover(self, at_end: bool = False) -> None:
        """Recover abandoned segments when that is due and the disk accepts rows."""
        if self.state == "recording":
            for recovery in self._abandoned.due(at_end):
                self._submit(recovery)

    def _tell_recovered(self, file: Path, tried: Tried) -> None:
        missing = self._abandoned.done(file, tried)
        if missing is None:
            return
        self._on_status("connected", "recovered", tried.told, None)
        if missing:
            self._losses.rows += missing
            why = (
                f"{file.name}: {abs(missing):,} rows {'fewer' if missing > 0 else 'more'} than told"
            )
            self._on_status("connected", "unrecorded", why, self.unrecorded_rows)

    def _write(self, batches: list[Batch]) -> None:
        count = sum(batch.row_count for batch in batches)
        try:
            if self._journal is None:
                if time.monotonic() < self._retry_s:
                    self._losses.add(count, batches[0].first_ns)
                    return
                self._open_segment()
            assert self._journal is not None and self._segment is not None
            batch = concat(batches)
            began_s = time.monotonic()
            self._journal.write(batch)
            self.commit_ms = (time.monotonic() - began_s) * 1e3
        except FILE_ERRORS as error:
            self._losses.add(count, batches[0].first_ns)
            self._fail(error)
            return
        self._digest.update(dict(batch.kinds))
        self._segment.committed_rows += count
        if self.state == "failed":
            if lost := self._losses.end(batch.first_ns, self.trouble):
                self._on_status("connected", "unrecorded", lost, self.unrecorded_rows)
            self.state, self.trouble = "recording", ""
            self._on_status("connected", "recording", "recording again", self.unrecorded_rows)
            self._recover()

    def _fail(self, error: Exception) -> None:
        self._retry_s = time.monotonic() + RETRY_EVERY_S
        if self._journal is not None:
            self._journal.close()
        if self._segment is not None:
            self._abandon(self._segment)
        self._segment = self._journal = None
        self._files = []
        if self.state != "failed":
            self.state, self.trouble = "failed", line(error)
            self._on_status("failed", "unrecorded", self.trouble, self.unrecorded_rows)

    def _abandon(self, segment: Segment) -> None:
        """Close the segment on the thread that uses it; recovery waits until rows are written."""
        self._submit(segment.abandon)
        self._abandoned.add(segment)

    def _tell_refused(self, rows: int) -> None:
        if rows != self._told_rows:
            self._told_rows = rows
            why = f"the disk is too slow: {QUEUE_BYTES >> 20} MB were waiting to be written"
            self._on_status("connected", "unrecorded", why, self.unrecorded_rows)

    def _look_at_space(self) -> None:
        if change := self.space.look(self.folder):
            self._on_status("connected", *change, None)

    def _seal(self) -> None:
        segment, journal = self._segment, self._journal
        if segment is None or journal is None:
            return
        self._submit(partial(seal, segment, journal, time.time_ns(), self.digest), segment)
        self._segment = self._journal = None
        self._files = []

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
