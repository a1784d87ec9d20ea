"""Jobs on recordings that the page starts: list, verify, export, clip, delete.

Each job runs in a child process, which ends with this one. The output of a job gets its name once
it is complete; this process removes all other files that a job leaves.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitor import recordings
from monitor.processes import command_of, locks
from monitor.rows import iso
from monitor.sql import queries

# The folder of exports and clips; each recording has a folder of its own in it.
MADE = "exported"
WORKPLACE = ".work-"
WORKS = ("verify", "export", "clip", "delete", "try")
MAX_RUNNING = 2
MAX_STATEMENTS = 2
KEPT_JOBS = 30
LIST_EVERY_S = 2.0
ID_FORM = "%Y%m%dT%H%M%SZ"
STOP_S = 2.0


class ArchiveError(Exception):
    """A job was refused; the message is one line."""


@dataclass(eq=False)
class Job:
    """A job on a recording; `state` is running, done, failed or cancelled."""

    number: int
    work: str
    recording: str
    options: dict[str, Any]
    state: str = "running"
    # Rows read or written so far, and in total; 0 of 0 if unknown.
    done: int = 0
    total: int = 0
    outcome: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    began_s: float = field(default_factory=time.monotonic)
    ended_s: float | None = None

    @property
    def seconds(self) -> float:
        return (self.ended_s or time.monotonic()) - self.began_s


class Archive:
    """The recordings of a folder and the jobs on them; any thread may call every method."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # One statement takes a process with two threads and up to 1 GB.
        self._statements = ThreadPoolExecutor(MAX_STATEMENTS, thread_name_prefix="sql")
        self._cancels: set[threading.Event] = set()
        self._jobs: deque[Job] = deque(maxlen=KEPT_JOBS)
        self._numbered = 0
        self._lock = threading.Lock()
        self._children: dict[int, subprocess.Popen[str]] = {}
        self._threads: dict[int, threading.Thread] = {}
        self._killers: dict[int, threading.Timer] = {}
        self._is_closed = False
        self._listing = threading.Lock()
        self._listed: list[dict[str, Any]] | None = None
        self._listed_s = 0.0
        self._known: dict[Path, tuple[int, dict[str, Any]]] = {}
        _finish_what_was_left(folder)

    def listing(self) -> list[dict[str, Any]] | None:
        """Describe every recording, the newest first; of the running one only sealed segments.

        `span_ns` is the first and the last `ts_recv`, None without rows.
        A list younger than `LIST_EVERY_S` is returned again; None while the first is being read.
        """
        if self._listing.acquire(blocking=False):
            try:
                if self._listed is None or time.monotonic() - self._listed_s >= LIST_EVERY_S:
                    self._listed = self._describe()
                    self._listed_s = time.monotonic()
            finally:
                self._listing.release()
        return self._listed

    def ask(
        self, statement: Callable[[], queries.Result], cancelled: threading.Event
    ) -> Future[queries.Result]:
        """Run a statement as soon as a worker is free; setting `cancelled` ends it."""
        asked = self._statements.submit(statement)
        self._cancels.add(cancelled)
        asked.add_done_callback(lambda _: self._cancels.discard(cancelled))
        return asked

    def jobs(self) -> list[Job]:
        """Return the running jobs and the last ended ones, the newest first."""
        with self._lock:
            return list(reversed(self._jobs))

    def start(self, work: str, recording: str, **options: Any) -> Job:
        """Start a job on a recording; ArchiveError says why it is refused."""
        if work not in WORKS:
            raise ArchiveError(f"expected work of {', '.join(WORKS)}, found {work!r}")
        held = locks.holder(self.folder)
        if work == "delete" and held and held.recording == recording:
            raise ArchiveError(
                f"expected a recording that has ended, found that {recording} is being recorded"
            )
        with self._lock:
            running = [job for job in self._jobs if job.state == "running"]
            if len(running) >= MAX_RUNNING:
                raise ArchiveError(
                    f"expected at most {MAX_RUNNING} jobs at once, found {len(running)} running:"
                    " wait for one, or cancel it"
                )
            of_it = [job.work for job in running if job.recording == recording]
            if of_it and "delete" in (work, *of_it):
                raise ArchiveError(f"expected no other job on {recording}, found {of_it[0]}")
            if self._is_closed:
                raise ArchiveError("expected a page that is served, found one that ends")
            self._numbered += 1
            job = Job(self._numbered, work, recording, options)
            self._jobs.append(job)
            self._children[job.number] = self._child(job)
            thread = threading.Thread(
                target=self._attend, args=(job,), name=f"work-{job.number}", daemon=True
            )
            self._threads[job.number] = thread
            thread.start()
        return job

    def cancel(self, number: int) -> None:
        """End a running job: `state` changes at once, `ended_s` once its files are removed."""
        with self._lock:
            child = self._children.get(number)
            for job in self._jobs:
                if child and job.number == number and job.state == "running":
                    job.state = "cancelled"
                    child.terminate()
                    killer = threading.Timer(STOP_S, child.kill)
                    killer.name, killer.daemon = f"kill-{number}", True
                    self._killers[number] = killer
                    killer.start()

    def close(self) -> None:
        """End all jobs and all statements."""
        with self._lock:
            self._is_closed = True
            children, threads = list(self._children), list(self._threads.values())
        for number in children:
            self.cancel(number)
        for cancelled in list(self._cancels):
            cancelled.set()
        self._statements.shutdown(wait=False, cancel_futures=True)
        for thread in threads:
            thread.join(2 * STOP_S)

    def _describe(self) -> list[dict[str, Any]]:
        held = locks.holder(self.folder)
        described, known = [], {}
        for path in reversed(recordings.paths_of(self.folder)):
            if self._is_closed:
                break
            # A recording may be deleted while it is being described.
            with suppress(FileNotFoundError):
                changed_ns = path.stat().st_mtime_ns
                before = self._known.get(path)
                is_running = held is not None and held.recording == path.name
                if before and before[0] == changed_ns and not is_running:
                    about = before[1]
                else:
                    try:
                        parts = recordings.sealed_parts(path)
                    except recordings.NewerSchemaError as error:
                        recordings.log_left_out(str(error))
                        continue
                    about = recordings.describe(self.folder, path, parts)
                    spans = [part.entry.span_ns for part in parts if part.entry]
                    times = [time for span in spans for time in span or ()]
                    about["started"] = about["started"] or _started(path.name)
                    about["span_ns"] = (min(times), max(times)) if times else None
                if not is_running:
                    known[path] = changed_ns, about
                described.append(about)
        self._known = known
        return described

    def _child(self, job: Job) -> subprocess.Popen[str]:
        told = {
            "folder": str(self.folder),
            "work": job.work,
            "recording": job.recording,
            "workplace": str(self._workplace(job)),
            "made": str(self.folder / MADE / job.recording),
            "now": iso(time.time_ns()),
            **job.options,
        }
        child = subprocess.Popen(
            command_of("jobs", json.dumps(told)),
            # The child ends when this pipe closes, even if this process is killed.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return child

    def _workplace(self, job: Job) -> Path:
        return self.folder / MADE / f"{WORKPLACE}{os.getpid()}-{job.number}"

    def _attend(self, job: Job) -> None:
        """Read the reports of a child, then remove the files that it left."""
        child = self._children[job.number]
        error = ""
        with child:
            assert child.stdout is not None
            for line in child.stdout:
                told = json.loads(line)
                if "total" in told:
                    job.done, job.total = told["done"], told["total"]
                job.outcome = told.get("outcome", job.outcome)
                error = told.get("error", error)
        _remove(self._workplace(job))
        with self._lock:
            job.ended_s = time.monotonic()
            if killer := self._killers.pop(job.number, None):
                killer.cancel()
            if child.returncode == 0 and job.outcome:
                job.state = "done"
            elif job.state == "running":
                job.state = "failed"
                job.error = error or f"expected an outcome, found exit code {child.returncode}"
            del self._children[job.number], self._threads[job.number]
            self._listed_s = 0.0


def _started(name: str) -> str | None:
    """Return the start time that is in the automatic name of a recording."""
    try:
        return datetime.strptime(name, ID_FORM).replace(tzinfo=UTC).isoformat()
    except ValueError:
        return None


def _finish_what_was_left(folder: Path) -> None:
    """Remove the work folders of page processes that were killed."""
    for left in (folder / MADE).glob(f"{WORKPLACE}*-*"):
        pid = left.name.removeprefix(WORKPLACE).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            _remove(left)


def _remove(workplace: Path) -> None:
    shutil.rmtree(workplace, ignore_errors=True)
    # Remove the parent folder only if it is empty.
    with suppress(OSError):
        workplace.parent.rmdir()
