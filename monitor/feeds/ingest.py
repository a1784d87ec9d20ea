"""Captured frames through the real decoder: the capture reader is a transport without a socket."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pyarrow as pa

from monitor._rust_feed import Feed, Session, venues
from monitor.batches import Batch
from monitor.feeds.captured import Captured, parse

DRAIN_FRAMES = 5000
CAPACITY_ROWS = 10_000_000
OPTIONS = json.dumps({"live": False})
SHOWN_BAD_LINES = 5


class Ingested(NamedTuple):
    """What an ingest came to: counts of frames, and the first bad lines as `file:number: why`."""

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

    `on_open` is called once the files are read and found good.

    Raises OSError for a file that cannot be read, ValueError for an unknown venue or no frame.
    """
    feed = Feed(CAPACITY_ROWS)
    Session(feed, venue, OPTIONS)
    bad_lines: list[str] = []
    records = [record for file in files for record in _read(file, bad_lines)]
    if bad_lines and not records:
        raise ValueError(f"{bad_lines[0]}, and no frame in {len(bad_lines)} lines")
    on_open()
    records.sort(key=lambda record: record.ts_recv)
    streams = list(dict.fromkeys(record.conn for record in records if record.kind == "ws"))
    sessions: dict[str, tuple[int, Session]] = {}
    frames = 0
    for record in records:
        for name in _readers(record, streams, venue):
            if name not in sessions:
                sessions[name] = (len(sessions) + 1, Session(feed, venue, OPTIONS))
            _read_one(record, *sessions[name])
        frames += record.kind != "sent"
        if frames % DRAIN_FRAMES == 0:
            _drain(feed, emit)
    for conn, session in sessions.values():
        session.closed(conn, records[-1].ts_recv, "ended", "the capture ends")
    _drain(feed, emit)
    ignored = sum(session.ignored_frames for _, session in sessions.values())
    return Ingested(frames, ignored, len(bad_lines), bad_lines[:SHOWN_BAD_LINES])


def _readers(record: Captured, streams: Sequence[str], venue: str) -> Sequence[str]:
    """Return the connections that a record is for.

    What was asked for beside the streams informs them: a list of instruments all of them, anything
    else, such as a book, the one stream that there is.
    """
    if record.kind != "http" or record.conn in streams or not streams:
        return [record.conn]
    listed = venues()[venue]["list_path"]
    if listed and urlsplit(record.url).path.rsplit("/", 1)[-1] == listed.rsplit("/", 1)[-1]:
        return streams
    return streams if len(streams) == 1 else [record.conn]


def _read_one(record: Captured, conn: int, session: Session) -> None:
    if record.kind == "sent":
        session.sent(record.raw)
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
    """Yield the records of one file; a bad line is named and skipped."""
    opened = gzip.open if file.suffix == ".gz" else open
    previous_ns = 0
    with opened(file, "rt", encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record = parse(line.strip(), previous_ns, file.name.removesuffix(".gz"))
            except (ValueError, TypeError, KeyError) as error:
                bad_lines.append(f"{file.name}:{number}: expected a captured frame, found {error}")
                continue
            if record is not None:
                previous_ns = record.ts_recv
                yield record
