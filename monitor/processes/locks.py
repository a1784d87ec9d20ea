"""Locks: a recordings folder has one collector at a time, and each recording one recorder."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

NAME, WRITER = ".lock", ".writer"
READERS_S = 1.0
MADE = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


class Held(NamedTuple):
    """The holder of a lock: process id, `host:port`, the token of its HTTP port, its starter."""

    pid: int
    address: str
    token: str
    started_by: str
    recording: str


class LockedError(OSError):
    """Another process works on the folder, or it cannot be locked."""


class Lock:
    """A held lock; `tell` writes the holder's data into the file.

    `died` is the previous holder if it ended without clearing the lock, else None.
    """

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.died = _read(folder / NAME)
        self._folder, self._descriptor = folder, descriptor
        self._held: Held | None = None
        self._trouble = ""

    def tell(self, held: Held) -> None:
        self._held = held
        _write(self._descriptor, held)

    def keep(self) -> str:
        """Create the file again if it was deleted or moved; return a text to report, once."""
        file = self._folder / NAME
        if _is_at(self._descriptor, file):
            return ""
        before, self._trouble = self._trouble, ""
        try:
            self._move(file)
        except OSError as error:
            found = _read(file) if isinstance(error, BlockingIOError) else None
            why = f"that of PID {found.pid}" if found else error.strerror
            self._trouble = f"expected the lock {file} where it was made, found {why}: no page or"
            self._trouble += " command finds this collector"
            return self._trouble if self._trouble != before else ""
        return f"the lock {file} was moved or deleted, and is made again"

    def clear(self) -> None:
        """Clear and release the lock."""
        # On a disk that has become read-only this fails, and the holder looks dead.
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)

    def close(self) -> None:
        os.close(self._descriptor)

    def _move(self, file: Path) -> None:
        """Lock the file at the old path; BlockingIOError if another process has."""
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, MADE, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._held:
                _write(descriptor, self._held)
        except OSError:
            os.close(descriptor)
            raise
        # No holder died at the file's present path.
        self.clear()
        self.close()
        self._descriptor = descriptor


@contextmanager
def hold(folder: Path) -> Iterator[Lock]:
    """Take the lock of `folder`; LockedError names the process that holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    held = Lock(folder, _acquired(folder))
    try:
        held.clear()
        yield held
        held.clear()
    finally:
        held.close()


def holder(folder: Path) -> Held | None:
    """Return the holder of the lock of `folder`, None if there is none or it is not ready yet."""
    return _read(folder / NAME) if _is_held(folder / NAME) else None


def left(folder: Path) -> Held | None:
    """Return the holder that died with the lock of `folder`; None if it is held or was cleared."""
    return None if _is_held(folder / NAME) else _read(folder / NAME)


def _is_held(file: Path) -> bool:
    try:
        # A read-only disk opens nothing for writing, but its locks stay.
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        # Without locks nothing records here, and sealed files stay readable.
        return False
    finally:
        os.close(descriptor)
    return False


class Writer:
    """The lock of one recording, held until `close`; LockedError if another recorder holds it."""

    def __init__(self, recording: Path) -> None:
        self._file = recording / WRITER
        self._descriptor = os.open(self._file, MADE, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            if isinstance(error, BlockingIOError):
                told = f"expected no other recorder on {recording}, found one"
                raise LockedError(told) from None
            raise _without_locks(recording, error) from None

    def close(self) -> None:
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
        self.leave()

    def leave(self) -> None:
        """Release the lock of a recording whose folder has gone."""
        os.close(self._descriptor)


def is_written(recording: Path) -> bool:
    """Return whether a recorder works on a recording."""
    return _is_held(recording / WRITER)


def _without_locks(folder: Path, error: OSError) -> LockedError:
    return LockedError(
        f"expected a file system with locks (flock) at {folder}, found {error.strerror}:"
        " record to a local disk"
    )


def _acquired(folder: Path) -> int:
    """Open the lock file and take its lock."""
    while True:
        descriptor = os.open(folder / NAME, MADE, 0o600)
        try:
            _acquire(descriptor, folder)
            if _is_at(descriptor, folder / NAME):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        # It was deleted meanwhile: others see the new file.
        os.close(descriptor)


def _is_at(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except OSError:
        return False


def _write(descriptor: int, held: Held) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(held._asdict()).encode(), 0)


def _acquire(descriptor: int, folder: Path) -> None:
    """Take the lock; wait for a reader that holds it for a moment."""
    deadline_s = time.monotonic() + READERS_S
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held = _read(folder / NAME)
            if held or time.monotonic() > deadline_s:
                pid = held.pid if held else "unknown"
                raise LockedError(
                    f"expected no other collector on {folder}, found the one of PID {pid}"
                ) from None
            time.sleep(READERS_S / 20)
        except OSError as error:
            raise _without_locks(folder, error) from None


def _read(file: Path) -> Held | None:
    try:
        return Held(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None
