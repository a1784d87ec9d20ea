"""Upkeep of a recordings folder: compact finished days, remove what is too old.

Run by the collector as a process of its own, `python -m monitor.recordings`, which may be killed at
any moment: readers take a file for the truth only when it has its name, and leave out files whose
rows another file of the recording holds.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from monitor.processes import command_of
from monitor.recordings.recording_names import is_readable
from monitor.recordings.segment_index import INDEX, entries
from monitor.recordings.segments import (
    FILE_ERRORS,
    WRITER,
    connect,
    discard,
    expect_writable,
    last_about,
    line,
    publish,
    superseded,
    sync,
    tell,
)
from monitor.rows import KINDS
from monitor.settings import RetentionSettings

DAY_NS = 86_400_000_000_000
FIRST_S, EVERY_S, RETRY_S = 10.0, 3600.0, 60.0
# After a longer jump assume a wrong clock rather than a machine that was off.
HOLE_NS = 60 * DAY_NS
COMPACTING_SUFFIX = ".compacting"
REMOVED = "removed.json"
NICENESS = 10

log = logging.getLogger(__name__)


class Sealed(NamedTuple):
    """A sealed segment: its `ord` and `ts_recv` (ns) from the first row to the last, its bytes."""

    file: Path
    ords: tuple[int, int]
    times: tuple[int, int]
    size: int

    @property
    def day(self) -> int:
        return self.times[0] // DAY_NS


class Upkeep:
    """Starts the upkeep process at intervals, and ends it; used by one thread of the collector."""

    def __init__(self, folder: Path, settings: RetentionSettings) -> None:
        self._folder, self._settings = folder, settings
        self._due_s = time.monotonic() + FIRST_S
        self._process: subprocess.Popen[bytes] | None = None
        # Whether the last start failed.
        self._is_held_up = False

    def tick(self) -> None:
        """Start the process when it is due and the last one is done."""
        if time.monotonic() < self._due_s:
            return
        if self._process is None or self._process.poll() is not None:
            self._due_s = time.monotonic() + EVERY_S
            gb = self._settings.total_gb
            job = [str(self._folder), time.time_ns(), self._settings.days, gb and int(gb * 1e9)]
            command = command_of("recordings", json.dumps(job))
            try:
                # Standard output belongs to the collector.
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=sys.stderr
                )
            except OSError as error:
                self._due_s = time.monotonic() + RETRY_S
                if not self._is_held_up:
                    log.warning("upkeep: expected to start a process, found %s", line(error))
                self._is_held_up = True
            else:
                self._is_held_up = False

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def main() -> None:
    """Do the upkeep in the arguments once; print a line for each change."""
    folder, now_ns, days, total_bytes = json.loads(sys.argv[1])
    os.nice(NICENESS)
    for deed in (*compact(Path(folder), now_ns), *retain(Path(folder), now_ns, days, total_bytes)):
        print(deed, flush=True)


def compact(folder: Path, now_ns: int) -> Iterator[str]:
    """Join the segments of each finished day into one file, in every recording."""
    for recording in _recordings(folder):
        try:
            yield from _compact(recording, now_ns)
        except (*FILE_ERRORS, ValueError) as error:
            # A recording that is being deleted, or cannot be changed, must not stop the others.
            yield f"{recording.name}: expected to be kept up, found {line(error)}"


def _compact(recording: Path, now_ns: int) -> Iterator[str]:
    for stale in recording.glob(f"*{COMPACTING_SUFFIX}*"):
        discard(stale)
    segments = list(survey(recording))
    for at in sorted(superseded([one.ords for one in segments]), reverse=True):
        inner = segments.pop(at)
        inner.file.unlink()
        yield f"{_name(inner.file)}: removed, for another file holds its rows"
    today = now_ns // DAY_NS
    for day, group in groupby(segments, lambda one: one.day):
        parts = list(group)
        if day < today and len(parts) > 1:
            try:
                _join(parts)
            except (*FILE_ERRORS, ValueError) as error:
                yield f"{_name(parts[0].file)}: expected to be compacted, found {line(error)}"
            else:
                yield f"{_name(parts[0].file)}: holds the rows of {len(parts)} segments now"


def retain(folder: Path, now_ns: int, days: float | None, total_bytes: int | None) -> Iterator[str]:
    """Delete sealed segments, the oldest first, until age and total size are within the limits.

    `removed.json` of the recording lists what was deleted.
    """
    segments: list[Sealed] = []
    for recording in _recordings(folder):
        try:
            segments += survey(recording)
        except FILE_ERRORS as error:
            yield f"{recording.name}: expected to be looked at, found {line(error)}"
    segments.sort(key=lambda one: one.times[1])
    trusted = _behind_holes(segments)
    if days is not None and trusted:
        yield (
            f"{_name(segments[trusted].file)}: expected rows within {HOLE_NS // DAY_NS} days of"
            f" those of {_name(segments[trusted - 1].file)}, found a hole: a clock may have been"
            " wrong, and nothing before the hole is removed for its age"
        )
    # No correct clock is more than a day ahead of all rows.
    until_ns = min(now_ns, segments[-1].times[1] + DAY_NS) if segments else now_ns
    total = sum(one.size for one in segments)
    for at, one in enumerate(segments):
        old = days is not None and at >= trusted and one.times[1] < until_ns - days * DAY_NS
        large = total_bytes is not None and total > total_bytes
        if not (old or large):
            continue
        try:
            _remove(one)
        except FILE_ERRORS as error:
            yield f"{_name(one.file)}: expected to be removed, found {line(error)}"
        else:
            total -= one.size
            yield f"{_name(one.file)}: removed, {'too old' if old else 'too large a folder'}"


def _behind_holes(segments: list[Sealed]) -> int:
    """Return where the segments after the last long pause begin."""
    pairs = range(1, len(segments))
    holes = [at for at in pairs if segments[at].times[1] - segments[at - 1].times[1] > HOLE_NS]
    return holes[-1] if holes else 0


def survey(recording: Path) -> Iterator[Sealed]:
    """Return the readable sealed segments of a recording, by number."""
    for file, entry in entries(recording).items():
        if entry is not None and entry.span_ns is not None:
            yield Sealed(file, entry.ords, entry.span_ns, file.stat().st_size)


def _join(parts: list[Sealed]) -> None:
    """Write the rows of all parts into one file, compare, and give it the first part's name."""
    target = parts[0].file
    expect_writable(target)
    made = target.with_name(target.name + COMPACTING_SUFFIX)
    wanted = dict.fromkeys(KINDS, (0, 0))
    with connect(made, WRITER) as con:
        abouts = []
        for part in parts:
            con.execute(
                f"ATTACH '{str(part.file.absolute()).replace(chr(39), chr(39) * 2)}' AS part"
                " (READ_ONLY)"
            )
            for kind in (*KINDS, "recording"):
                con.execute(f"CREATE TABLE IF NOT EXISTS {kind} AS FROM part.{kind} LIMIT 0")
                con.execute(f"INSERT INTO {kind} FROM part.{kind}")
            for kind in KINDS:
                count, bits = _fingerprint(con, f"part.{kind}")
                wanted[kind] = (wanted[kind][0] + count, wanted[kind][1] ^ bits)
            con.execute("DETACH part")
            abouts.append(last_about(con))
        if any(about.state == "unclean" for about in abouts[:-1]):
            tell(con, abouts[-1]._replace(state="unclean"))
        con.execute("CHECKPOINT")
        found = {kind: _fingerprint(con, kind) for kind in KINDS}
    if found != wanted:
        made.unlink()
        raise ValueError(f"other rows: {found} in place of {wanted}")
    publish(made, target)
    for part in parts[1:]:
        part.file.unlink()
    sync(target.parent)


