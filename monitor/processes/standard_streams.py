"""Standard streams that never block: lines wait, and are dropped if nobody reads them."""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import select
import sys
import threading
from queue import SimpleQueue
from typing import TextIO

# Most waiting lines, and how long the end of the program waits for them.
MOST_LINES, END_S = 2_000, 1.0


def prepare() -> None:
    """Open all three standard streams, and make standard error non-blocking.

    A closed stream leads to /dev/null: otherwise the next opened file, perhaps a recording, would
    take its number and receive what is printed.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    if not isinstance(sys.stderr, Patient):
        sys.stderr = Patient(sys.stderr, "standard error")


def prepare_stdout() -> None:
    """Make standard output non-blocking too, where it only informs."""
    if not isinstance(sys.stdout, Patient):
        sys.stdout = Patient(sys.stdout, "standard output")


def print_last(text: str) -> None:
    """Print a line on standard output unless its reader has stalled; raise as print does."""
    with contextlib.suppress(ValueError, io.UnsupportedOperation):
        ready = select.poll()
        ready.register(sys.stdout.fileno(), select.POLLOUT)
        if not ready.poll(END_S * 1000):
            return
    print(text, flush=True)


class Patient(io.TextIOBase):
    """A stream whose `write` never blocks: its own thread writes line by line.

    Lines beyond the queue's bound, or that cannot be written, are dropped; their number is
    reported before the next written line.
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name, self._descriptor = stream, name, stream.fileno()
        stream.flush()
        self._begun = threading.local()
        self._waiting: SimpleQueue[bytes | threading.Event] = SimpleQueue()
        self._dropped = 0
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        atexit.register(self._finish)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self._stream.errors

    @property
    def buffer(self) -> io.BufferedIOBase:
        return self._stream.buffer  # type: ignore[return-value]

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return self._stream.isatty()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        # Keep the lines of several threads apart.
        begun = getattr(self._begun, "text", "") + text
        self._begun.text = begun
        if begun.endswith("\n"):
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Queue an unfinished line as it is."""
        begun, self._begun.text = getattr(self._begun, "text", ""), ""
        if not begun:
            return
        if not self._is_running():
            self._write(begun.encode(self.encoding, "backslashreplace"))
        elif self._waiting.qsize() < MOST_LINES:
            self._waiting.put(begun.encode(self.encoding, "backslashreplace"))
        else:
            self._dropped += 1

    def _is_running(self) -> bool:
        if self._thread is None:
            with self._starting, contextlib.suppress(RuntimeError):
                if self._thread is None:
                    thread = threading.Thread(target=self._run, name="output", daemon=True)
                    thread.start()
                    self._thread = thread
        return self._thread is not None

    def _run(self) -> None:
        while True:
            piece = self._waiting.get()
            if isinstance(piece, threading.Event):
                piece.set()
                continue
            if dropped := self._dropped:
                told = f"monitor: {dropped} lines were dropped: {self._name} was not read\n"
                if self._write(told.encode()):
                    self._dropped -= dropped
            if not self._write(piece):
                self._dropped += 1

    def _write(self, piece: bytes) -> bool:
        try:
            while piece:
                try:
                    piece = piece[os.write(self._descriptor, piece) :]
                except BlockingIOError:
                    # Another process that shares the stream made it non-blocking.
                    select.select([], [self._descriptor], [])
        except OSError:
            return False
        return True

    def _finish(self) -> None:
        """Wait a moment for queued lines at the end of the program."""
        self.flush()
        if self._thread is not None:
            written = threading.Event()
            self._waiting.put(written)
            written.wait(END_S)
