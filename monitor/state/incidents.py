"""Incidents: start, cause and end of each, from `status` and `stat` rows."""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from monitor.rows import DUPLICATE, SYNTHETIC

# Status kinds that are marks on the time axis.
MARK_KINDS = frozenset(
    (
        *("gap", "crossed", "checksum", "mismatch", "resync", "undecodable", "replaced"),
        *("disconnected", "half_open", "no_data", "silent", "refused", "fallback", "handback"),
        *("overflow", "unrecorded", "clock_jump", "stopped", "unclean_end"),
        *("restart", "book_missing"),
    )
)

INCIDENTS = 500
# Holes in a venue's numbers that late numbers are compared with, by place and channel; the
# collector remembers as many.
HOLES = 64
# A trade that neither arrives late nor is answered by REST within this time stays missing.
ANSWER_NS = 30_000_000_000

# Losses: lost or wrong messages, after which a book is rebuilt.
LOSSES = frozenset(("gap", "checksum", "crossed", "mismatch"))
# Rows missing from a recording, whether the venue or this program lost them.
MISSING = ("gap", "overflow", "unrecorded")
# Rows with these flags repeat an earlier one.
RESTATED = DUPLICATE | SYNTHETIC
# The connection is down, or brings nothing.
OUTAGES = frozenset(("disconnected", "half_open", "no_data", "silent"))
REFUSALS = frozenset(("rate_limited", "geo_blocked", "auth_failed"))
# Incidents without a duration, and what is known of their consequence.
AT_ONCE = {
    "undecodable": ("lost", "the frame is lost"),
    "overflow": ("lost", "the rows are lost"),
    "unrecorded": ("lost", "the rows are not recorded"),
    "unclean_end": ("lost", "rows not yet written are lost"),
    "clock_jump": ("over", "the clock was adjusted"),
    "restart": ("over", "numbers are judged anew from here"),
}
GOOD = frozenset(("connected", "quiet", "polling"))
# Reasons to poll that are no fault.
AS_CONFIGURED = frozenset(("the venue has no WebSocket", "REST was asked for"))

# A venue and a symbol; None for the venue's connection as a whole.
Place = tuple[str, str | None]
Row = dict[str, Any]


class Incident(NamedTuple):
    """An incident; `ended_ns` is None while it lasts.

    `outcome`: `lasts`, `unknown` (whether anything is lost is not known yet), `over` or `lost`.
    """

    venue: str
    symbol: str | None
    kind: str
    cause: str
    began_ns: int
    ended_ns: int | None = None
    outcome: str = "lasts"
    recovery: str = ""
    times: int = 1


@dataclass
class _Hole:
    """Missing numbers from `first` up to, not including, `end`."""

    first: int
    end: int
    missing: int
    began_ns: int
    last_ns: int
    late: int = 0
    filled: int = 0
    answered: bool = False

    @property
    def left(self) -> int:
        return max(0, self.missing - self.late - self.filled)


@dataclass
class _Kept:
    """An incident, its connection, and its holes and fills."""

    incident: Incident
    conn: int
    last_ns: int
    holes: deque[_Hole] = field(default_factory=lambda: deque(maxlen=HOLES))
    # Trades requested by REST without a hole, and how many REST returned.
    asked: int = 0
    found: int = 0


