"""Merge several recordings into one stream, in the order of the contract.

A row's time is the running maximum of `ts_recv` within its recording. The merged stream numbers
each row by the number of rows of all recordings before it. That number does not depend on where
reading begins or how rows are batched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa

from monitor.recordings.reading import BATCH_ROWS, Recording, find, open_recording
from monitor.recordings.rows_before import Past, merged
from monitor.recordings.segment_files import most_open
from monitor.rows import Batch, column, concat, order_key

# Rows of all recordings together that may wait for ordering, when windows are read.
HELD_ROWS = 4_000_000


class Merged:
    """Recordings read as one: at least two, each with rows of its own."""

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self._recordings = sorted(recordings, key=lambda recording: recording.name)
        self.name = " + ".join(recording.name for recording in self._recordings)
        spans = [recording.span_ns for recording in self._recordings if any(recording.span_ns)]
        starts, ends = zip(*spans, strict=True) if spans else ((0,), (0,))
        self.span_ns = (min(starts), max(ends))
        self.left_out = sum(recording.left_out for recording in self._recordings)

    @property
    def sources(self) -> list[str]:
        return list(dict.fromkeys(name for each in self._recordings for name in each.sources))

    def batches(
        self, from_ns: int | None = None, to_ns: int | None = None, batch_rows: int = BATCH_ROWS
    ) -> Iterator[Batch]:
        """Yield all rows in order, signals at their cause, from one time to another, inclusive."""
        # With more recordings than files that may be open, read each recording window by window.
        count = len(self._recordings)
        window_ords = HELD_ROWS // count if count > most_open() else None
        readers = [
            _Reader(
                each.batches(from_ns, to_ns, batch_rows, window_ords),
                each.ord_at(from_ns),
                each.span_ns[0],
            )
            for each in self._recordings
        ]
        while ends := _ends(readers):
            end_ns, last = min(ends)
            # A reader without a row here, at its end or not begun, counts by its next `ord`.
            others = sum(r.next_ord for r in readers if not len(r.ords))
            taken = [
                r.cut(end_ns, "right" if at <= last else "left")
                for at, r in enumerate(readers)
                if len(r.ords)
            ]
            others += sum(cut.next_ord for cut in taken if not len(cut.ords))
            cuts = [cut for cut in taken if len(cut.ords)]
            numbered = [_numbered(cuts, at, others) for at in range(len(cuts))]
            yield _in_order(concat(batch for batch in numbered if batch.kinds))

    def in_force(self, from_ns: int) -> Batch:
        """Return the last status rows before a time, of every recording."""
        found = [recording.in_force(from_ns) for recording in self._recordings]
        return concat(batch for batch in found if batch.kinds)

    def past(self, from_ns: int) -> Past:
        """Return the state before the rows of `batches(from_ns)`."""
        refusals = [one for each in self._recordings for one in each.refusals()]
        return merged([each.past(from_ns, refusals) for each in self._recordings])


class _Cut(NamedTuple):
    """Rows of one recording: their `ord`, their time, and the `ord` after the last."""

    batch: Batch
    ords: np.ndarray
    times: np.ndarray
    next_ord: int


class _Reader:
    """Reads the rows of one recording from `start_ns` on."""

    def __init__(self, batches: Iterator[Batch], next_ord: int, start_ns: int) -> None:
        self._batches, self.next_ord = batches, next_ord
        self.start_ns, self.is_begun = start_ns, False
        self._latest_ns = 0
        self.batch = Batch({})
        self.ords, self.times = np.empty(0, np.uint64), np.empty(0, np.int64)

    def fill(self) -> bool:
        """Read the next batch if no row is left; return whether there is a row."""
        self.is_begun = True
        while not len(self.ords) and (batch := next(self._batches, None)):
            # Signals whose causes are missing wait for the next row.
            self.batch = concat([self.batch, batch])
            timed = [rows for kind, rows in batch.kinds.items() if kind != "signal"]
            if timed:
                ords = np.concatenate([column(rows, "ord") for rows in timed])
                times = np.concatenate([column(rows, "ts_recv") for rows in timed])
                order = np.argsort(ords)
                self.ords = ords[order]
                times = np.maximum.accumulate(times[order])
                self.times = np.maximum(times, self._latest_ns)
                self._latest_ns = int(self.times[-1])
        return len(self.ords) > 0

    def cut(self, end_ns: int, side: Literal["left", "right"]) -> _Cut:
        """Take the rows before a time, and those at that time too if `side` is `right`."""
        count = int(np.searchsorted(self.times, end_ns, side))
        ords, times, next_ord = self.ords[:count], self.times[:count], self.next_ord
        self.ords, self.times = self.ords[count:], self.times[count:]
        taken = Batch({})
        if count:
            self.next_ord = int(ords[-1]) + 1
            below = int(self.ords[0]) if len(self.ords) else None
            taken = self.batch.between(0, below)
            self.batch = self.batch.between(below, None) if below is not None else Batch({})
        return _Cut(taken, ords, times, next_ord)


def _ends(readers: Sequence[_Reader]) -> list[tuple[int, int]]:
    """Return the last time read of each reader that has begun.

    A reader whose rows all come later has not begun: consecutive recordings need not be open at
    the same time.
    """
    waiting = sorted(
        (reader.start_ns, at) for at, reader in enumerate(readers) if not reader.is_begun
    )
    ends = [(int(r.times[-1]), at) for at, r in enumerate(readers) if r.is_begun and r.fill()]
    for start_ns, at in waiting:
        if ends and start_ns > min(ends)[0]:
            break
        if readers[at].fill():
            ends.append((int(readers[at].times[-1]), at))
    return ends


def _numbered(cuts: Sequence[_Cut], at: int, others: int) -> Batch:
    """Return the rows of one cut, numbered for the merged stream."""
    mine = cuts[at]
    numbers = mine.ords + np.uint64(others)
    for other, cut in enumerate(cuts):
        if other != at:
            before = np.searchsorted(cut.times, mine.times, "right" if other < at else "left")
            nexts = np.concatenate([np.array([cut.next_ord], np.uint64), cut.ords + np.uint64(1)])
            numbers += nexts[before]
    kinds = {}
    for kind, rows in mine.batch.kinds.items():
        name = order_key(kind)
        place = np.searchsorted(mine.ords, column(rows, name))
        place = np.minimum(place, len(numbers) - 1)
        index = rows.schema.get_field_index(name)
        kinds[kind] = rows.set_column(index, rows.schema.field(index), pa.array(numbers[place]))
    return Batch(kinds)


def _in_order(batch: Batch) -> Batch:
    kinds = {}
    for kind, rows in batch.kinds.items():
        order = np.argsort(column(rows, order_key(kind)), kind="stable")
        kinds[kind] = rows.take(pa.array(order))
    return Batch(kinds)


@contextmanager
def open_recordings(folder: Path, names: Sequence[str]) -> Iterator[Recording | Merged]:
    """Open one recording, or several as one.

    ValueError if there is none, if one is named twice, or if no file of one is readable.
    """
    found = [find(folder, name)[0] for name in names]
    if len(set(found)) < len(found):
        raise ValueError(f"expected each recording once, found {', '.join(names)}")
    with ExitStack() as stack:
        opened = [stack.enter_context(open_recording(folder, name)) for name in names]
        for recording in opened:
            if recording.is_lost:
                raise ValueError(f"damaged: no file of {recording.name} can be read")
        yield opened[0] if len(opened) == 1 else Merged(opened)
