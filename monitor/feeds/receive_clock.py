"""The receive clock: wall time that never runs back and reports steps of the wall clock.

If the wall clock is set forward, it follows at once. If it is set back, it runs a little slower
until the wall clock has caught up: rows of many minutes must not share one time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# A larger difference counts as a step of the wall clock; a smaller one is followed gradually.
STEP_NS = 100_000_000
# Share of a small difference that each reading of the wall clock corrects.
FOLLOW = 0.01
# How much slower than time it runs while it is ahead.
SLOWER = 0.1


class ReceiveClock:
    """A monotonic clock disciplined to wall time; any thread may read it.

    `wall_ns` and `monotonic_ns` give this machine's two clocks.
    """

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns, self._monotonic_ns = wall_ns, monotonic_ns
        self._lock = threading.Lock()
        self._start_ns = wall_ns() - monotonic_ns()
        self._offset_ns = self._start_ns
        self._last_ns = 0
        # How far it is ahead after a step back, and when that was last reduced.
        self._ahead_ns, self._slowed_ns = 0, monotonic_ns()

    def now_ns(self) -> int:
        """Return ns since 1970, never less than before."""
        with self._lock:
            self._slow_down()
            self._last_ns = max(self._last_ns, self._slowed_ns + self._offset_ns)
            return self._last_ns

    @property
    def offset_ns(self) -> int:
        """Wall clock minus monotonic clock since the start, in ns."""
        with self._lock:
            return self._offset_ns - self._ahead_ns - self._start_ns

    def discipline(self, on_step: Callable[[int, int, int], None] = lambda *_: None) -> None:
        """Follow the wall clock.

        At a step, `on_step` is called before time goes on: with the last time, the size of the
        step, and the amount by which this clock is set forward, all in ns.
        """
        with self._lock:
            self._slow_down()
            wall_ns = self._wall_ns() - self._monotonic_ns()
            error_ns = wall_ns - (self._offset_ns - self._ahead_ns)
            if abs(error_ns) < STEP_NS:
                self._offset_ns += round(error_ns * FOLLOW)
                return
            ahead_ns = max(0, self._ahead_ns - error_ns)
            forward_ns = error_ns - self._ahead_ns + ahead_ns
            on_step(max(self._last_ns, self._slowed_ns + self._offset_ns), error_ns, forward_ns)
            self._offset_ns += forward_ns
            self._ahead_ns = ahead_ns

    def _slow_down(self) -> None:
        now_ns = self._monotonic_ns()
        less_ns = min(self._ahead_ns, round((now_ns - self._slowed_ns) * SLOWER))
        self._slowed_ns = now_ns
        self._offset_ns -= less_ns
        self._ahead_ns -= less_ns
