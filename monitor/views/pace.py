"""When what changes faster than anybody reads is drawn again."""

from __future__ import annotations

EVERY_NS = 250_000_000


class Pace:
    """So often of the rows' time; and once where that stands still, as in a pause."""

    def __init__(self, every_ns: int = EVERY_NS) -> None:
        self._every_ns = every_ns
        self._seen_ns = self._drawn_ns = -1

    def is_due(self, now_ns: int) -> bool:
        rests, self._seen_ns = now_ns == self._seen_ns, now_ns
        same = now_ns // self._every_ns == self._drawn_ns // self._every_ns
        if now_ns == self._drawn_ns or (same and not rests):
            return False
        self._drawn_ns = now_ns
        return True
