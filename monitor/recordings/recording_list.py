"""List the recordings of a folder with their descriptions."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import Any

from monitor.processes import locks
from monitor.recordings.reading import Part, find, parts_of, sealed_parts
from monitor.recordings.recording_names import readable
from monitor.recordings.segments import OPEN_SUFFIX, About, NewerSchemaError
from monitor.rows import KINDS, iso

log = logging.getLogger(__name__)

# Messages that are remembered, so that each is logged once.
MOST_LOGGED = 1000


def catalogue(folder: Path) -> list[dict[str, Any]]:
    """Describe every recording as `monitor recordings --json` prints it, the oldest first."""
    described = []
    for path in paths_of(folder):
        try:
            with parts_of(folder, path) as parts:
                described.append(describe(folder, path, parts))
        except NewerSchemaError as error:
            log_left_out(str(error))
    return described


@lru_cache(MOST_LOGGED)
def log_left_out(why: str) -> None:
    """Log once why a recording is not listed: the page lists its folder again and again."""
    log.warning("monitor: left out %s", why)


def paths_of(folder: Path) -> list[Path]:
    """Return the folders of all recordings, the oldest first."""
    if not folder.is_dir():
        return []
    inside = (path for path in folder.iterdir() if path.is_dir())
    return readable(sorted(path for path in inside if any(path.glob("*.duckdb*"))))


def describe(folder: Path, path: Path, parts: list[Part]) -> dict[str, Any]:
    """Describe one recording, given its parts."""
    known = [part.entry for part in parts if part.entry]
    rows = {kind: sum(entry.rows[kind] for entry in known) for kind in KINDS}
    gaps, abouts = sum(entry.gaps for entry in known), [entry.about for entry in known]
    losses = sum(entry.losses for entry in known)
    damaged = len(known) < len(parts)
    is_open = _is_open(folder, path)
    left_open = [] if is_open else left_open_in(path)
    states = {about.state for about in abouts}
    last = abouts[-1] if abouts else None
    if damaged or any(path.glob("*.damaged")):
        state = "damaged"
    elif is_open:
        state = "open"
    elif left_open or states - {"sealed"}:
        state = "unclean"
    else:
        state = "sealed"
    return {
        "id": path.name,
        "state": state,
        "started": iso(abouts[0].started) if abouts else None,
        "ended": _ended(last, left_open) if not is_open else None,
        "sources": abouts[0].sources if abouts else [],
        "rows": rows,
        "gaps": gaps,
        "losses": losses,
        "bytes": sum(file.stat().st_size for file in path.glob("*.duckdb*")),
        "digest": last.digest if last and state == "sealed" else None,
        # The rows of a segment left open are unread until a collector recovers them.
        "unread": bool(left_open),
    }


def unread(folder: Path, name: str) -> list[str]:
    """Name the segments of a recording whose rows cannot be read."""
    _, path = find(folder, name)
    return [] if path.is_file() else unread_in(folder, path, sealed_parts(path))


def unread_in(folder: Path, path: Path, parts: list[Part]) -> list[str]:
    """Name the segments that are damaged, or left open and not recovered yet."""
    left_open = [] if _is_open(folder, path) else left_open_in(path)
    return [part.file.name for part in parts if part.entry is None] + [f.name for f in left_open]


def _is_open(folder: Path, path: Path) -> bool:
    held = locks.holder(folder)
    return (held is not None and held.recording == path.name) or locks.is_written(path)


def left_open_in(path: Path) -> list[Path]:
    """Return the segments that are being written, or were when their collector was killed."""
    return sorted(path.glob(f"*.duckdb{OPEN_SUFFIX}")) if path.is_dir() else []


def _ended(last: About | None, left_open: list[Path]) -> str | None:
    """Return when a recording ended; for one left open, the time of its last write."""
    if left_open:
        return iso(max(file.stat().st_mtime_ns for file in left_open))
    return iso(last.ended) if last else None