class Incidents:
    """A fold of rows in `ord` order; bounded in number."""

    def __init__(self) -> None:
        self.counts: Counter[Place] = Counter()
        self._kept: dict[int, _Kept] = {}
        self._open: dict[tuple[str, str | None, str], int] = {}
        self._holes: dict[tuple[str, str | None, str | None], deque[_Hole]] = {}
        self._next = 0

    def listed(self, now_ns: int) -> list[Incident]:
        """Return the last incidents, the oldest first, as of a recorded time."""
        return [_told(kept, now_ns) for kept in self._kept.values()]

    def follow(self, row: Row, at_ns: int) -> None:
        """Take a row of kind `status`."""
        kind, symbol, detail = row["kind"], row["symbol"], row["detail"]
        place = row["venue"], symbol
        self._end(row, at_ns)
        if kind == "late":
            self._arrive(row, at_ns)
        elif kind == "filled":
            self._fill(row, at_ns)
        elif kind == "book_missing" or (
            kind in LOSSES and (symbol is None or row["channel"] == "book")
        ):
            self._begin("book", row, at_ns)
        elif kind == "gap":
            self._note(row, at_ns)
        elif kind in LOSSES:
            self._note(row, at_ns, "over", "recorded as received")
        elif kind in AT_ONCE:
            self._note(row, at_ns, *AT_ONCE[kind])
        elif kind == "disconnected" and row["state"] == "connected":
            self._note(row, at_ns, "over", "the other connection went on")
        elif kind == "fallback" and detail not in AS_CONFIGURED:
            self._begin("rest", row, at_ns)
        else:
            what = _part_of(kind)
            # The state of each symbol repeats that of its connection.
            if what and not (symbol and (place[0], None, what) in self._open):
                self._begin(what, row, at_ns)

    def measure(self, row: Row, at_ns: int) -> None:
        """Take a row of kind `stat`: data after a refusal end it."""
        if not row["rows"]:
            return
        data_ns = at_ns - int((row["age_ms"] or 0) * 1e6)
        key = (row["venue"], None, "refusal")
        kept = self._kept.get(self._open.get(key, -1))
        if kept and data_ns > kept.last_ns and row["conn"] >= kept.conn:
            self._close(key, data_ns, "data again")

    def _end(self, row: Row, at_ns: int) -> None:
        """End the incidents that a row ends, of its instrument and of its venue's connection."""
        venue, symbol, kind, state = row["venue"], row["symbol"], row["kind"], row["state"]
        own, both = [(venue, symbol)], [(venue, symbol), (venue, None)]
        if kind == "stopped":
            for what in ("book", "line", "refusal", "refused", "rest"):
                self._close_all(own, what, at_ns, row["detail"] or "stopped on request")
        elif kind == "resync":
            self._close_all(both, "book", at_ns, "book rebuilt")
        elif kind == "handback":
            self._close_all(own, "rest", at_ns, "the stream again")
        elif row["scope"] == "symbol" and state in GOOD and kind not in OUTAGES:
            falls_back = kind == "fallback" or any((*of, "rest") in self._open for of in both)
            if state == "polling" and falls_back:
                # Unknown whether REST brings data, and the connection is still down.
                return
            over = "REST instead" if state == "polling" else "data again"
            self._close_all(both, "line", at_ns, over)
            self._close_all(both, "refusal", at_ns, over)
            self._close_all(own, "refused", at_ns, over)
        if row["scope"] == "connection" and state in ("failed", "stopped"):
            for key in [key for key in self._open if key[0] == venue and key[2] == "book"]:
                if self._kept[self._open[key]].conn == row["conn"]:
                    self._close(key, at_ns, "ended with its connection")

    def _begin(self, what: str, row: Row, at_ns: int) -> None:
        """Begin an incident, or count a repetition of one that lasts."""
        key = (row["venue"], row["symbol"], what)
        kept = self._kept.get(self._open.get(key, -1))
        if kept is None:
            self._open[key] = self._note(row, at_ns, "lasts")
            return
        kept.incident = kept.incident._replace(times=kept.incident.times + 1)
        kept.last_ns, kept.conn = at_ns, row["conn"]
        self._lack(kept, row, at_ns)

    def _note(self, row: Row, at_ns: int, outcome: str = "unknown", recovery: str = "") -> int:
        """Keep a new incident; return its number."""
        cause = row["detail"] or ""
        if row["expected"] is not None and row["got"] is not None:
            cause = f"{cause} expected {row['expected']}, got {row['got']}".strip()
        ended_ns = None if outcome in ("lasts", "unknown") else at_ns
        place = row["venue"], row["symbol"]
        incident = Incident(*place, row["kind"], cause, at_ns, ended_ns, outcome, recovery)
        kept = _Kept(incident, row["conn"], at_ns)
        self.counts[place] += 1
        number, self._next = self._next, self._next + 1
        self._kept[number] = kept
        self._lack(kept, row, at_ns)
        if len(self._kept) > INCIDENTS:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            self._open = {key: at for key, at in self._open.items() if at != oldest}
        return number

    def _lack(self, kept: _Kept, row: Row, at_ns: int) -> None:
        """Store the missing numbers of a gap row; those of books are no longer expected."""
        if row["kind"] != "gap" or row["channel"] == "book" or row["expected"] is None:
            return
        first, count = int(row["expected"]), int(row["count"] or 0)
        end = first + max(count, 1)
        hole = _Hole(first, end, end - first, at_ns, at_ns)
        kept.holes.append(hole)
        key = (row["venue"], row["symbol"], row["channel"])
        self._holes.setdefault(key, deque(maxlen=HOLES)).append(hole)

    def _arrive(self, row: Row, at_ns: int) -> None:
        number = row["got"]
        for hole in self._holes_of(row):
            if number is not None and hole.first <= number < hole.end:
                hole.late, hole.last_ns = hole.late + 1, at_ns
                return

    def _fill(self, row: Row, at_ns: int) -> None:
        """Take the answer about missing trades; the row's text names the first and last."""
        span = re.search(r"\((\d+) to (\d+)\)", row["detail"] or "")
        missing, found = int(row["expected"] or 0), int(row["got"] or 0)
        for hole in self._holes_of(row):
            if span and hole.first <= int(span[1]) <= int(span[2]) < hole.end:
                hole.filled, hole.answered, hole.last_ns = found, True, at_ns
                return
        # A venue whose ids may jump shows a gap by its connection alone.
        for kept in reversed(self._kept.values()):
            one = kept.incident
            is_cause = one.kind in OUTAGES or (one.kind == "gap" and one.symbol is None)
            if is_cause and one.venue == row["venue"] and one.symbol in (None, row["symbol"]):
                kept.asked, kept.found = kept.asked + missing, kept.found + found
                return

    def _holes_of(self, row: Row) -> list[_Hole]:
        """Return the holes that a row may be about, the newest first."""
        key = (row["venue"], row["symbol"], row["channel"])
        return list(self._holes.get(key, ()))[::-1]

    def _close_all(self, places: list[Place], what: str, at_ns: int, recovery: str) -> None:
        for venue, symbol in dict.fromkeys(places):
            self._close((venue, symbol, what), at_ns, recovery)

    def _close(self, key: tuple[str, str | None, str], at_ns: int, recovery: str) -> None:
        kept = self._kept.get(self._open.pop(key, -1))
        if kept:
            kept.incident = kept.incident._replace(
                ended_ns=at_ns, outcome="over", recovery=recovery
            )


