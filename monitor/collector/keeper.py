"""Keep a collector running on a recordings folder while a page of it is served."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

from monitor.processes import Attachment, attach, command_of, end_signals, locks

START_S = 20.0
STOP_S = 4.5
POLL_S = 0.05
WATCH_S = 0.5
# For this long the page that started the collector may restart it first.
OTHERS_FIRST_S = 3.0
# After running this long a collector counts as healthy, and the back-off starts again.
WELL_S = 60.0
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
STARTED_BY = "serve"


class KeeperError(Exception):
    """No collector could be started; the message is one line."""


class Keeper:
    """Starts the collector of a folder, restarts it after it died, and stops it."""

    def __init__(self, folder: Path, arguments: list[str], attachment: Attachment) -> None:
        self._folder, self._arguments, self._attachment = folder, arguments, attachment
        self._closing = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._stopping: locks.Held | None = None
        self._orphan: subprocess.Popen[bytes] | None = None
        self._deadline_s = 0.0
        self._failures, self._started_s = 0, 0.0
        self._thread: threading.Thread | None = None

    def begin(self) -> locks.Held:
        """Find or start a collector and watch it; KeeperError or SystemExit if none starts."""
        held = locks.holder(self._folder) or self._start()
        if held is None:
            # The child has printed the reason on the shared standard error.
            raise SystemExit((self._child and self._child.returncode) or 1)
        self._attachment.share()
        self._thread = threading.Thread(
            target=self._watch, args=(held,), name="keeper", daemon=True
        )
        self._thread.start()
        return held

    def leave(self) -> float:
        """Stop watching, and end the collector if this was the last page.

        The collector ends while the page cleans up; `wait` waits for it. Return the deadline
        for both, in monotonic seconds.
        """
        if self._closing.is_set():
            return self._deadline_s
        self._closing.set()
        self._deadline_s = time.monotonic() + STOP_S
        if self._thread:
            self._thread.join(STOP_S)
        held, child = locks.holder(self._folder), self._child
        is_last = self._attachment.detach()
        if is_last and held is not None and held.started_by == STARTED_BY:
            self._stopping = held
            with suppress(ProcessLookupError):
                os.kill(held.pid, signal.SIGTERM)
        if child and child.poll() is None and (held.pid != child.pid if held else is_last):
            # Its lock or the folder has gone, so no lookup finds this collector.
            self._orphan = child
            child.terminate()
        return self._deadline_s

    def wait(self) -> None:
        """Wait until the collector has ended."""
        while pids := self._not_ended():
            if time.monotonic() > self._deadline_s:
                _log(f"the collector (PID {pids[0]}) was told to end, and has not ended yet")
                return
            time.sleep(POLL_S)

    def _not_ended(self) -> list[int]:
        """Return the collectors that were asked to end and still run."""
        held, orphan = self._stopping, self._orphan
        pids = [held.pid] if held and locks.holder(self._folder) == held else []
        return pids + ([orphan.pid] if orphan and orphan.poll() is None else [])

    def _start(self) -> locks.Held | None:
        """Start a collector and wait until it is ready; None if it ended instead."""
        # For a moment the new collector holds the lock with the dead one's text.
        died = locks.left(self._folder)
        # Its own session: Ctrl-C and the death of the page must not reach it.
        child = None
        try:
            with end_signals.later():
                self._child = child = subprocess.Popen(
                    command_of("cli", *self._arguments),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                )
            # The page's libraries take seconds to load: do that while the collector starts.
            import_module("monitor.page.viewer_document")
            deadline_s = time.monotonic() + START_S
            while time.monotonic() < deadline_s:
                held = locks.holder(self._folder)
                if held is not None and held != died:
                    return held
                if child.poll() is not None:
                    return None
                if self._closing.wait(POLL_S):
                    break
            raise KeeperError(
                f"expected the collector to start within {START_S:g} s, found that it did not"
            )
        except BaseException:
            if child:
                child.terminate()
            raise

    def _watch(self, held: locks.Held) -> None:
        """Restart a collector that a page started and that has died.

        A collector that ends in order clears its lock and is not restarted.
        """
        while not self._closing.wait(WATCH_S):
            if self._child:
                # Reap it, so that no zombie stays.
                self._child.poll()
            self._attachment.keep()
            found = locks.holder(self._folder)
            if found is not None:
                held = found
            elif held.started_by == STARTED_BY and locks.left(self._folder) == held:
                self._restart(held)

    def _restart(self, died: locks.Held) -> None:
        """Start a collector in place of one that died; retry until one runs."""
        if time.monotonic() - self._started_s > WELL_S:
            self._failures = 0
        is_mine = self._child is not None and self._child.pid == died.pid
        wait_s = 0.0 if is_mine else OTHERS_FIRST_S
        while not self._closing.wait(max(wait_s, self._back_off_s())):
            # Another page may have restarted it already.
            if locks.holder(self._folder) is not None:
                return
            self._failures += 1
            _log(f"the collector (PID {died.pid}) died: starting it again")
            with suppress(KeeperError, OSError):
                held = self._start()
                if held is not None:
                    self._started_s = time.monotonic()
                    recording = f", recording {held.recording}" if held.recording else ""
                    _log(f"the collector runs again: PID {held.pid}{recording}")
                    return

    def _back_off_s(self) -> float:
        if not self._failures:
            return 0.0
        return min(FIRST_WAIT_S * 2.0 ** min(self._failures - 1, 16), LONGEST_WAIT_S)


@contextmanager
def kept(folder: Path, arguments: list[str]) -> Iterator[Keeper]:
    """Keep a collector on `folder` running; one that a page started ends with the last page.

    `arguments` are those of the command that starts one if none runs. Raise KeeperError or
    AttachError with one line if there is none.
    """
    with attach(folder, START_S + STOP_S) as attachment:
        keeper = Keeper(folder, arguments, attachment)
        try:
            held = keeper.begin()
            recording = held.recording or "nothing"
            print(f"collector: PID {held.pid}, recording {recording}", flush=True)
            yield keeper
        finally:
            keeper.leave()
            keeper.wait()


def _log(text: str) -> None:
    print(f"monitor: {text}", file=sys.stderr, flush=True)
