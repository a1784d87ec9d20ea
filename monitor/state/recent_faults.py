"""Recent faults: counts by instrument or connection and minute, and stale seconds."""

from __future__ import annotations

from typing import Any, NamedTuple

from monitor.rows import MINUTE_NS
from monitor.state.incidents import LOSSES, RESTATED, Incident, Incidents, Place

MINUTES = 60
# In these states a source delivers nothing, or nothing reliable.
UNBELIEVED = frozenset(("stale", "failed"))
# The count that a row of each kind adds one to.
COUNTED = dict.fromkeys(LOSSES, "losses") | {"duplicate": "duplicates", "late": "late"}


class Minute(NamedTuple):
    """Counts of status rows of one instrument or connection, and time in which it was stale."""

    losses: int = 0
    duplicates: int = 0
    late: int = 0
    stale_ns: int = 0

    def plus(self, other: Minute) -> Minute:
        return Minute(*(a + b for a, b in zip(self, other, strict=True)))


NOTHING = Minute()


class Quality:
    """A fold of `status` and `stat` rows in `ord` order; minutes and incidents are bounded."""

    def __init__(self) -> None:
        self._minutes: dict[Place, dict[int, Minute]] = {}
        self._totals: dict[Place, Minute] = {}
        self._stale_since: dict[Place, int] = {}
        self._incidents = Incidents()

    def follow(self, row: dict[str, Any], at_ns: int) -> None:
        """Take a row of kind `status`."""
        place, kind = (row["venue"], row["symbol"]), row["kind"]
        if row["scope"] == "symbol" and kind != "symbol_assumed":
            self._enter(place, row["state"], at_ns)
        if row["flags"] & RESTATED and kind in (*COUNTED, "filled"):
            return
        if kind in COUNTED:
            self._add(place, at_ns // MINUTE_NS, NOTHING._replace(**{COUNTED[kind]: 1}))
        self._incidents.follow(row, at_ns)

    def measure(self, row: dict[str, Any], at_ns: int) -> None:
        """Take a row of kind `stat`."""
        self._incidents.measure(row, at_ns)

    def minutes(self, now_ns: int) -> dict[Place, dict[int, Minute]]:
        """Return the minutes (since 1970) with faults, by place."""
        found = {place: dict(minutes) for place, minutes in self._minutes.items()}
        for place, since_ns in self._stale_since.items():
            for number, stale in _split(since_ns, now_ns):
                of_place = found.setdefault(place, {})
                of_place[number] = of_place.get(number, NOTHING).plus(stale)
        return found

    def losses(self, place: Place) -> int:
        return self._totals.get(place, NOTHING).losses

    def total(self, place: Place, now_ns: int) -> tuple[Minute, int]:
        """Return the counts of all time of an instrument or connection, and its incidents."""
        since_ns = self._stale_since.get(place, now_ns)
        stale = NOTHING._replace(stale_ns=max(0, now_ns - since_ns))
        counts = self._totals.get(place, NOTHING).plus(stale)
        return counts, self._incidents.counts[place]

    def connections(self) -> list[str]:
        """Return the venues whose connections have counts."""
        places = {*self._totals, *self._incidents.counts}
        return sorted(venue for venue, symbol in places if symbol is None)

    def incidents(self, now_ns: int) -> list[Incident]:
        """Return the last incidents, the oldest first."""
        return self._incidents.listed(now_ns)

    def _enter(self, place: Place, state: str, at_ns: int) -> None:
        """Measure the time between the rows where a source became stale and good again."""
        if state in UNBELIEVED:
            self._stale_since.setdefault(place, at_ns)
            return
        since_ns = self._stale_since.pop(place, None)
        if since_ns is not None:
            for number, stale in _split(since_ns, at_ns):
                self._keep(place, number, stale)
            stale = NOTHING._replace(stale_ns=max(0, at_ns - since_ns))
            self._totals[place] = self._totals.get(place, NOTHING).plus(stale)

    def _add(self, place: Place, number: int, minute: Minute) -> None:
        self._keep(place, number, minute)
        self._totals[place] = self._totals.get(place, NOTHING).plus(minute)

    def _keep(self, place: Place, number: int, minute: Minute) -> None:
        minutes = self._minutes.setdefault(place, {})
        minutes[number] = minutes.get(number, NOTHING).plus(minute)
        while len(minutes) > MINUTES:
            del minutes[min(minutes)]


def _split(since_ns: int, until_ns: int) -> list[tuple[int, Minute]]:
    """Split stale time over its minutes, the last `MINUTES` of them."""
    last = until_ns // MINUTE_NS
    first = max(since_ns // MINUTE_NS, last - MINUTES + 1)
    parts = []
    for number in range(first, last + 1):
        begin_ns, end_ns = number * MINUTE_NS, (number + 1) * MINUTE_NS
        stale_ns = min(until_ns, end_ns) - max(since_ns, begin_ns)
        if stale_ns > 0:
            parts.append((number, NOTHING._replace(stale_ns=stale_ns)))
    return parts
