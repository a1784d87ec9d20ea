"""Replay: a recording's rows enter the graph again, at any speed, from any moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from monitor.batches import Batch, column
from monitor.recordings import STATUS_KEYS, Recording

STEP_NS = 100_000_000
# What is shown of the past after a seek.
WINDOW_NS = 60_000_000_000
SPEEDS = (0.1, 1000.0)


class Moment(NamedTuple):
    """A slice of a recording: its rows, and the running maximum of `ts_recv` at its end, in ns."""

    batch: Batch
    until_ns: int


def moments(
    recording: Recording,
    from_ns: int | None = None,
    to_ns: int | None = None,
    is_cut: Callable[[], bool] = lambda: True,
) -> Iterator[Moment]:
    """Cut a recording into slices of at most 100 ms of recorded time, in `ord` order.

    While `is_cut` says no, rows come in slices as large as they are read.
    """
    latest_ns = 0
    for batch in recording.batches(from_ns, to_ns):
        timed = [rows for kind, rows in batch.kinds.items() if kind != "signal"]
        if not timed:
            yield Moment(batch, latest_ns)
            continue
        ords = np.concatenate([column(rows, "ord") for rows in timed])
        times = np.concatenate([column(rows, "ts_recv") for rows in timed])
        order = np.argsort(ords)
        ords, times = ords[order], np.maximum.accumulate(times[order])
        times = np.maximum(times, latest_ns)
        if not is_cut():
            latest_ns = int(times[-1])
            yield Moment(batch, latest_ns)
            continue
        cuts = np.flatnonzero(np.diff(times // STEP_NS)) + 1
        bounds = [0, *cuts.tolist(), len(ords)]
        for start, stop in pairwise(bounds):
            below = int(ords[stop]) if stop < len(ords) else None
            cut = _between(batch, int(ords[start]) if start else 0, below)
            yield Moment(cut, int(times[stop - 1]))
        latest_ns = int(times[-1])


def _between(batch: Batch, first: int, below: int | None) -> Batch:
    """Return the rows whose `ord`, or whose cause's, is in [first, below)."""
    kinds = {}
    for kind, rows in batch.kinds.items():
        ords: npt.NDArray[np.uint64] = column(rows, "cause_ord" if kind == "signal" else "ord")
        start = int(np.searchsorted(ords, first))
        stop = len(ords) if below is None else int(np.searchsorted(ords, below))
        if stop > start:
            kinds[kind] = rows.slice(start, stop - start)
    return Batch(kinds)


class Player:
    """Plays a recording into `emit` on its own thread; every method may be called from any thread.

    `speed` None is as fast as possible. `on_reset` is called before rows of another time follow.
    """

    def __init__(
        self,
        recording: Recording,
        emit: Callable[[Batch], None],
        on_reset: Callable[[], None] = lambda: None,
        speed: float | None = 1.0,
        from_ns: int | None = None,
        to_ns: int | None = None,
    ) -> None:
        self.span_ns = recording.span_ns
        self.position_ns = recording.span_ns[0] if from_ns is None else from_ns
        self.achieved_speed = 0.0
        self.playing = True
        self.ended = False
        self.speed = speed
        self._recording, self._emit, self._on_reset = recording, emit, on_reset
        self._from_ns, self._to_ns = from_ns, to_ns
        self._steps = 0
        self._seek_ns: int | None = None
        self._closing = False
        self._lock = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="player", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def play(self) -> None:
        with self._lock:
            if self.ended:
                self._seek_ns = self.span_ns[0]
            self.playing = True
            self._lock.notify()

    def pause(self) -> None:
        with self._lock:
            self.playing = False
            self._lock.notify()

    def step(self) -> None:
        """Play one slice and pause."""
        with self._lock:
            self.playing, self._steps = False, self._steps + 1
            self._lock.notify()

    def set_speed(self, speed: float | None) -> None:
        with self._lock:
            self.speed = speed
            self._lock.notify()

    def seek(self, to_ns: int) -> None:
        """Go on from `to_ns`, the views filled with the time before it."""
        with self._lock:
            self._seek_ns = min(max(to_ns, self.span_ns[0]), self.span_ns[1])
            self._lock.notify()

    def close(self) -> None:
        """End the thread and wait for it; the recording stays the caller's to close."""
        with self._lock:
            self._closing = True
            self._lock.notify()
        if self._thread.is_alive():
            self._thread.join()

    def run_to_end(self) -> None:
        """Play in the caller's thread, as a headless replay does."""
        self._play(self._from_ns)

    def _run(self) -> None:
        start_ns: int | None = self._from_ns
        while not self._closing:
            self.ended = not self._play(start_ns)
            with self._lock:
                self._lock.wait_for(lambda: self._closing or self._seek_ns is not None)
                start_ns, self._seek_ns = self._seek_ns, None
            self.ended = False
            if start_ns is not None and not self._closing:
                self._on_reset()
                self._fill(start_ns)
                start_ns += 1

    def _fill(self, to_ns: int) -> None:
        told = False
        for batch in self._recording.batches(to_ns - WINDOW_NS, to_ns):
            if not told and batch.ords:
                told = True
                self._tell(batch.ords[0])
            self._emit(batch)
        self.position_ns = to_ns

    def _tell(self, first: int) -> None:
        """Emit the status rows that were in force at a row: states, and which quotes count."""
        rows = self._recording.lasts("status", STATUS_KEYS, first).combine_chunks()
        if rows.num_rows:
            self._emit(Batch({"status": rows.to_batches()[0]}))

    def _play(self, start_ns: int | None) -> bool:
        """Play from `start_ns`; return whether it was broken off."""
        began_s: float | None = None
        began_ns, speed = 0, self.speed
        for moment in moments(self._recording, start_ns, self._to_ns, self._is_paced):
            if began_s is None or self.speed != speed:
                began_s, began_ns, speed = time.monotonic(), moment.until_ns, self.speed
            with self._lock:
                if not self.playing:
                    self._lock.wait_for(self._may_go_on)
                    self._steps = max(0, self._steps - 1)
                    began_s, began_ns = time.monotonic(), moment.until_ns
                elif speed is not None:
                    due_s = began_s + (moment.until_ns - began_ns) / 1e9 / speed
                    wait_s = due_s - time.monotonic()
                    if wait_s > 0:
                        self._lock.wait_for(partial(self._broken_off, speed), wait_s)
                if self._closing or self._seek_ns is not None:
                    return True
            self._emit(moment.batch)
            self.position_ns = moment.until_ns
            passed_s = time.monotonic() - began_s
            if passed_s > 0:
                self.achieved_speed = (moment.until_ns - began_ns) / 1e9 / passed_s
        return False

    def _is_paced(self) -> bool:
        return self.speed is not None or not self.playing

    def _may_go_on(self) -> bool:
        return self.playing or self._steps > 0 or self._closing or self._seek_ns is not None

    def _broken_off(self, speed: float | None) -> bool:
        return self._closing or self._seek_ns is not None or not self.playing or self.speed != speed
