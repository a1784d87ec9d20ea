"""The recorder: a sink with its own thread, one transaction per 100 ms, sealed segments."""

from __future__ import annotations

import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from monitor._rust_feed import Digest
from monitor.batches import Batch, concat
from monitor.config import RecorderSettings
from monitor.segments import FILE_ERRORS, About, Segment, line, recover, sync

QUEUE_BYTES = 256 << 20
COMMIT_EVERY_S = 0.1
RETRY_EVERY_S = 2.0
LOOK_EVERY_S = 1.0
CLOSE_S = 4.5

# Told of a change for the worse or the better: state, kind, detail, count of rows.
OnStatus = Callable[[str, str, str, int | None], None]


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
        self._segment: Segment | None = None
        self._opened_s = self._retry_s = 0.0
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Open the first segment, so that a folder that cannot be written is told at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        sync(self.folder.parent)
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
        """Write what is queued, seal the segment and end the thread."""
        with self._lock:
            self._closing = True
            self._lock.notify()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)
        self.state = "stopped"

    def _run(self) -> None:
        while True:
            with self._lock:
                closing = self._lock.wait_for(self._wanted, COMMIT_EVERY_S) and self._closing
                refused_rows = self._refused_rows
                queued, self._queue = self._queue, deque()
                self._queued_bytes = 0
                snapshots, self._snapshots = self._snapshots, deque()
            if queued:
                self._write(concat(batch for _, batch in queued))
            if time.monotonic() - self._looked_s >= LOOK_EVERY_S:
                self._looked_s = time.monotonic()
                self._tell_refused(refused_rows)
                self._look_at_space()
            for path, wanted in snapshots:
                self._copy(path, wanted)
            if closing:
                self._seal()
                return
            if self._segment and self._is_full(self._segment):
                self._seal()
                self._go_on()

    def _wanted(self) -> bool:
        return self._closing or bool(self._snapshots)

    def _is_full(self, segment: Segment) -> bool:
        if time.monotonic() - self._opened_s >= self._settings.segment_s:
            return True
        return segment.size_bytes() >= self._settings.segment_mb * (1 << 20)

    def _open_segment(self) -> None:
        number = self.segment_number
        while list(self.folder.glob(f"{number:03d}.duckdb*")):
            number += 1
        about = About(self.folder.name, self._started, None, "open", self._sources, None)
        self._segment = Segment(self.folder / f"{number:03d}.duckdb", about)
        self.segment_number = number + 1
        self._opened_s = time.monotonic()

    def _go_on(self) -> None:
        try:
            self._open_segment()
        except FILE_ERRORS as error:
            self._fail(Batch({}), error)

    def _write(self, batch: Batch) -> None:
        try:
            if self._segment is None:
                if time.monotonic() < self._retry_s:
                    self._lost_rows += batch.row_count
                    return
                self._open_segment()
            assert self._segment is not None
            self._segment.write(batch)
        except FILE_ERRORS as error:
            self._fail(batch, error)
            return
        self._digest.update(dict(batch.kinds))
        if self.state == "failed":
            self.state, self.trouble = "recording", ""
            self._on_status("connected", "recording", "recording again", self.unrecorded_rows)
            while self._abandoned:
                self._on_status("connected", "recovered", recover(self._abandoned.pop()), None)

    def _fail(self, batch: Batch, error: Exception) -> None:
        self._lost_rows += batch.row_count
        self._retry_s = time.monotonic() + RETRY_EVERY_S
        if self._segment is not None:
            self._segment.abandon()
            self._abandoned.append(self._segment.open_file)
            self._segment = None
        if self.state != "failed":
            self.state, self.trouble = "failed", line(error)
            self._on_status("failed", "unrecorded", self.trouble, self.unrecorded_rows)

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
        was, self.is_space_low = self.is_space_low, free < self._settings.reserve_mb
        if self.is_space_low and not was:
            why = f"expected {self._settings.reserve_mb} MB free in reserve, found {free} MB"
            self._on_status("connected", "low_space", why, None)

    def _seal(self) -> None:
        if self._segment is None:
            return
        try:
            self._segment.seal(time.time_ns(), self.digest)
        except FILE_ERRORS as error:
            self._fail(Batch({}), error)
        self._segment = None

    def _copy(self, path: Path, wanted: Future[Path]) -> None:
        try:
            if self._segment is None:
                raise FileNotFoundError("expected an open segment, found none")
            self._segment.copy(path)
            wanted.set_result(path)
        except FILE_ERRORS as error:
            wanted.set_exception(error)


def new_id(folder: Path, now_ns: int) -> str:
    """Name a new recording by its start in UTC; one that exists already gets a number behind it."""
    name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_ns // 1_000_000_000))
    names = (name if n == 1 else f"{name}-{n}" for n in range(1, 1000))
    return next(candidate for candidate in names if not (folder / candidate).exists())
