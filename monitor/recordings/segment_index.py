"""The index of a recording: what each segment holds, kept in a file beside the segments.

The file is derived: a segment with another size or modification time is read again, an unreadable
index is rebuilt, and where no index can be written the segments are read every time.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from monitor.recordings import segments
from monitor.recordings.segments import (
    FILE_ERRORS,
    SCHEMA_VERSION,
    About,
    NewerSchemaError,
    by_number,
    last_about,
    ord_span,
)
from monitor.rows import KINDS
from monitor.state import LOSSES, MISSING, RESTATED

INDEX = "index.json"
VERSION = 4
# DuckDB's error for a file that it cannot lock although no process holds a lock.
HELD_BY_NOBODY = "Conflicting lock is held in PID 0."


class NoLocksError(OSError):
    """A file could not be opened because its file system has no locks."""


class Entry(NamedTuple):
    """The contents of one segment, from its `recording` table and its rows."""

    about: About
    rows: dict[str, int]
    # Status rows that report something missing: see `MISSING`.
    gaps: int
    # Status rows that report a loss: see `LOSSES`.
    losses: int
    # The first and the last `ts_recv` of all kinds, in ns since 1970; None without rows.
    span_ns: tuple[int, int] | None
    # The first and the last `ord`; (0, -1) without rows.
    ords: tuple[int, int]
    # The venues with quotes.
    venues: list[str]
    # Each venue and symbol with rows.
    instruments: list[tuple[str, str]]
    # The authoritative origins at its end: `ord` of the last switch, venue, symbol, origin.
    origins: list[tuple[int, str, str, str]]


def entries(path: Path) -> dict[Path, Entry | None]:
    """Describe the sealed segments of a recording's folder in order; None for an unreadable one."""
    known = _load(path / INDEX)
    found: dict[Path, Entry | None] = {}
    kept: dict[str, Any] = {}
    for file in sorted(path.glob("*.duckdb"), key=by_number):
        stamp = _stamp(file)
        if entry := _entry(known.get(file.name), stamp):
            kept[file.name] = known[file.name]
        elif (entry := read(file)) and stamp == _stamp(file):
            kept[file.name] = {"stamp": stamp, **entry._asdict(), "about": entry.about._asdict()}
        found[file] = entry
    if kept != known:
        _save(path / INDEX, kept)
    return found


def read(file: Path) -> Entry | None:
    """Describe a segment from the file itself; None if it cannot be read.

    NoLocksError where the file system has no locks; NewerSchemaError where a newer build made the
    file. Neither is damage.
    """
    try:
        with connect(file) as con:
            return _read(con)
    except NoLocksError:
        raise
    except NewerSchemaError as error:
        raise NewerSchemaError(f"{file.parent.name}/{file.name}: {error}") from None
    except (*FILE_ERRORS, IndexError):
        return None


def connect(file: Path) -> duckdb.DuckDBPyConnection:
    """Open a segment read-only: DuckDB allows only one mode per file and process."""
    try:
        return segments.connect(file, {"threads": "2"}, read_only=True)
    except duckdb.Error as error:
        if HELD_BY_NOBODY not in str(error):
            raise
        raise NoLocksError(
            f"expected a file system with locks (fcntl) at {file.parent}, found that it gives none:"
            " mount it with local locks, or copy the recordings to a local disk"
        ) from None


def _read(con: duckdb.DuckDBPyConnection) -> Entry:
    # First: a newer build may have other tables.
    about = last_about(con)
    counts = " UNION ALL ".join(
        f"SELECT '{kind}', count(*), epoch_ns(min(ts_recv)), epoch_ns(max(ts_recv)) FROM {kind}"
        for kind in KINDS
    )
    told = con.sql(counts).fetchall()
    firsts = [int(first) for _, _, first, _ in told if first is not None]
    lasts = [int(last) for _, _, _, last in told if last is not None]
    names = ", ".join(f"'{kind}'" for kind in sorted(LOSSES))
    ((gaps, losses),) = con.sql(
        f"SELECT count(*) FILTER (kind IN {MISSING}),"
        f" count(*) FILTER (kind IN ({names}) AND flags & {RESTATED} = 0) FROM status"
    ).fetchall()
    venues = con.sql("SELECT DISTINCT venue FROM quote WHERE venue IS NOT NULL ORDER BY 1")
    of_symbols = " UNION ".join(
        f"SELECT DISTINCT venue, symbol FROM {kind} WHERE symbol IS NOT NULL" for kind in KINDS
    )
    switches = con.sql(
        "SELECT max(ord), venue, symbol, arg_max(detail, ord) FROM status"
        " WHERE kind = 'origin' AND detail IS NOT NULL GROUP BY venue, symbol ORDER BY 1"
    )
    return Entry(
        about=about,
        rows={kind: int(count) for kind, count, _, _ in told},
        gaps=int(gaps),
        losses=int(losses),
        span_ns=(min(firsts), max(lasts)) if firsts else None,
        ords=ord_span(con),
        venues=[venue for (venue,) in venues.fetchall()],
        instruments=con.sql(f"FROM ({of_symbols}) ORDER BY ALL").fetchall(),
        origins=switches.fetchall(),
    )


def _stamp(file: Path) -> list[int]:
    try:
        about = file.stat()
    except OSError:
        return []
    return [about.st_size, about.st_mtime_ns]


def _entry(kept: Any, stamp: list[int]) -> Entry | None:
    """Return the index entry of a segment, if it describes this very file."""
    try:
        if kept is None or kept["stamp"] != stamp:
            return None
        span = kept["span_ns"]
        return Entry(
            about=About(**kept["about"]),
            rows={kind: int(kept["rows"][kind]) for kind in KINDS},
            gaps=int(kept["gaps"]),
            losses=int(kept["losses"]),
            span_ns=(int(span[0]), int(span[1])) if span else None,
            ords=(int(kept["ords"][0]), int(kept["ords"][1])),
            venues=[str(venue) for venue in kept["venues"]],
            instruments=[(str(venue), str(symbol)) for venue, symbol in kept["instruments"]],
            origins=[(int(o), str(v), str(s), str(to)) for o, v, s, to in kept["origins"]],
        )
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def _load(index: Path) -> dict[str, Any]:
    try:
        kept = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(kept, dict) or kept.get("version") != VERSION:
        return {}
    # Indexes of the first schema do not name it.
    if kept.get("schema", 1) != SCHEMA_VERSION:
        return {}
    found = kept.get("segments")
    return found if isinstance(found, dict) else {}


def _save(index: Path, kept: dict[str, Any]) -> None:
    index_text = {"version": VERSION, "schema": SCHEMA_VERSION, "segments": kept}
    text = json.dumps(index_text, separators=(",", ":"))
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{INDEX}-", dir=index.parent)
    except OSError:
        return
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(index)
    except OSError:
        Path(name).unlink(missing_ok=True)
