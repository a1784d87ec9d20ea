"""Replay: feed the rows of a recording into the graph, at any speed, from any moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple

from monitor.recordings.merge import Merged
from monitor.recordings.reading import Recording
from monitor.recordings.rows_before import Past
from monitor.recordings.segments import FILE_ERRORS, line
from monitor.recordings.slices import Slices, ahead
from monitor.rows import Batch

STEP_NS = 100_000_000
# The time before a seek's target that fills the views.
WINDOW_NS = 60_000_000_000
SPEEDS = (0.1, 1000.0)
# A fast replay sends slices that take this much real time: the cost of a slice does not depend on
# its rows.
SLICE_S = 0.04
# The shortest time between two rounds of a loop.
LOOP_PAUSE_S = 0.05
# While the player waits for a row, the clock moves at least this often.
CLOCK_S = 0.1
# A running collector writes a row every 100 ms. A longer hole is skipped in `SWEEP_S`, and the skip
# is shown for `SAID_S`.
HOLE_NS = 3_000_000_000
SWEEP_S, SAID_S = 0.5, 5.0
# The banner reports a limit if the speed is below this share of the requested one after
# `SLOW_AFTER_S`, or if the end comes `LATE_S` too late.
SLOW_SHARE, SLOW_AFTER_S, LATE_S = 0.9, 1.0, 0.05


class _Pace(NamedTuple):
    """How recorded time passes from a moment on; `speed` None is as fast as possible."""

    began_s: float
    began_ns: int
    speed: float | None

    def wait_s(self, until_ns: int) -> float:
        """Return the wait in s until a recorded time, negative if it has passed."""
        if self.speed is None:
            return 0.0
        due_s = self.began_s + (until_ns - self.began_ns) / 1e9 / self.speed
        return due_s - time.monotonic()

    def now_ns(self) -> int:
        """Return the current recorded time."""
        passed_s = time.monotonic() - self.began_s
        return self.began_ns + int(passed_s * 1e9 * (self.speed or 0.0))

    def achieved(self, at_ns: int) -> float:
        passed_s = time.monotonic() - self.began_s
        return (at_ns - self.began_ns) / 1e9 / passed_s if passed_s > 0 else 0.0


class Player:
    """Plays a recording into `emit` on its own thread; every method may be called from any thread.

    `speed` None is as fast as possible. A seek calls `on_reset`, passes the earlier state to
    `on_past`, emits the rows that fill the views and calls `on_filled`. Without `on_past` it emits
    the status rows in force first.
    """

    def __init__(
        self,
        recording: Recording | Merged,
        emit: Callable[[Batch], None],
        on_reset: Callable[[], None] = lambda: None,
        speed: float | None = 1.0,
        from_ns: int | None = None,
        to_ns: int | None = None,
        on_past: Callable[[Past], None] | None = None,
        on_filled: Callable[[], None] = lambda: None,
    ) -> None:
        self.span_ns = recording.span_ns
        self.position_ns = recording.span_ns[0] if from_ns is None else from_ns
        # None until measured, and again after a seek or a change of speed.
        self.achieved_speed: float | None = None
        self.playing = True
        self.ended = False
        self.speed = speed
        self.loop: tuple[int, int] | None = None
        # Why it stopped; a seek restarts it.
        self.trouble = ""
        self._name = recording.name
        self._recording, self._emit, self._on_reset = recording, emit, on_reset
        self._on_past, self._on_filled = on_past, on_filled
        self._from_ns, self._to_ns = from_ns, to_ns
        self._steps = 0
        # The target of the next seek, and the target that holds until the views are filled.
        self._seek_ns: int | None = None
        self._aim_ns: int | None = None
        # Whether a pause has taken effect.
        self._rests = False
        self._limited = ""
        # The length of the last skipped hole in s, and when it was skipped.
        self._hole = (0.0, -SAID_S)
        self.is_closing = False
        self._lock = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="player", daemon=True)

    @property
    def told(self) -> str:
        """The state and the requested and achieved speed, as text."""
        if self.trouble:
            return f"stopped: {self.trouble}"
        asked = "max" if self.speed is None else f"{self.speed:g}×"
        if self._aim_ns is not None:
            state = "seeking"
        else:
            state = "ended" if self.ended else "paused" if self._rests else "playing"
        told = f"{state} {asked}"
        if self.achieved_speed is not None:
            limited = self._limited if state in ("playing", "ended") else ""
            told += f" (actual {self.achieved_speed:.1f}×{limited})"
        if self.loop:
            told += ", in a loop"
        hole_s, at_s = self._hole
        if time.monotonic() - at_s < SAID_S:
            told += f", skipped {hole_s:,.0f} s without rows"
        return told

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def aim_ns(self) -> int:
        """The position, or the target of a seek under way."""
        aim_ns = self._aim_ns
        return self.position_ns if aim_ns is None else aim_ns

    def start(self) -> None:
        self._thread.start()

    def play(self) -> None:
        with self._lock:
            if self.ended:
                self._go_to(self.loop[0] if self.loop else self.span_ns[0])
            self.playing = True
            self._lock.notify()

    def pause(self) -> None:
        with self._lock:
            self.playing = False
            self._lock.notify()

    def step(self) -> None:
        """Play one slice of 100 ms and pause."""
        with self._lock:
            self.playing, self._steps = False, self._steps + 1
            self._lock.notify()

    def set_speed(self, speed: float | None) -> None:
        with self._lock:
            self.speed = speed
            self._forget_speed()
            self._lock.notify()

    def seek(self, to_ns: int) -> None:
        """Fill the views and continue from `to_ns`; a target outside the loop ends the loop."""
        with self._lock:
            if self.loop and not self.loop[0] <= to_ns <= self.loop[1]:
                self.loop = None
            self._go_to(to_ns)

    def skip(self, by_ns: int) -> None:
        """Seek forward, or backward, from `aim_ns`."""
        with self._lock:
            self.seek(self.aim_ns + by_ns)

    def repeat(self, loop: tuple[int, int] | None) -> None:
        """Play from one time to another in a loop; None ends the loop.

        The loop is cut to the recorded time; if nothing remains there is no loop.
        """
        if loop is not None and loop[0] >= loop[1]:
            raise ValueError(f"expected a loop that ends after it starts, found {loop}")
        if loop is not None:
            first, last = (self._within(at_ns) for at_ns in loop)
            loop = (first, last) if first < last else None
        with self._lock:
            self.loop = loop
            self._go_to(loop[0] if loop else self.aim_ns)

    def close(self) -> None:
        """End the thread and wait for it; the caller closes the recording."""
        with self._lock:
            self.is_closing = True
            self._lock.notify()
        if self._thread.is_alive():
            self._thread.join()

    def run_to_end(self) -> None:
        """Play in the caller's thread, as a headless replay does."""
        self._play(self._from_ns)

    def _go_to(self, to_ns: int) -> None:
        self._seek_ns = self._aim_ns = self._within(to_ns)
        self._forget_speed()
        self._lock.notify()

    def _within(self, at_ns: int) -> int:
        """Return the nearest time within the recording."""
        return min(max(at_ns, self.span_ns[0]), self.span_ns[1])

    def _forget_speed(self) -> None:
        self.achieved_speed, self._limited = None, ""

    def _run(self) -> None:
        start_ns, is_sought = self._from_ns, False
        while not self.is_closing:
            try:
                self.ended = not self._go_on(start_ns, is_sought)
            except (ValueError, *FILE_ERRORS) as error:
                self.trouble, self.ended = f"cannot read {self._name}: {line(error)}", True
            with self._lock:
                self._lock.wait_for(self._is_broken_off)
                start_ns, self._seek_ns = self._seek_ns, None
            if not self.is_closing:
                is_sought, self.ended, self.trouble = True, False, ""

    def _go_on(self, start_ns: int | None, is_sought: bool) -> bool:
        """Play from the start or from a seek's target; return whether it was interrupted."""
        if is_sought and start_ns is not None:
            self._fill(start_ns)
            with self._lock:
                if self._seek_ns is None:
                    self._aim_ns = None
            start_ns += 1
        return self._is_broken_off() or self._play(start_ns)

    def _fill(self, to_ns: int) -> None:
        self._on_reset()
        from_ns = to_ns - WINDOW_NS
        if self._on_past:
            self._on_past(self._recording.past(from_ns))
        else:
            before = self._recording.in_force(from_ns)
            if before.kinds:
                self._emit(before)
        with closing(ahead(self._recording.batches(from_ns, to_ns))) as batches:
            for batch in batches:
                self._emit(batch)
                if self._is_broken_off():
                    return
        self.position_ns = to_ns
        self._on_filled()

    def _play(self, start_ns: int | None) -> bool:
        """Play from `start_ns`; return whether it was interrupted."""
        loop = self.loop
        pace = None if start_ns is None else self._pace(start_ns)
        to_ns = loop[1] if loop else self._to_ns
        with closing(ahead(self._recording.batches(start_ns, to_ns))) as batches:
            slices = Slices(batches, loop[1] if loop else None)
            while slices.fill():
                due = self._wait(slices, pace or self._pace(slices.first_ns))
                if due is None:
                    return True
                pace, step_ns = due
                until_ns, batch = slices.until_ns(step_ns), slices.take(step_ns)
                if batch.kinds:
                    self._emit(batch)
                self.position_ns = max(self.position_ns, until_ns)
                self._measure(pace)
        if loop is None:
            if pace is not None:
                self._measure(pace, is_end=True)
            return False
        with self._lock:
            self._lock.wait_for(self._is_broken_off, LOOP_PAUSE_S)
            if self._seek_ns is None:
                self._seek_ns = loop[0]
        return True

    def _pace(self, at_ns: int) -> _Pace:
        return _Pace(time.monotonic(), at_ns, self.speed)

    def _measure(self, pace: _Pace, is_end: bool = False) -> None:
        achieved = pace.achieved(self.position_ns)
        is_slow = pace.speed is not None and achieved < SLOW_SHARE * pace.speed
        took_s = time.monotonic() - pace.began_s
        is_sure = took_s > SLOW_AFTER_S or (is_end and pace.wait_s(self.position_ns) < -LATE_S)
        with self._lock:
            # Report nothing for a speed that is no longer requested.
            if pace.speed == self.speed and not self._is_broken_off() and achieved > 0:
                self.achieved_speed = achieved
                self._limited = ": limited by this machine" if is_slow and is_sure else ""

    def _wait(self, slices: Slices, pace: _Pace) -> tuple[_Pace, int | None] | None:
        """Wait until the next slice is due, or for a step.

        Return the new pace and the slice's length in ns (None: all rows read together), or None if
        interrupted. A pause or a new speed takes effect at once, even between two rows.
        """
        with self._lock:
            while not self._is_broken_off():
                if self._steps:
                    self._steps -= 1
                    return self._pace(slices.until_ns(STEP_NS)), STEP_NS
                if not self.playing or self.speed != pace.speed:
                    now_ns = max(self.position_ns, min(pace.now_ns(), slices.first_ns))
                    self._rests = not self.playing
                    self._lock.wait_for(self._may_go_on)
                    self._rests = False
                    pace = self._pace(now_ns)
                    continue
                if pace.speed is None:
                    return pace, None
                step_ns = max(STEP_NS, int(pace.speed * SLICE_S * 1e9))
                wait_s = pace.wait_s(slices.until_ns(step_ns))
                if wait_s <= 0:
                    return pace, step_ns
                first_ns = slices.first_ns
                if self._is_hole(first_ns, pace):
                    pace = self._sweep(first_ns)
                    continue
                self._lock.wait(min(wait_s, CLOCK_S))
                if self.playing:
                    self._move(pace.now_ns(), first_ns)
        return None

    def _move(self, now_ns: int, next_ns: int) -> None:
        """Move the clock to a time before the next row."""
        self.position_ns = max(self.position_ns, min(now_ns, next_ns - 1))

    def _is_hole(self, next_ns: int, pace: _Pace) -> bool:
        return next_ns - self.position_ns > HOLE_NS and pace.wait_s(next_ns) > SWEEP_S

    def _sweep(self, next_ns: int) -> _Pace:
        """Skip a time without rows while the clock moves; return the pace after it."""
        first_ns, began_s = self.position_ns, time.monotonic()
        while self.playing and not self._steps and not self._is_broken_off():
            share = (time.monotonic() - began_s) / SWEEP_S
            self._move(first_ns + int(min(share, 1.0) * (next_ns - first_ns)), next_ns)
            if share >= 1:
                self._hole = ((next_ns - first_ns) / 1e9, time.monotonic())
                break
            self._lock.wait(CLOCK_S / 2)
        return self._pace(self.position_ns)

    def _may_go_on(self) -> bool:
        return self.playing or self._steps > 0 or self._is_broken_off()

    def _is_broken_off(self) -> bool:
        return self.is_closing or self._seek_ns is not None
