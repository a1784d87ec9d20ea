"""Free disk space of a recording, against the configured reserve."""

from __future__ import annotations

import shutil
from pathlib import Path


class Space:
    """The free space at the last check; `free_mb` is None before the first."""

    def __init__(self, reserve_mb: int) -> None:
        self._reserve_mb = reserve_mb
        self.free_mb: int | None = None
        self.is_low = False

    def look(self, folder: Path) -> tuple[str, str] | None:
        """Check the free space; return the kind and detail of a status row if the state changed."""
        try:
            free = shutil.disk_usage(folder).free >> 20
        except OSError:
            return None
        self.free_mb = free
        was, self.is_low = self.is_low, free < self._reserve_mb
        if self.is_low and not was:
            return "low_space", f"expected {self._reserve_mb} MB free in reserve, found {free} MB"
        if was and not self.is_low:
            return "space_again", f"{free} MB are free again"
        return None
