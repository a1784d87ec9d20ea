"""The receive clock: wall time that never runs back, and tells when the wall clock is stepped."""

from __future__ import annotations

import threading
import time

# A larger difference is taken for a step of the wall clock, a smaller one is followed gradually.
STEP_NS = 100_000_000
# The share of a small difference that is made good with each reading of the wall clock.
FOLLOW = 0.01


class ReceiveClock:
    """A monotonic clock disciplined to wall time; any thread may read it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._start_ns = time.time_ns() - time.monotonic_ns()
        self._offset_ns = self._start_ns
        self._last_ns = 0

    def now_ns(self) -> int:
        """Return ns since 1970, never less than before."""
        with self._lock:
            self._last_ns = max(self._last_ns, time.monotonic_ns() + self._offset_ns)
            return self._last_ns

    @property
    def offset_ns(self) -> int:
        """Wall clock minus monotonic clock since the start, in ns."""
        with self._lock:
            return self._offset_ns - self._start_ns

    def discipline(self) -> int:
        """Follow the wall clock; return the size of a step in ns, 0 if it was not stepped."""
        with self._lock:
            error_ns = time.time_ns() - time.monotonic_ns() - self._offset_ns
            if abs(error_ns) >= STEP_NS:
                self._offset_ns += error_ns
                return error_ns
            self._offset_ns += round(error_ns * FOLLOW)
            return 0
