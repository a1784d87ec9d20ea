"""Replay: a recording's rows enter the graph again, at any speed, from any moment."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from monitor.batches import Batch, column
from monitor.merge import Merged
from monitor.recordings import Recording

STEP_NS = 100_000_000
# What is shown of the past after a seek.
WINDOW_NS = 60_000_000_000
SPEEDS = (0.1, 1000.0)
# How many batches are read while one is worked on.
AHEAD_BATCHES = 3
# The least time between two rounds of a loop.
LOOP_PAUSE_S = 0.05


class Moment(NamedTuple):
    """A slice of a recording: its rows, and the running maximum of `ts_recv` at its end, in ns."""

    batch: Batch
    until_ns: int


def ahead(batches: Iterator[Batch]) -> Generator[Batch, None, None]:
    """Read batches on a thread of its own, a few before they are asked for.

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


def moments(
    batches: Iterable[Batch], is_cut: Callable[[], bool] = lambda: True
) -> Iterator[Moment]:
    """Cut a recording's rows into slices of at most 100 ms of recorded time, in `ord` order.

    While `is_cut` says no, rows come in slices as large as they are read.
    """
    latest_ns = 0
    for batch in batches:
        timed = [rows for kind, rows in batch.kinds.items() if kind != "signal"]
        if not timed:
            yield Moment(batch, latest_ns)
            continue
        if not is_cut():
            latest_ns = max(latest_ns, *(int(column(rows, "ts_recv").max()) for rows in timed))
            yield Moment(batch, latest_ns)
            continue
        ords = np.concatenate([column(rows, "ord") for rows in timed])
        times = np.concatenate([column(rows, "ts_recv") for rows in timed])
        order = np.argsort(ords)
        ords, times = ords[order], np.maximum.accumulate(times[order])
        times = np.maximum(times, latest_ns)
        cuts = np.flatnonzero(np.diff(times // STEP_NS)) + 1
        bounds = [0, *cuts.tolist(), len(ords)]
        for start, stop in pairwise(bounds):
            below = int(ords[stop]) if stop < len(ords) else None
            cut = batch.between(int(ords[start]) if start else 0, below)
            yield Moment(cut, int(times[stop - 1]))
        latest_ns = int(times[-1])


class _Pace(NamedTuple):
    """How recorded time passes from a moment on; `speed` None is as fast as possible."""

    began_s: float
    began_ns: int
    speed: float | None

    def wait_s(self, until_ns: int) -> float:
        """Return how long it is until a moment comes."""
        if self.speed is None:
            return 0.0
        due_s = self.began_s + (until_ns - self.began_ns) / 1e9 / self.speed
        return due_s - time.monotonic()

    def achieved(self, at_ns: int) -> float:
        passed_s = time.monotonic() - self.began_s
        return (at_ns - self.began_ns) / 1e9 / passed_s if passed_s > 0 else 0.0


class Player:
    """Plays a recording into `emit` on its own thread; every method may be called from any thread.

    `speed` None is as fast as possible. `on_reset` is called before rows of another time follow.
    """

    def __init__(
        self,
        recording: Recording | Merged,
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
        self.loop: tuple[int, int] | None = None
        self._recording, self._emit, self._on_reset = recording, emit, on_reset
        self._from_ns, self._to_ns = from_ns, to_ns
        self._steps = 0
        # Where to go, and where it is about to be, until the views are filled.
        self._seek_ns: int | None = None
        self._aim_ns: int | None = None
        # Whether nothing comes until it is told to go on.
        self._rests = False
        self._closing = False
        self._lock = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="player", daemon=True)

    @property
    def told(self) -> str:
        """What it does, at what speed asked and achieved: paused once nothing more comes."""
        asked = "max" if self.speed is None else f"{self.speed:g}×"
        if self._seek_ns is not None or self._aim_ns is not None:
            state = "seeking"
        else:
            state = "ended" if self.ended else "paused" if self._rests else "playing"
        looping = ", in a loop" if self.loop else ""
        return f"{state} at {asked} (achieved {self.achieved_speed:.1f}×){looping}"

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def play(self) -> None:
        with self._lock:
            if self.ended:
                self._seek_ns = self.loop[0] if self.loop else self.span_ns[0]
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
            self._aim_ns = self._seek_ns
            self._lock.notify()

    def skip(self, by_ns: int) -> None:
        """Seek forth, or back, from where it is or is about to be."""
        with self._lock:
            at_ns = self.position_ns if self._aim_ns is None else self._aim_ns
            self.seek(at_ns + by_ns)

    def repeat(self, loop: tuple[int, int] | None) -> None:
        """Play from one time to another over and over; None to go on past the end of it."""
        if loop is not None and loop[0] >= loop[1]:
            raise ValueError(f"expected a loop that ends after it starts, found {loop}")
        with self._lock:
            self.loop = loop
            self._seek_ns = loop[0] if loop else self.position_ns
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
                self._aim_ns = start_ns
            self.ended = False
            if start_ns is not None and not self._closing:
                self._on_reset()
                self._fill(start_ns)
                with self._lock:
                    self._aim_ns = self._seek_ns
                start_ns += 1

    def _fill(self, to_ns: int) -> None:
        # Which states held, and which quotes counted.
        before = self._recording.in_force(to_ns - WINDOW_NS)
        if before.kinds:
            self._emit(before)
        with closing(ahead(self._recording.batches(to_ns - WINDOW_NS, to_ns))) as batches:
            for batch in batches:
                self._emit(batch)
        self.position_ns = to_ns

    def _play(self, start_ns: int | None) -> bool:
        """Play from `start_ns`; return whether it was broken off."""
        loop = self.loop
        pace = None if start_ns is None else self._pace(start_ns)
        to_ns = loop[1] if loop else self._to_ns
        with closing(ahead(self._recording.batches(start_ns, to_ns))) as batches:
            for moment in moments(batches, self._is_paced):
                pace = self._wait(moment.until_ns, pace or self._pace(moment.until_ns))
                if pace is None:
                    return True
                self._emit(moment.batch)
                self.position_ns = moment.until_ns
                self.achieved_speed = pace.achieved(moment.until_ns)
        if loop is None:
            return False
        if self._wait(loop[1], pace or self._pace(loop[1])):
            with self._lock:
                self._lock.wait_for(self._is_broken_off, LOOP_PAUSE_S)
                if self._seek_ns is None:
                    self._seek_ns = loop[0]
        return True

    def _pace(self, at_ns: int) -> _Pace:
        return _Pace(time.monotonic(), at_ns, self.speed)

    def _wait(self, until_ns: int, pace: _Pace) -> _Pace | None:
        """Wait until a moment comes, or is stepped to; return the pace since, None if broken off.

        A pause and another speed hold from where recorded time is, be it between two rows.
        """
        with self._lock:
            while not self._is_broken_off():
                if self._steps:
                    self._steps -= 1
                    return self._pace(until_ns)
                wait_s = pace.wait_s(until_ns)
                if self.playing and self.speed == pace.speed:
                    if wait_s <= 0:
                        return pace
                    self._lock.wait(wait_s)
                    continue
                if pace.speed is None:
                    now_ns = min(self.position_ns, until_ns)
                else:
                    now_ns = until_ns - int(max(wait_s, 0) * 1e9 * pace.speed)
                self._rests = not self.playing
                self._lock.wait_for(self._may_go_on)
                self._rests = False
                pace = self._pace(now_ns)
        return None

    def _is_paced(self) -> bool:
        return self.speed is not None or not self.playing

    def _may_go_on(self) -> bool:
        return self.playing or self._steps > 0 or self._is_broken_off()

    def _is_broken_off(self) -> bool:
        return self._closing or self._seek_ns is not None