def _fingerprint(con: duckdb.DuckDBPyConnection, table: str) -> tuple[int, int]:
    """Return the number of rows and a hash that does not depend on their order."""
    query = f"SELECT count(*), coalesce(bit_xor(hash(t)), 0) FROM {table} AS t"
    (found,) = con.sql(query).fetchall()
    return int(found[0]), int(found[1])


def _remove(one: Sealed) -> None:
    """List a segment in `removed.json`, then delete it."""
    recording = one.file.parent
    note = recording / REMOVED
    told = removed(recording)
    told.append({"segment": one.file.name, "ords": one.ords, "times_ns": one.times})
    written = note.with_name(f".{REMOVED}")
    written.write_text(json.dumps(told))
    sync(written)
    written.rename(note)
    one.file.unlink()
    if not any(recording.glob("*.duckdb*")):
        for left in (note, recording / INDEX, *recording.glob(".*")):
            left.unlink(missing_ok=True)
        recording.rmdir()


def removed(recording: Path) -> list[dict[str, Any]]:
    """Return what retention deleted of a recording: `segment`, its `ords`, its `times_ns`."""
    note = recording / REMOVED
    told: list[dict[str, Any]] = json.loads(note.read_text()) if note.exists() else []
    return told


def _recordings(folder: Path) -> list[Path]:
    """Return the recordings in the folder itself, without symbolic links."""
    inside = (path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    known = filter(is_readable, inside)
    return sorted(path for path in known if any(path.glob("*.duckdb")))


def _name(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"
