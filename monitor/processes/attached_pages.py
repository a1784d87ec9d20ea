"""Count the pages of a recordings folder by a shared lock.

The kernel releases the lock of a killed process, so the count is always right.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NAME = ".pages"
POLL_S = 0.05


class AttachError(Exception):
    """A page could not attach to a folder; the message is one line."""


class Attachment:
    """One page process on a folder."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self._folder, self._descriptor = folder, descriptor

    def begin(self) -> bool:
        """Try to attach, alone if no other page is there."""
        return _try_both(self._descriptor, self._folder)

    def share(self) -> None:
        """Let other pages attach too."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def keep(self) -> None:
        """Attach to the new file if the first was moved or deleted.

        If another page starts or stops a collector there, do it at the next call.
        """
        with suppress(FileNotFoundError, NotADirectoryError):
            if os.path.samestat(os.fstat(self._descriptor), (self._folder / NAME).stat()):
                return
        with suppress(OSError):
            descriptor = _open(self._folder)
            if _try(descriptor, fcntl.LOCK_SH):
                descriptor, self._descriptor = self._descriptor, descriptor
            os.close(descriptor)

    def close(self) -> None:
        os.close(self._descriptor)

    def detach(self) -> bool:
        """Detach; return whether no page is left. If so, no page can attach until this is closed.

        Only the last of several pages that detach together gets true: the kernel releases the
        shared lock before it tries the exclusive one.
        """
        return _try(self._descriptor, fcntl.LOCK_EX)


@contextmanager
def attach(folder: Path, wait_s: float) -> Iterator[Attachment]:
    """Attach to `folder`, alone until `share` if no other page is there.

    Wait for a page that starts or stops the collector; AttachError if that takes too long.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        attachment = Attachment(folder, _open(folder))
    except OSError as error:
        raise AttachError(f"expected to write to {folder}, found: {error.strerror}") from None
    deadline_s = time.monotonic() + wait_s
    try:
        while not attachment.begin():
            if time.monotonic() > deadline_s:
                raise AttachError(
                    f"expected to share {folder} with its pages within {wait_s:g} s, found one that"
                    " still starts or stops the collector"
                )
            time.sleep(POLL_S)
        yield attachment
    finally:
        attachment.close()


def attach_for_good(folder: Path) -> None:
    """Count this process as a page of `folder` until it ends; do not wait for others."""
    descriptor = _open(folder)
    # It may have to wait for a page that starts or stops the collector.
    arguments = (descriptor, fcntl.LOCK_SH)
    threading.Thread(target=fcntl.flock, args=arguments, name="attach", daemon=True).start()


def _open(folder: Path) -> int:
    return os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_both(descriptor: int, folder: Path) -> bool:
    try:
        return _try(descriptor, fcntl.LOCK_EX) or _try(descriptor, fcntl.LOCK_SH)
    except OSError as error:
        raise AttachError(
            f"expected a file system with locks (flock) at {folder}, found {error.strerror}:"
            " record to a local disk"
        ) from None


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
