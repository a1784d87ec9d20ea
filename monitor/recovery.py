"""Recovery: seals what a kill, a power cut or a failing disk left open, and says what it found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import duckdb

from monitor import lock
from monitor.segments import (
    FILE_ERRORS,
    JOURNAL_SUFFIX,
    LOG_SUFFIX,
    NEVER,
    OPEN_SUFFIX,
    WRITER,
    About,
    Segment,
    by_number,
    last_about,
    line,
    ord_span,
    publish,
    remove,
)

DAMAGED_SUFFIX = ".damaged"
# Three headers come first: a shorter file was never made whole, and holds nothing.
HEADER_BYTES = 3 * 4096
# How closely the place of a wrong byte in a log is looked for.
LOG_STEP = 4096


def recover_all(folder: Path) -> list[str]:
    """Seal every segment left open; return a line for each. Call only with the lock held.

    A recording that another recorder works on (`ingest`, `replay --record`) is left alone, and so
    is one elsewhere that a link leads to.
    """
    told = []
    for recording in sorted(path for path in folder.iterdir() if path.is_dir()):
        if not (recording.is_symlink() or lock.is_written(recording)):
            told += [line for file in _left_open(recording) if (line := recover(file))]
    return told


def _left_open(recording: Path) -> list[Path]:
    """Return the segments left open, those included of which only journals are left."""
    for stale in recording.glob(".snapshot-*"):
        stale.unlink(missing_ok=True)
    left = {
        file.with_name(file.name.partition(mark)[0] + OPEN_SUFFIX)
        for mark in (OPEN_SUFFIX, JOURNAL_SUFFIX)
        for file in recording.glob(f"*.duckdb{mark}*")
        if not file.name.endswith(DAMAGED_SUFFIX)
    }
    return sorted(left, key=by_number)


def recover(open_file: Path) -> str:
    """Seal a segment that was left open with the rows of its journals, marked `unclean`.

    Of a log that cannot be read what comes before the damage is kept, and the log set aside; a file
    that cannot be opened at all is set aside whole. Returns what was done, for people.
    """
    file = open_file.with_name(open_file.name.removesuffix(OPEN_SUFFIX))
    if file.exists() and not open_file.exists():
        # A power cut brought back what the sealed segment has.
        for journal in journals_of(file):
            remove(journal)
        return ""
    notes: list[str] = []
    try:
        with ExitStack() as stack:
            notes.append(_recover(open_file, file, stack, notes))
    except FILE_ERRORS as error:
        notes.append(f"left as it is, for it cannot be written: {line(error)}")
    return f"{open_file.parent.name}/{open_file.name}: {'; '.join(notes)}"


def journals_of(file: Path) -> list[Path]:
    """Return the journals of a segment, the oldest first."""
    found = file.parent.glob(f"{file.name}{JOURNAL_SUFFIX}*")
    return sorted(one for one in found if one.name.rpartition(".")[2].startswith("journal-"))


def _recover(open_file: Path, file: Path, stack: ExitStack, notes: list[str]) -> str:
    journals = journals_of(file)
    opened = [con for one in journals for con in _opened(one, stack, notes)]
    about = None
    for con in _opened(open_file, stack, notes):
        about = last_about(con)
        con.close()
    if about is not None and about.state == "sealed":
        with duckdb.connect(str(open_file), config=WRITER) as con:
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
    """Take what the segment has not taken yet, and seal it."""
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
    """Yield a connection to a file that holds anything; what had to be done for it is noted."""
    if not file.exists() or file.stat().st_size < HEADER_BYTES:
        return
    found = _connect(file)
    log = file.with_name(file.name + LOG_SUFFIX)
    if isinstance(found, str) and log.exists():
        content = log.read_bytes()
        _set_aside(log)
        kept = _readable_part(file, log, content)
        again = _connect(file)
        if not isinstance(again, str):
            notes.append(f"{kept:,} of {len(content):,} bytes of its log can be read")
            found = again
    if isinstance(found, str):
        notes.append(f"expected a readable segment, found {found}; set aside")
        _set_aside(file)
    else:
        stack.callback(found.close)
        # Tables and the first row about them are made at once.
        (tables,) = found.sql("SELECT count(*) FROM duckdb_tables()").fetchall()
        if tables[0]:
            yield found


def _connect(file: Path) -> duckdb.DuckDBPyConnection | str:
    """Return a connection, or why there is none; raises if the file is whole, but not writable."""
    try:
        return _opening(file, read_only=False)
    except FILE_ERRORS as error:
        found = error
    # A log that ends in a checkpoint is not read without writing: so this comes second.
    try:
        _opening(file, read_only=True).close()
    except FILE_ERRORS:
        return line(found)
    raise found


def _opening(file: Path, read_only: bool) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(str(file), read_only=read_only, config=NEVER)
    try:
        con.execute("PRAGMA disable_checkpoint_on_shutdown")
        con.sql("SELECT count(*) FROM duckdb_tables()").fetchall()
    except FILE_ERRORS:
        con.close()
        raise
    return con


def _readable_part(file: Path, log: Path, content: bytes) -> int:
    """Cut a log down to what can be read of it; returns how many bytes that are.

    The database leaves out a last entry that is not whole, but refuses a log with a wrong byte.
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


def _set_aside(file: Path) -> None:
    file.rename(file.with_name(file.name + DAMAGED_SUFFIX))
