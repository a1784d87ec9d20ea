"""Recovery: seal what a kill, a power cut or a failing disk left open, and report it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import duckdb

from monitor.processes import locks
from monitor.recordings.recording_names import is_readable
from monitor.recordings.segments import (
    FILE_ERRORS,
    JOURNAL_SUFFIX,
    LOG_SUFFIX,
    NEVER,
    OPEN_SUFFIX,
    WRITER,
    About,
    Segment,
    by_number,
    connect,
    last_about,
    line,
    ord_span,
    publish,
    remove,
)
from monitor.rows import KINDS

DAMAGED_SUFFIX = ".damaged"
# A file starts with three headers: a shorter one was never completed and has no rows.
HEADER_BYTES = 3 * 4096
# Precision, in bytes, of the search for a wrong byte in a log.
LOG_STEP = 4096
# DuckDB's errors for a wrong byte, a missing end or a foreign file. Any other error, such as a
# lack of memory, descriptors or space, may not occur at the next try.
DAMAGE = (
    *("Corrupt", "Could not read enough bytes", "not a valid DuckDB database file"),
    *("Serialization Error", "Trying to read a database file with version number"),
)


class Tried(NamedTuple):
    """The result of a recovery: a text, and the number of rows; None if it must be tried later."""

    told: str
    rows: int | None


def recover_all(folder: Path) -> list[str]:
    """Seal every segment left open; return a line for each. Call only with the lock held.

    Skip recordings that another recorder has locked (`ingest`, `replay --record`), and symbolic
    links.
    """
    told = []
    for recording in sorted(path for path in folder.iterdir() if path.is_dir()):
        if recording.is_symlink() or locks.is_written(recording):
            continue
        if not is_readable(recording):
            told.append(f"expected names in UTF-8 in {folder}, found {recording.name!r}: left out")
            continue
        try:
            told += [told_of for file in _left_open(recording) if (told_of := recover(file))]
        except OSError as error:
            told.append(f"{recording.name}: left as it is for now: {line(error)}")
    return told


def _left_open(recording: Path) -> list[Path]:
    """Return the segments left open, including those with only journals left."""
    names = [path.name for path in recording.iterdir()]
    for name in names:
        if name.startswith(".snapshot-"):
            (recording / name).unlink(missing_ok=True)
    left = {
        recording / (name.partition(mark)[0] + OPEN_SUFFIX)
        for mark in (OPEN_SUFFIX, JOURNAL_SUFFIX)
        for name in names
        if f".duckdb{mark}" in name and not name.endswith(DAMAGED_SUFFIX)
    }
    return sorted(left, key=by_number)


def recover(open_file: Path) -> str:
    """Seal a segment that was left open with the rows of its journals, marked `unclean`.

    Keep the rows before the damage in a log, and set the log aside; set aside a file that is
    damaged otherwise. After any other error change nothing, and try later. Return a text of what
    was done.
    """
    file = open_file.with_name(open_file.name.removesuffix(OPEN_SUFFIX))
    if file.exists() and not open_file.exists():
        # A power cut brought back a file whose rows the sealed segment has.
        for journal in journals_of(file):
            remove(journal)
        return ""
    notes: list[str] = []
    try:
        with ExitStack() as stack:
            notes.append(_recover(open_file, file, stack, notes))
    except FILE_ERRORS as error:
        notes.append(f"left as it is for now: {line(error)}")
    return f"{open_file.parent.name}/{open_file.name}: {'; '.join(notes)}"


def recover_and_count(open_file: Path) -> Tried:
    """Recover a segment, and count the rows of the result."""
    told = recover(open_file)
    file = open_file.with_name(open_file.name.removesuffix(OPEN_SUFFIX))
    try:
        if open_file.exists() or journals_of(file):
            return Tried(told, None)
        return Tried(told, _rows_in(file) if file.exists() else 0)
    except FILE_ERRORS as error:
        return Tried(f"{told}; not counted yet: {line(error)}", None)


def _rows_in(file: Path) -> int:
    counts = " UNION ALL ".join(f"SELECT count(*) AS n FROM {kind}" for kind in KINDS)
    with connect(file, WRITER, read_only=True) as con:
        ((rows,),) = con.sql(f"SELECT sum(n)::BIGINT FROM ({counts})").fetchall()
    return int(rows)


def journals_of(file: Path) -> list[Path]:
    """Return the journals of a segment, the oldest first; OSError if they cannot be listed."""
    # Not `glob`: it may treat a folder that cannot be listed as empty.
    own = f"{file.name}{JOURNAL_SUFFIX}"
    found = [path for path in file.parent.iterdir() if path.name.startswith(own)]
    return sorted(path for path in found if "." not in path.name.removeprefix(own))


def _recover(open_file: Path, file: Path, stack: ExitStack, notes: list[str]) -> str:
    journals = journals_of(file)
    opened = [con for one in journals for con in _opened(one, stack, notes)]
    about = None
    for con in _opened(open_file, stack, notes):
        about = last_about(con)
        con.close()
    if about is not None and about.state == "sealed":
        with connect(open_file, WRITER) as con:
            con.execute("CHECKPOINT")
        publish(open_file, file)
        done = "was sealed, and has its name now"
    elif about is not None or opened:
        about = about or last_about(opened[0])
        _seal(Segment(file, about), about, opened)
        done = "recovered and sealed as unclean"
    else:
        remove(open_file)
        done = "holds nothing that can be read" if notes else "removed, for nothing was written yet"
    for con in opened:
        con.close()
    for journal in journals:
        remove(journal)
    return done


def _seal(segment: Segment, about: About, journals: list[duckdb.DuckDBPyConnection]) -> None:
    """Append the journals that the segment has not taken yet, and seal it."""
    try:
        for journal in journals:
            last = ord_span(journal)[1]
            if last < 0 or last > segment.ords()[1]:
                segment.take(journal)
        ended = segment.last_ns()
        segment.seal(about.started if ended is None else ended, None, "unclean")
    except FILE_ERRORS:
        segment.abandon()
        raise


def _opened(file: Path, stack: ExitStack, notes: list[str]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection to a file that has rows; note what was repaired."""
    if not file.exists() or file.stat().st_size < HEADER_BYTES:
        return
    found = _connect(file)
    log = file.with_name(file.name + LOG_SUFFIX)
    if isinstance(found, str) and log.exists():
        content = log.read_bytes()
        aside = _set_aside(log)
        try:
            kept = _readable_part(file, log, content)
            again = _connect(file)
        except FILE_ERRORS:
            aside.replace(log)
            raise
        if not isinstance(again, str):
            notes.append(f"{kept:,} of {len(content):,} bytes of its log can be read")
            found = again
    if isinstance(found, str):
        notes.append(f"expected a readable segment, found {found}; set aside")
        _set_aside(file)
    else:
        stack.callback(found.close)
        # The tables and the first `recording` row are created in one transaction.
        (tables,) = found.sql("SELECT count(*) FROM duckdb_tables()").fetchall()
        if tables[0]:
            yield found


