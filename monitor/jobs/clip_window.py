"""Clip a window of a recording into one file that needs nothing else.

The clip restates the state before the window. Restated rows are flagged SYNTHETIC and get the
`ord`s just below the window's first. They are, in their original order: the `instrument` rows in
force, the last `status` row of each venue, symbol, channel and scope, and the last quote of each
instrument's authoritative origin. A full copy of each valid book follows. There are enough free
`ord`s: each restated row has a row of its own before the window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from monitor import recordings
from monitor._rust_feed import Digest
from monitor.recordings import OPEN_SUFFIX, STATUS_KEYS, About, Recording, Segment
from monitor.rows import (
    BAD_TS_RECV,
    DUPLICATE,
    FIRST_ORIGIN,
    KEYFRAME,
    LAST,
    LATE,
    MAYBE_BAD_BOOK,
    SCHEMAS,
    SNAPSHOT,
    SYNTHETIC,
    Batch,
    column,
)
from monitor.verify import CLIPPED, Order

# How far before the window the time of a restated row may lie: a replay waits this long for it.
LEAD_NS = 5_000_000_000
SUFFIX = ".duckdb"
Instrument = tuple[str, str]


class Clip(NamedTuple):
    """A written clip: its rows in the window, its restated rows, and the digest of all rows."""

    file: Path
    rows: int
    restated: int
    digest: str


class Book(NamedTuple):
    """The state of a book: the `ord` of its last snapshot, its levels, and its last row."""

    since: int
    levels: dict[tuple[str, float], float]
    last: dict[str, Any]


def default_file(name: str, from_ns: int) -> Path:
    """Name a clip by its recording and its start."""
    whole, rest = divmod(from_ns, 1_000_000_000)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return Path(
        f"{name}-clip-{datetime.fromtimestamp(whole, UTC):%Y%m%dT%H%M%S}{fraction}Z{SUFFIX}"
    )


def clip(folder: Path, name: str, from_ns: int, to_ns: int, out: Path | None = None) -> Clip:
    """Write the rows of a window as a recording of one file; times in ns since 1970, inclusive.

    Raises FileExistsError if the file exists, ValueError without a recording or a row.
    """
    recording_id, path = recordings.find(folder, name)
    file = out or default_file(recording_id, from_ns)
    if file.suffix != SUFFIX:
        raise ValueError(f"expected a file name that ends in {SUFFIX}, found {file}")
    if file.exists():
        raise FileExistsError(f"expected the name of a new file, found that {file} exists")
    with recordings.parts_of(folder, path) as parts:
        recording = Recording(recording_id, parts)
        try:
            batches = recording.batches(from_ns, to_ns)
            first = next((batch for batch in batches if batch.ords), None)
            if first is None:
                raise ValueError(f"expected rows of {recording_id} in the window, found none")
            abouts = [part.about for part in parts if part.about]
            sources = [s for s in abouts[-1].sources if not s.startswith(CLIPPED)]
            sources.insert(0, CLIPPED + recording_id)
            return _write(file, sources, recording, first, batches)
        finally:
            recording.close()


def _write(
    file: Path, sources: list[str], recording: Recording, first: Batch, others: Iterable[Batch]
) -> Clip:
    assert first.ords is not None
    begin = first.ords[0]
    start_ns = end_ns = _time_of(first, begin)
    unfinished = file.with_name(file.name + OPEN_SUFFIX)
    about = About(file.name.removesuffix(SUFFIX), start_ns, None, "open", sources, None)
    unfinished.unlink(missing_ok=True)
    segment = Segment(file, about)
    try:
        digest, order, rows = Digest(), Order(), 0
        order.due = None
        before = _before(recording, begin, start_ns)
        for batch in (before, first, *others) if before.kinds else (first, *others):
            segment.write(batch)
            digest.update(dict(batch.kinds))
            order.take(batch)
            rows += batch.row_count
            end_ns = max(end_ns, batch.now_ns or 0)
        behind = _explanations(recording, order, end_ns)
        if behind.kinds:
            segment.write(behind)
            digest.update(dict(behind.kinds))
        segment.seal(end_ns, digest.hexdigest())
    except BaseException:
        segment.abandon()
        for left in (unfinished, unfinished.with_name(unfinished.name + ".wal")):
            left.unlink(missing_ok=True)
        raise
    restated = before.row_count + behind.row_count
    return Clip(file, rows - before.row_count, restated, digest.hexdigest())


def _time_of(batch: Batch, order: int) -> int:
    """Return the `ts_recv` of a row, in ns since 1970."""
    for kind, rows in batch.kinds.items():
        if kind != "signal" and int(column(rows, "ord")[0]) == order:
            return int(column(rows, "ts_recv")[0])
    raise ValueError(f"expected a row of ord {order}, found none")


def _before(recording: Recording, begin: int, start_ns: int) -> Batch:
    """Restate the state before the row `begin`, whose time is `start_ns`."""
    instruments = recording.lasts("instrument", ["venue", "symbol"], begin)
    statuses = recording.lasts("status", STATUS_KEYS, begin)
    quotes = recording.lasts(
        "quote", ["venue", "symbol", "origin"], begin, f"flags & {DUPLICATE} = 0"
    )
    counting = {
        (row["venue"], row["symbol"]): row["detail"]
        for row in _plain(statuses)
        if row["kind"] == "origin"
    }
    counts = [
        row["origin"] == counting.get((row["venue"], row["symbol"]), FIRST_ORIGIN)
        for row in _plain(quotes)
    ]
    said = {
        "instrument": instruments,
        "status": statuses,
        "quote": quotes.filter(pa.array(counts, pa.bool_())),
    }
    books = list(_book_rows(_standing(recording, begin), start_ns))
    total = sum(rows.num_rows for rows in said.values())
    kinds = _renumbered(said, begin - total - len(books), start_ns)
    for number, row in enumerate(books):
        row["ord"] = begin - len(books) + number
    if books:
        kinds["book"] = pa.RecordBatch.from_pylist(books, schema=SCHEMAS["book"])
    return Batch(kinds)


def _renumbered(said: dict[str, pa.Table], first: int, start_ns: int) -> dict[str, pa.RecordBatch]:
    """Number rows from `first` in their original order; flag them and limit their age."""
    said = {kind: rows for kind, rows in said.items() if rows.num_rows}
    ords = {kind: np.asarray(rows["ord"]) for kind, rows in said.items()}
    rank = np.sort(np.concatenate([np.empty(0, np.uint64), *ords.values()]))
    kinds = {}
    for kind, rows in said.items():
        times = np.asarray(rows["ts_recv"].cast(pa.int64()))
        stamped = np.clip(times, start_ns - LEAD_NS, start_ns)
        flags = np.asarray(rows["flags"]) | SYNTHETIC
        flags = np.where(times != stamped, flags | BAD_TS_RECV, flags)
        changed = {
            "ord": np.searchsorted(rank, ords[kind]).astype(np.uint64) + np.uint64(first),
            "ts_recv": stamped,
            "flags": flags.astype(np.uint32),
        }
        made = rows
        for name, values in changed.items():
            field = SCHEMAS[kind].field(name)
            array = pa.array(values).cast(field.type)
            made = made.set_column(made.schema.get_field_index(name), field, array)
        kinds[kind] = made.combine_chunks().to_batches()[0]
    return kinds


def _plain(rows: pa.Table) -> list[dict[str, Any]]:
    return list(rows.drop_columns(["ts_recv", "ts_event", "ts_sent"]).to_pylist())


def _standing(recording: Recording, begin: int) -> dict[Instrument, Book]:
    """Return each valid book before the row `begin`, built from its last snapshot."""
    said = f"ord < {begin} AND flags & {DUPLICATE | LATE} = 0"
    folded = (
        "WITH cleared AS (SELECT venue, symbol, max(ord) AS since FROM book"
        f" WHERE side IS NULL AND {said} GROUP BY ALL)"
        " SELECT venue, symbol, {columns} FROM book LEFT JOIN cleared USING (venue, symbol)"
        f" WHERE {said} AND (since IS NULL OR ord >= since) GROUP BY ALL"
    )
    last = (
        "since, max(ord) AS ord, arg_max(conn, ord) AS conn, arg_max(seq, ord) AS seq,"
        f" bool_or(flags & {MAYBE_BAD_BOOK} != 0) AS bad"
    )
    abouts = recording.select(folded.format(columns=last))
    levels = recording.select(folded.format(columns="side, price, arg_max(size, ord) AS size"))
    books: dict[Instrument, Book] = {}
    for about, level in zip(abouts, levels, strict=True):
        for row in about.to_pylist():
            name = row["venue"], row["symbol"]
            if row["since"] is not None:
                books[name] = Book(row["since"], {}, row)
            elif name in books:
                bad = row["bad"] or books[name].last["bad"]
                books[name] = books[name]._replace(last={**row, "bad": bad})
        for venue, symbol, side, price, size in zip(*level.to_pydict().values(), strict=True):
            if (venue, symbol) in books and side is not None:
                books[venue, symbol].levels[side, price] = size
    books = {name: book for name, book in books.items() if not book.last["bad"]}
    fallen = _fallen(recording, books, begin)
    return {name: book for name, book in sorted(books.items()) if name not in fallen}


def _fallen(recording: Recording, books: dict[Instrument, Book], begin: int) -> set[Instrument]:
    """Return the books that a gap, a lost connection or missing rows made invalid."""
    since = min((book.since for book in books.values()), default=begin)
    within = f"ord >= {since} AND ord < {begin}"
    tables = recording.select(
        f"SELECT ord, venue, symbol, conn, scope FROM status WHERE {within} AND ("
        "(scope = 'connection' AND (kind = 'gap' OR state IN ('failed', 'stopped')))"
        " OR (channel = 'book' AND kind IN ('gap', 'checksum', 'crossed')))"
    )
    told = [row for table in tables for row in table.to_pylist()]
    ords = " UNION ALL ".join(
        f"SELECT ord FROM {kind} WHERE {within}" for kind in SCHEMAS if kind != "signal"
    )
    held = [np.asarray(table["ord"]) for table in recording.select(ords)]
    sorted_ords = np.sort(np.concatenate([np.array([since - 1, begin], np.int64), *held]))
    holes = sorted_ords[1:][np.diff(sorted_ords) > 1]
    return {
        (venue, symbol)
        for (venue, symbol), book in books.items()
        if (holes > book.since).any()
        or any(
            row["ord"] > book.since
            and row["venue"] == venue
            and (
                row["conn"] == book.last["conn"]
                if row["symbol"] is None
                else row["symbol"] == symbol
            )
            for row in told
        )
    }


def _book_rows(books: dict[Instrument, Book], at_ns: int) -> Iterator[dict[str, Any]]:
    """Write full books: a clearing row, then bids and asks, the best first."""
    for (venue, symbol), book in books.items():
        standing = [(*level, size) for level, size in book.levels.items() if size]
        bids = sorted((level for level in standing if level[0] == "bid"), reverse=True)
        asks = sorted(level for level in standing if level[0] == "ask")
        levels = [(None, None, None), *bids, *asks]
        for number, (side, price, size) in enumerate(levels):
            flags = KEYFRAME | SNAPSHOT | SYNTHETIC
            yield dict.fromkeys(SCHEMAS["book"].names) | {
                "ts_recv": at_ns,
                "venue": venue,
                "symbol": symbol,
                "conn": book.last["conn"],
                "flags": flags | LAST if number == len(levels) - 1 else flags,
                "side": side,
                "price": price,
                "size": size,
                "seq": book.last["seq"],
            }


def _explanations(recording: Recording, order: Order, end_ns: int) -> Batch:
    """Restate, after the window, the later status rows that explain rows missing in it."""
    if order.due is None or not list(order.unexplained()):
        return Batch({})
    lost = order.holes[-1].behind
    later = " UNION ALL ".join(
        (
            f"(FROM status WHERE kind = 'overflow' AND ord >= {order.due} AND expected < {lost})",
            "(FROM status WHERE kind IN ('unrecorded', 'recording') AND scope = 'recorder'"
            f" AND ord >= {order.due} ORDER BY ord LIMIT 1)",
        )
    )
    found = [table.cast(SCHEMAS["status"]) for table in recording.select(f"FROM ({later})")]
    rows = pa.concat_tables([SCHEMAS["status"].empty_table(), *found]).sort_by("ord")
    return Batch(_renumbered({"status": rows}, order.due, end_ns))
