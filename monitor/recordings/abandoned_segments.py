"""Recover the segments that a recorder gave up, once the disk works again."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from monitor.recordings.recovery import Tried, recover_and_count
from monitor.recordings.segments import Segment

RETRY_S = 5.0

log = logging.getLogger(__name__)


class Abandoned:
    """The abandoned segments still on disk, and the rows that each should hold."""

    def __init__(self) -> None:
        self._rows: dict[Path, int] = {}
        self._due: dict[Path, float] = {}
        self._told: dict[Path, str] = {}

    def add(self, segment: Segment) -> None:
        """Remember a segment whose file still exists."""
        file = segment.open_file
        if file.exists() and file not in self._rows:
            self._rows[file], self._due[file] = segment.committed_rows, 0.0

    def due(self, at_end: bool = False) -> Iterator[partial[tuple[Path, Tried]]]:
        """Yield the recoveries that are due, for the thread that runs them."""
        now_s = time.monotonic()
        for file in [one for one, due_s in self._due.items() if at_end or due_s <= now_s]:
            del self._due[file]
            yield partial(_recover, file)

    def done(self, file: Path, tried: Tried) -> int | None:
        """Process an outcome; return the missing rows, None if recovery is tried again later."""
        if tried.rows is None:
            if tried.told != self._told.get(file):
                log.warning("%s", tried.told)
            self._told[file], self._due[file] = tried.told, time.monotonic() + RETRY_S
            return None
        self._told.pop(file, None)
        return self._rows.pop(file) - tried.rows


def _recover(file: Path) -> tuple[Path, Tried]:
    return file, recover_and_count(file)
