"""The present: this machine's time, and the time since the last row.

Rows carry their own time, and a replay knows no other. What is said of *now* is judged by this
machine's clock instead, so that rows that stop coming never look fresh.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# A clock row is due every 100 ms. Without any row for this long, no source counts as connected.
SILENT_NS = 2_000_000_000
# What is taken for a step of the wall clock.
STEP_NS = 1_000_000_000
# How often a process says that it runs. One that says nothing for longer does not: it was stopped,
# or the machine is too busy for it.
TICK_S, MOST_TICK_S = 0.2, 0.5
# States in which a source brings what its venue sends.
UP = frozenset(("connected", "quiet", "polling"))


class Present:
    """Notes when rows arrive; any thread may ask.

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
        # When this process last said that it runs, and how long it had run until then.
        self._tick = (monotonic_s(), 0.0)
        self.arrived()

    def arrived(self) -> None:
        """Note that rows came just now.

        A step of the wall clock is taken up by the second rows after it: the first ones may still
        have the time of before.
        """
        self._arrived_s, self._arrived_awake_s = self._monotonic_s(), self.awake_s()
        offset_ns = self._wall_ns() - round(self._monotonic_s() * 1e9)
        is_step = abs(offset_ns - self._offset_ns) > STEP_NS
        if is_step and not self._is_stepped:
            self._is_stepped = True
        else:
            self._offset_ns, self._is_stepped = offset_ns, False

    def now_ns(self) -> int:
        """Return this machine's time; a step of its clock is seen once rows have come."""
        return round(self._monotonic_s() * 1e9) + self._offset_ns

    def tick(self) -> None:
        """Note that this process runs."""
        self._tick = (self._monotonic_s(), self.awake_s())

    def awake_s(self) -> float:
        """Return how long this process has run, without the time in which it was stopped."""
        ticked_s, awake_s = self._tick
        return awake_s + min(self._monotonic_s() - ticked_s, MOST_TICK_S)

    def waited_s(self) -> float:
        """Return how long this process has run since rows last came, however old they were."""
        return self.awake_s() - self._arrived_awake_s

    def at_ns(self, newest_ns: int) -> int:
        """Return what time it is: this machine's, or that of rows whose clock is ahead of it.

        It is so for a while after the wall clock was set back.
        """
        since_ns = round((self._monotonic_s() - self._arrived_s) * 1e9)
        return max(self.now_ns(), newest_ns + since_ns)

    def silence_ns(self, newest_ns: int) -> int:
        """Return how old the newest row is, or how long ago it came if that is longer.

        The first is longer if rows come late, the second if the wall clock was set back.
        """
        since_ns = round((self._monotonic_s() - self._arrived_s) * 1e9)
        return max(since_ns, self.now_ns() - newest_ns) if newest_ns else since_ns
