"""What went wrong of late: counts by instrument and minute, and incidents with their end."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

MINUTES = 60
INCIDENTS = 500
MINUTE_NS = 60_000_000_000

# Messages that are lost or wrong; a book is made anew behind them.
LOSSES = frozenset(("gap", "checksum", "crossed", "mismatch"))
# The line is down, or nothing comes on it.
OUTAGES = frozenset(("disconnected", "half_open", "no_data", "silent", "refused"))
# Over as soon as they happened: what is lost so stays lost, unless it is had by REST.
AT_ONCE = frozenset(("undecodable", "overflow", "unrecorded", "clock_jump", "unclean_end"))
REFUSALS = frozenset(("rate_limited", "geo_blocked", "auth_failed"))
GOOD = frozenset(("connected", "quiet", "polling"))

# A venue and a symbol; None for the venue's connection as a whole.
Place = tuple[str, str | None]


class Minute(NamedTuple):
    """Of one instrument or connection; `stale_s` counts seconds without a line to believe."""

    losses: int = 0
    duplicates: int = 0
    late: int = 0
    stale_s: int = 0

    def plus(self, other: Minute) -> Minute:
        return Minute(*(a + b for a, b in zip(self, other, strict=True)))


class Incident(NamedTuple):
    """Something that went wrong; `ended_ns` None while it lasts."""

    venue: str
    symbol: str | None
    kind: str
    cause: str
    began_ns: int
    ended_ns: int | None = None
    recovery: str = ""
    times: int = 1


class Quality:
    """Follows the rows that tell of trouble; bounded in time and in number."""

    def __init__(self) -> None:
        self._minutes: dict[Place, dict[int, Minute]] = {}
        self._incidents: dict[int, Incident] = {}
        self._open: dict[tuple[str, str | None, str], int] = {}
        self._numbers: deque[int] = deque()
        self._next = 0

    def add(self, place: Place, at_ns: int, minute: Minute) -> None:
        """Count for the minute of a time."""
        if not any(minute):
            return
        minutes = self._minutes.setdefault(place, {})
        number = at_ns // MINUTE_NS
        minutes[number] = minutes.get(number, Minute()).plus(minute)
        while len(minutes) > MINUTES:
            del minutes[min(minutes)]

    def follow(self, row: dict[str, Any], at_ns: int) -> None:
        """Take a row of kind `status`."""
        venue, symbol, kind = row["venue"], row["symbol"], row["kind"]
        self._end(row, at_ns)
        if kind == "filled":
            self._recover(row)
        if kind in LOSSES and (symbol is None or kind != "gap"):
            self.add((venue, symbol), at_ns, Minute(losses=1))
        elif symbol is None and kind in ("duplicate", "late"):
            name = "duplicates" if kind == "duplicate" else kind
            self.add((venue, None), at_ns, Minute(**{name: int(row["count"] or 1)}))
        cause = row["detail"] or ""
        if row["expected"] is not None:
            cause = f"{cause} expected {row['expected']}, got {row['got']}".strip()
        incident = Incident(venue, symbol, kind, cause, at_ns)
        if kind in LOSSES and (symbol is None or row["channel"] == "book"):
            self._begin("book", incident)
        elif kind in LOSSES or kind in AT_ONCE:
            self._note(incident._replace(ended_ns=at_ns, recovery="lost for good"))
        elif kind in REFUSALS:
            self._note(incident._replace(ended_ns=at_ns, recovery="asked again later"))
        elif kind == "disconnected" and row["state"] == "connected":
            recovery = "the other connection went on"
            self._note(incident._replace(ended_ns=at_ns, recovery=recovery))
        elif kind in OUTAGES and not (symbol and (venue, None, "line") in self._open):
            self._begin("line", incident)
        elif kind == "fallback":
            self._begin("rest", incident)

    def minutes(self) -> dict[Place, dict[int, Minute]]:
        """Return, by place, the minutes since 1970 in which something was wrong."""
        return {place: dict(minutes) for place, minutes in self._minutes.items()}

    def incidents(self) -> list[Incident]:
        """Return the last incidents, the oldest first."""
        return [self._incidents[number] for number in self._numbers]

    def _begin(self, what: str, incident: Incident) -> None:
        key = (incident.venue, incident.symbol, what)
        before = self._incidents.get(self._open.get(key, -1))
        if before is None:
            self._open[key] = self._note(incident)
        else:
            self._incidents[self._open[key]] = before._replace(times=before.times + 1)

    def _note(self, incident: Incident) -> int:
        number, self._next = self._next, self._next + 1
        self._incidents[number] = incident
        self._numbers.append(number)
        if len(self._numbers) > INCIDENTS:
            del self._incidents[self._numbers.popleft()]
        return number

    def _recover(self, row: dict[str, Any]) -> None:
        """Tell of a gap how many of its trades were had by REST; the row names the first."""
        first = (row["detail"] or "").partition("(")[2].partition(" ")[0]
        for number, incident in self._incidents.items():
            is_its = (incident.venue, incident.symbol) == (row["venue"], row["symbol"])
            if is_its and incident.kind == "gap" and f"expected {first}," in incident.cause:
                found = f"{row['got']} of {row['expected']} trades by REST"
                self._incidents[number] = incident._replace(recovery=found)

    def _end(self, row: dict[str, Any], at_ns: int) -> None:
        """End what a row says is over, of its instrument and of its venue's connection."""
        kind, state = row["kind"], row["state"]
        over: tuple[str, ...]
        if kind == "stopped":
            over, recovery = ("book", "line", "rest"), "stopped on request"
        elif kind == "resync":
            over, recovery = ("book",), "book made anew"
        elif kind == "handback":
            over, recovery = ("rest",), "the stream again"
        elif row["scope"] == "symbol" and state in GOOD and kind not in OUTAGES:
            over, recovery = ("line",), "REST instead" if state == "polling" else "data again"
        else:
            return
        for what in over:
            for symbol in {row["symbol"], None}:
                number = self._open.pop((row["venue"], symbol, what), None)
                if number in self._incidents:
                    self._incidents[number] = self._incidents[number]._replace(
                        ended_ns=at_ns, recovery=recovery
                    )
