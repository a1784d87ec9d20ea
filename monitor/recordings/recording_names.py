"""Names of recordings: make new ones, and refuse those that DuckDB cannot open."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

log = logging.getLogger(__name__)


def new_id(folder: Path, now_ns: int) -> str:
    """Name a new recording by its start in UTC; append a number if the name exists."""
    name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_ns // 1_000_000_000))
    names = (name if n == 1 else f"{name}-{n}" for n in range(1, 1000))
    return next(candidate for candidate in names if not (folder / candidate).exists())


def is_readable(path: Path) -> bool:
    """Return whether DuckDB can open this path: it needs UTF-8."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        return False
    return True


def readable(paths: Iterable[Path]) -> list[Path]:
    """Leave out recordings whose paths DuckDB cannot open, and log each once."""
    found = list(paths)
    for path in found:
        if not is_readable(path):
            _tell_left_out(str(path))
    return [path for path in found if is_readable(path)]


@cache
def _tell_left_out(path: str) -> None:
    # Once: the page lists its folder again and again.
    log.warning("monitor: expected recordings with names in UTF-8, found %r: left out", path)
