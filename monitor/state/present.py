"""The present: this machine's time, and the time since the last row.

Rows carry their own time, and a replay knows no other. The *present* is measured by this machine's
clock instead, so that rows never look fresh after they stop.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# A clock row is due every 100 ms. Without any row for this long, no source counts as connected.
SILENT_NS = 2_000_000_000
# A difference that counts as a step of the wall clock.
STEP_NS = 1_000_000_000
# Interval of the ticks of a running process. After a longer pause it was stopped, or the machine is
# too busy.
TICK_S, MOST_TICK_S = 0.2, 0.5
# States in which a source delivers its venue's data.
UP = frozenset(("connected", "quiet", "polling"))


class Present:
    """Records when rows arrive; any thread may read.

    `wall_ns` gives this machine's time in ns since 1970, `monotonic_s` seconds that nobody sets.
    """

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall_ns, self._monotonic_s = wall_ns, monotonic_s
        # The wall clock minus the monotonic one, and whether another difference was just seen.
        self._offset_ns, self._is_stepped = wall_ns() - round(monotonic_s() * 1e9), False
        # Time of the last tick, and how long the process had run until then.
        self._tick = (monotonic_s(), 0.0)
        self.arrived()

    def arrived(self) -> None:
        """Record that rows have just arrived.

        A step of the wall clock is accepted at the second rows after it: the first ones may still
        have the earlier time.
        """
        self._arrived_s, self._arrived_awake_s = self._monotonic_s(), self.awake_s()
        offset_ns = self._wall_ns() - round(self._monotonic_s() * 1e9)
        is_step = abs(offset_ns - self._offset_ns) > STEP_NS
        if is_step and not self._is_stepped:
            self._is_stepped = True
        else:
            self._offset_ns, self._is_stepped = offset_ns, False

    def now_ns(self) -> int:
        """Return this machine's time; a step of its clock counts once rows have arrived."""
        return round(self._monotonic_s() * 1e9) + self._offset_ns

    def tick(self) -> None:
        """Record that this process runs."""
        self._tick = (self._monotonic_s(), self.awake_s())

    def awake_s(self) -> float:
        """Return how long this process has run in s, without the time it was stopped."""
        ticked_s, awake_s = self._tick
        return awake_s + min(self._monotonic_s() - ticked_s, MOST_TICK_S)

    def waited_s(self) -> float:
        """Return how long this process has run since rows last arrived, however old."""
        return self.awake_s() - self._arrived_awake_s

    def at_ns(self, newest_ns: int) -> int:
        """Return this machine's time, or the time of rows that are ahead of it.

        They are ahead for a while after the wall clock was set back.
        """
        since_ns = round((self._monotonic_s() - self._arrived_s) * 1e9)
        return max(self.now_ns(), newest_ns + since_ns)

    def silence_ns(self, newest_ns: int) -> int:
        """Return the age of the newest row, or the time since its arrival if that is longer.

        The age is longer if rows arrive late, the other if the wall clock was set back.
        """
        since_ns = round((self._monotonic_s() - self._arrived_s) * 1e9)
        return max(since_ns, self.now_ns() - newest_ns) if newest_ns else since_ns
