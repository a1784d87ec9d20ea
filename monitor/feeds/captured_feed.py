"""Ingest captured frames: the capture reader acts as a transport without a socket."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pyarrow as pa

from monitor._rust_feed import Feed, Session, venues
from monitor.feeds.captured_frames import Captured, kept, parse
from monitor.rows import Batch

DRAIN_FRAMES = 5000
CAPACITY_ROWS = 10_000_000
OPTIONS = json.dumps({"live": False})
SHOWN_BAD_LINES = 5


class Ingested(NamedTuple):
    """The result of an ingest: counts of frames, and the first bad lines as `file:number: why`."""

    frames: int
    ignored: int
    bad: int
    bad_lines: list[str]


def ingest(
    files: Sequence[Path],
    venue: str,
    emit: Callable[[Batch], None],
    on_open: Callable[[], None] = lambda: None,
) -> Ingested:
    """Decode the frames of `files`, merged by receive time, and emit their rows as batches.

    `on_open` is called once the files were read without an error.

    Raises OSError for a file that cannot be read, ValueError for an unknown venue or no frame.
    """
    Session(Feed(0), venue, OPTIONS)
    bad_lines: list[str] = []
    records = [record for file in files for record in _read(file, bad_lines)]
    if bad_lines and not records:
        raise ValueError(f"{bad_lines[0]}, and no frame in {len(bad_lines)} lines")
    on_open()
    records.sort(key=lambda record: record.ts_recv)
    names = list(dict.fromkeys(record.conn for record in records if record.kind == "ws"))
    done = _decode(((venue, record) for record in records), {venue: names}, emit)
    return done._replace(bad=len(bad_lines), bad_lines=bad_lines[:SHOWN_BAD_LINES])


def ingest_kept(
    rows: Callable[[], Iterator[Batch]],
    emit: Callable[[Batch], None],
    on_open: Callable[[], None] = lambda: None,
) -> Ingested:
    """Decode the raw frames of a recording again; `rows` gives its rows from the start.

    Raises ValueError for a recording without frames.
    """
    names: dict[str, list[str]] = {}
    for venue, record in kept(rows()):
        if record.kind in ("ws", "http"):
            of_venue = names.setdefault(venue, [])
            if record.kind == "ws" and record.conn not in of_venue:
                of_venue.append(record.conn)
    if not names:
        raise ValueError("expected frames in the recording (record --raw), found none")
    on_open()
    return _decode(kept(rows()), names, emit)


def _decode(
    records: Iterable[tuple[str, Captured]],
    streams: Mapping[str, Sequence[str]],
    emit: Callable[[Batch], None],
) -> Ingested:
    """Decode records of venues; `streams` names the connections of each that bring a stream."""
    feed = Feed(CAPACITY_ROWS)
    sessions: dict[tuple[str, str], Session] = {}
    numbers: dict[tuple[str, str], int] = {}
    frames = ts_recv = ignored = 0
    for venue, record in records:
        for name in _readers(record, streams.get(venue, ()), venue):
            if record.kind == "left":
                if (ended := sessions.pop((venue, name), None)) is not None:
                    ended.left(record.raw.split(","), record.ts_recv)
                    ignored += ended.ignored_frames
                continue
            if (venue, name) not in sessions:
                sessions[venue, name] = Session(feed, venue, OPTIONS)
                numbers[venue, name] = len(sessions)
            number = numbers[venue, name] = record.number or numbers[venue, name]
            _read_one(record, number, sessions[venue, name])
        frames += record.kind in ("ws", "http")
        ts_recv = record.ts_recv
        if frames % DRAIN_FRAMES == 0:
            _drain(feed, emit)
    for key, session in sessions.items():
        session.closed(numbers[key], ts_recv, "ended", "the capture ends")
    _drain(feed, emit)
    ignored += sum(session.ignored_frames for session in sessions.values())
    return Ingested(frames, ignored, 0, [])


def _readers(record: Captured, streams: Sequence[str], venue: str) -> Sequence[str]:
    """Return the connections that a record is for.

    A REST answer is for the streams too: a list of instruments for all of them, anything else,
    such as a book, for the only stream.
    """
    if record.kind != "http" or record.conn in streams or not streams or record.number is not None:
        return [record.conn]
    listed = venues()[venue]["list_path"]
    if listed and urlsplit(record.url).path.rsplit("/", 1)[-1] == listed.rsplit("/", 1)[-1]:
        return streams
    return streams if len(streams) == 1 else [record.conn]


def _read_one(record: Captured, conn: int, session: Session) -> None:
    if record.kind == "sent":
        session.sent(record.raw)
        return
    if record.kind in ("opened", "took_over"):
        session.began(conn, record.ts_recv, record.kind == "took_over")
        return
    if record.request is not None:
        session.sent(record.request)
    if record.kind == "http":
        session.fetched(conn, record.url, record.raw, record.ts_recv, record.flags)
    else:
        session.frame(conn, record.raw, record.ts_recv, record.flags)


def _drain(feed: Feed, emit: Callable[[Batch], None]) -> None:
    kinds = feed.drain(0, 0)
    if kinds is not None:
        emit(Batch({kind: pa.record_batch(rows) for kind, rows in kinds.items()}))


def _read(file: Path, bad_lines: list[str]) -> Iterator[Captured]:
    """Yield the records of one file; report and skip bad lines."""
    opened = gzip.open if file.suffix == ".gz" else open
    previous_ns = 0
    with opened(file, "rt", encoding="utf-8", errors="replace") as lines:
        # Editors of other systems put a byte order mark at the start.
        for number, line in enumerate((line.lstrip("\ufeff").strip() for line in lines), 1):
            if not line:
                continue
            try:
                record = parse(line, previous_ns, file.name.removesuffix(".gz"))
            except (ValueError, TypeError, KeyError) as error:
                bad_lines.append(f"{file.name}:{number}: expected a captured frame, found {error}")
                continue
            if record is not None:
                previous_ns = record.ts_recv
                yield record
