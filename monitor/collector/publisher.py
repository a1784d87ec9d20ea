"""The publisher: recent batches as chunks of one Arrow stream, for any number of followers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import pyarrow as pa

from monitor.rows import SCHEMAS, WIRE_SCHEMA, Batch, concat, last_of_each_thing, to_wire

# How often rows are packed without a follower; with one they are packed at once.
CHUNK_EVERY_S = 0.1
RING_BYTES = 128 << 20
RING_S = 300.0
# Limit of unpacked rows; above it the oldest batches are dropped and reported.
PENDING_BYTES = 64 << 20
# A follower that shows the present attaches anew once it is this far behind.
BEHIND_S = 10.0


class Chunk(NamedTuple):
    """A packed piece of the stream; `rows_before` counts the rows of all chunks before it.

    `now_ns` is the latest `ts_recv` of its rows, None without any; `status` its status rows.
    """

    number: int
    packed_s: float
    now_ns: int | None
    rows: int
    rows_before: int
    ords: tuple[int, int] | None
    status: Batch
    data: pa.Buffer


class Publisher:
    """A sink that keeps the last minutes; a slow follower delays only itself.

    `clock` gives monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._pending: deque[Batch] = deque()
        self._pending_bytes = 0
        self._ring: deque[Chunk] = deque()
        self._ring_bytes = 0
        # The status rows in force before the ring.
        self.in_force = Batch({})
        self._next = self._rows = 0
        self._dropped = Dropped()
        self.followers = 0
        # Set and cleared when there may be more to read: wakes followers on the event loop.
        self.packed = asyncio.Event()
        # Schedules `pack` on the event loop, from any thread.
        self.wake: Callable[[], None] = lambda: None

    def __call__(self, batch: Batch) -> None:
        with self._lock:
            self._pending.append(batch)
            self._pending_bytes += batch.nbytes
            while self._pending_bytes > PENDING_BYTES and len(self._pending) > 1:
                oldest = self._pending.popleft()
                self._pending_bytes -= oldest.nbytes
                self._dropped = self._dropped.add(oldest.row_count, oldest.ords)
        if self.followers:
            self.wake()

    def pack(self) -> None:
        """Join the batches since the last call into one chunk; drop old or excess chunks."""
        with self._lock:
            pending, self._pending = self._pending, deque()
            self._pending_bytes = 0
            dropped, self._dropped = self._dropped, Dropped()
        now_s = self.clock()
        if pending:
            batch = concat([*dropped.told(pending[0].now_ns), *pending])
            data = to_wire(batch).serialize()
            self._ring.append(
                Chunk(
                    *(self._next, now_s, batch.now_ns, batch.row_count),
                    *(self._rows, batch.ords, _status(batch), data),
                )
            )
            self._rows += batch.row_count
            self._ring_bytes += data.size
            self._next += 1
        while self._ring and (
            self._ring_bytes > RING_BYTES or now_s - self._ring[0].packed_s > RING_S
        ):
            gone = self._ring.popleft()
            self._ring_bytes -= gone.data.size
            if gone.status.kinds:
                self.in_force = last_of_each_thing(concat([self.in_force, gone.status])["status"])
        self.packed.set()
        self.packed.clear()

    def after(self, last: int) -> list[Chunk]:
        """Return the kept chunks with a number above `last`, the oldest first."""
        return [chunk for chunk in self._ring if chunk.number > last]


def _status(batch: Batch) -> Batch:
    return Batch({kind: rows for kind, rows in batch.kinds.items() if kind == "status"})


class Dropped(NamedTuple):
    """Rows that a follower will not see: how many, and the span of their `ord`."""

    rows: int = 0
    first: int | None = None
    last: int | None = None

    def add(self, rows: int, ords: tuple[int, int] | None) -> Dropped:
        if ords is None:
            return self._replace(rows=self.rows + rows)
        first = ords[0] if self.first is None else self.first
        return Dropped(self.rows + rows, first, ords[1])

    def told(self, now_ns: int | None) -> list[Batch]:
        """Return a status row that reports the loss, at its last `ord`; none without loss."""
        if not self.rows:
            return []
        row = {
            "ord": self.last or 0,
            "ts_recv": now_ns or 0,
            "venue": "monitor",
            "conn": 0,
            "flags": 0,
            "scope": "feed",
            "state": "connected",
            "kind": "overflow",
            "detail": "this follower fell behind: rows were left out of its stream",
            "expected": self.first,
            "got": None if self.last is None else self.last + 1,
            "count": self.rows,
        }
        return [Batch({"status": pa.RecordBatch.from_pylist([row], schema=SCHEMAS["status"])})]


class BehindError(Exception):
    """A follower is too far behind to catch up row by row."""


class Stream:
    """One follower's reading of the ring: `head`, then `next_bytes` repeatedly.

    With `leads_to_now` it raises BehindError instead of giving rows that are 10 s late, or a hole:
    the follower attaches again and begins near the present. Its head ends with one batch of the
    status rows in force before the first row, if any.
    """

    def __init__(self, publisher: Publisher, leads_to_now: bool = False) -> None:
        self._publisher, self._leads_to_now = publisher, leads_to_now
        self._last: Chunk | None = None
        self.head: bytes = WIRE_SCHEMA.serialize().to_pybytes()
        if leads_to_now:
            self.head += to_wire(publisher.in_force).serialize().to_pybytes()

    def next_bytes(self) -> list[pa.Buffer]:
        """Return the rows since the last call, with a status row if some were dropped."""
        last = self._last
        chunks = self._publisher.after(-1 if last is None else last.number)
        if not chunks:
            return []
        self._last = chunks[-1]
        data = [chunk.data for chunk in chunks]
        if last is None:
            return data
        has_hole = chunks[0].number != last.number + 1
        if self._leads_to_now:
            late_s = self._publisher.clock() - chunks[0].packed_s
            if has_hole or late_s > BEHIND_S:
                raise BehindError(f"expected a follower at most {BEHIND_S:g} s behind")
        if not has_hole:
            return data
        rows = chunks[0].rows_before - last.rows_before - last.rows
        first = last.ords[1] + 1 if last.ords else None
        until = chunks[0].ords[0] - 1 if chunks[0].ords else None
        (told,) = Dropped(rows, first, until).told(chunks[0].now_ns)
        return [to_wire(told).serialize(), *data]
