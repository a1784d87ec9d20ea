"""Cut the rows of a recording into slices of recorded time."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from monitor.rows import Batch, column

# Batches read in advance while one is processed.
AHEAD_BATCHES = 2


def ahead(batches: Iterator[Batch]) -> Generator[Batch, None, None]:
    """Read batches on a thread of its own, `AHEAD_BATCHES` in advance.

    The thread ends with the iterator: close it.
    """
    with ThreadPoolExecutor(1, "reader") as reader:
        reading = deque(reader.submit(next, batches, None) for _ in range(AHEAD_BATCHES))
        try:
            while batch := reading.popleft().result():
                reading.append(reader.submit(next, batches, None))
                yield batch
        finally:
            reader.shutdown(cancel_futures=True)


class Slices:
    """Rows in `ord` order, taken from the front slice by slice.

    A row's time is the running maximum of `ts_recv`. A slice ends at a multiple of its length, or
    with its batch; a length of None takes the whole batch. After the last row comes one empty slice
    at `end_ns`, if given.
    """

    def __init__(self, batches: Iterator[Batch], end_ns: int | None = None) -> None:
        self._batches, self._end_ns = batches, end_ns
        self._batch = Batch({})
        self._latest_ns = 0
        self._is_left = False
        # Computed only if the batch is cut.
        self._ords: np.ndarray | None = None
        self._times = np.empty(0, np.int64)
        self._at = 0

    def fill(self) -> bool:
        """Read the next batch if no row is left; return whether there is a slice."""
        if self._is_left:
            return True
        self._at, self._ords = 0, None
        batch = next(self._batches, None)
        if batch is not None:
            self._batch, self._is_left = batch, True
        elif self._end_ns is not None:
            self._batch, self._is_left = Batch({}), True
            self._latest_ns = max(self._latest_ns, self._end_ns)
            self._end_ns = None
        return self._is_left

    @property
    def first_ns(self) -> int:
        """The time of the next row."""
        self._order()
        return int(self._times[self._at])

    def until_ns(self, step_ns: int | None) -> int:
        """Return the time of the last row of the next slice."""
        if step_ns is None and self._ords is None:
            timed = [rows for kind, rows in self._batch.kinds.items() if kind != "signal"]
            return max(self._latest_ns, *(int(column(r, "ts_recv").max()) for r in timed), 0)
        stop = self._stop(step_ns)
        return int(self._times[stop - 1])

    def take(self, step_ns: int | None) -> Batch:
        """Take the next slice."""
        if step_ns is None and self._ords is None:
            self._latest_ns, self._is_left = self.until_ns(None), False
            return self._batch
        start, stop = self._at, self._stop(step_ns)
        assert self._ords is not None
        self._at, self._is_left = stop, stop < len(self._ords)
        self._latest_ns = int(self._times[stop - 1])
        if start == 0 and not self._is_left:
            return self._batch
        below = int(self._ords[stop]) if self._is_left else None
        return self._batch.between(int(self._ords[start]) if start else 0, below)

    def _stop(self, step_ns: int | None) -> int:
        self._order()
        if step_ns is None:
            return len(self._times)
        end_ns = (self.first_ns // step_ns + 1) * step_ns
        return int(np.searchsorted(self._times, end_ns))

    def _order(self) -> None:
        if self._ords is not None:
            return
        timed = [rows for kind, rows in self._batch.kinds.items() if kind != "signal"]
        if not timed:
            # Signals alone, or the end: their time is that of the last row before them.
            self._ords, self._times = np.zeros(1, np.uint64), np.array([self._latest_ns])
            return
        ords = np.concatenate([column(rows, "ord") for rows in timed])
        times = np.concatenate([column(rows, "ts_recv") for rows in timed])
        order = np.argsort(ords)
        self._ords = ords[order]
        self._times = np.maximum(np.maximum.accumulate(times[order]), self._latest_ns)
