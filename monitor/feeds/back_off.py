"""The wait before the next connection attempt: it grows, with a random part."""

from __future__ import annotations

import random

FIRST_S = 0.5
CAP_S = 30.0
HEALTHY_S = 10.0


class BackOff:
    """Counts failures in a row; a connection that lasted ten seconds is no failure."""

    def __init__(self) -> None:
        self._failures = 0

    def pause_s(self, lived_s: float) -> float:
        """Return the wait in s after a connection that was open for a given time."""
        self._failures = 0 if lived_s >= HEALTHY_S else self._failures + 1
        # Full jitter: many collectors that were cut off together must not reconnect together.
        return random.uniform(0, min(CAP_S, FIRST_S * 2 ** min(self._failures, 16)))
