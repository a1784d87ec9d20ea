"""How often values that change all the time are redrawn."""

from __future__ import annotations

from monitor.hub import Hub

EVERY_NS = 250_000_000


class Pace:
    """An interval of recorded time; due once more when no row arrives, as in a pause."""

    def __init__(self, every_ns: int = EVERY_NS) -> None:
        self._every_ns = every_ns
        self._seen = self._drawn = (-1, -1)

    def is_due(self, hub: Hub) -> bool:
        # Older rows arrive too, without a change of the newest time.
        there = hub.now_ns, hub.updates
        rests, self._seen = there == self._seen, there
        same = there[0] // self._every_ns == self._drawn[0] // self._every_ns
        if there == self._drawn or (same and not rests):
            return False
        self._drawn = there
        return True