def _part_of(kind: str) -> str | None:
    """Return the part that a status kind reports as faulty, None if none."""
    if kind in REFUSALS:
        return "refusal"
    if kind in OUTAGES:
        return "line"
    return "refused" if kind == "refused" else None


def _told(kept: _Kept, now_ns: int) -> Incident:
    """Return an incident with what is known of its cost."""
    one = kept.incident
    late, filled = (sum(getattr(hole, name) for hole in kept.holes) for name in ("late", "filled"))
    missing = sum(hole.missing for hole in kept.holes)
    left = sum(hole.left for hole in kept.holes)
    waits = any(hole.left and not hole.answered for hole in kept.holes)
    is_connection = one.symbol is None
    unit = "messages" if is_connection else "trades"
    parts = [one.recovery] if one.recovery else []
    if kept.asked:
        parts.append(f"{kept.found} of {kept.asked} trades filled by REST")
    if filled:
        parts.append(f"{filled} of {missing} trades filled by REST")
    if late:
        parts.append("arrived late" if late >= missing else f"{late} of {missing} arrived late")
    if not missing or is_connection:
        # A missing message of a connection costs its books, which are rebuilt, and trades.
        return one._replace(recovery=", ".join(parts))
    if left and waits and now_ns - kept.holes[-1].began_ns < ANSWER_NS:
        return one._replace(recovery=", ".join([*parts, "not known yet"]))
    if left:
        word = "missing" if waits else "lost"
        parts.append(f"{left:,} of {missing:,} {unit} {word}")
    outcome = "lost" if left else "over"
    ended_ns = max(hole.last_ns for hole in kept.holes)
    return one._replace(ended_ns=ended_ns, outcome=outcome, recovery=", ".join(parts))