def _connect(file: Path) -> duckdb.DuckDBPyConnection | str:
    """Return a connection, or the damage; raise if the file cannot be opened for another reason."""
    try:
        return _opening(file)
    except duckdb.Error as error:
        found = str(error).replace(str(file.parent.absolute()), "")
        if not any(sign in found for sign in DAMAGE):
            raise
        return line(error)


def _opening(file: Path) -> duckdb.DuckDBPyConnection:
    con = connect(file, NEVER)
    try:
        con.execute("PRAGMA disable_checkpoint_on_shutdown")
        con.sql("SELECT count(*) FROM duckdb_tables()").fetchall()
    except FILE_ERRORS:
        con.close()
        raise
    return con


def _readable_part(file: Path, log: Path, content: bytes) -> int:
    """Truncate a log to its readable part; return its size in bytes.

    DuckDB ignores an incomplete last entry, but refuses a log with a wrong byte.
    """
    good, bad = 0, len(content)
    while bad - good > LOG_STEP:
        tried = (good + bad) // 2
        log.write_bytes(content[:tried])
        found = _connect(file)
        if isinstance(found, str):
            bad = tried
        else:
            found.close()
            good = tried
    log.write_bytes(content[:good])
    return good


def _set_aside(file: Path) -> Path:
    return file.rename(file.with_name(file.name + DAMAGED_SUFFIX))
