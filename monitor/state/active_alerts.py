"""Active alerts, acknowledgements and mutes, folded from rows."""

from __future__ import annotations

import contextlib
import re
import threading
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from monitor.rows import Batch, column, iso

HOOK = "alerts"
# Signals of these levels are alerts; `info` ends one.
LEVELS = ("warn", "alert")
# Beyond these the oldest go first.
MOST_ACTIVE, MOST_ENDED, MOST_MUTES = 1000, 100, 1000
ACKNOWLEDGED, MUTED, UNMUTED = "acknowledged", "muted", "unmuted"
# Everything that a rule watches.
EVERYWHERE = "*"
UNTIL_UNMUTED = "unmuted"
DETAIL = re.compile(r"(.+) of (\S+)(?:, (?:since|until) (\S+))?, by (\S+)")

# A rule, its place, and the run of the signal.
Key = tuple[str, str, str]


class Alert(NamedTuple):
    """One firing of a rule; `ended_ns` None while it is active, `by` who acknowledged it.

    Rules of one name count as one, which is active until as many ended as fired (`firings`).
    """

    rule: str
    venue: str
    symbol: str | None
    origin: str
    level: str
    text: str
    since_ns: int
    firings: int = 1
    ended_ns: int | None = None
    by: str = ""

    @property
    def where(self) -> str:
        return where(self.venue, self.symbol)


class Mute(NamedTuple):
    """A rule that is muted at `where`; `until_ns` None lasts until it is unmuted."""

    rule: str
    where: str
    until_ns: int | None
    by: str

    def holds(self, at_ns: int) -> bool:
        return self.until_ns is None or at_ns < self.until_ns


class Alerts:
    """The alerts, folded from rows; any thread may read. `version` counts changes."""

    def __init__(self) -> None:
        self.version = 0
        self._lock = threading.Lock()
        self._active: dict[Key, Alert] = {}
        self._ended: deque[Alert] = deque(maxlen=MOST_ENDED)
        self._mutes: dict[tuple[str, str], Mute] = {}
        # The last signal taken, and the last one known before.
        self._last_ns = self._known_ns = 0

    def __call__(self, batch: Batch) -> None:
        """Take the signals of a batch, and the status rows of operators' actions."""
        if "signal" in batch:
            self.take_signals(batch)
        if "status" in batch:
            self._take_status(batch["status"])

    def take_signals(self, batch: Batch) -> None:
        """Take the signals only, where operators' actions arrive in another way."""
        if "signal" not in batch:
            return
        rows = batch["signal"]
        rows = rows.filter(pc.equal(rows["hook"], HOOK))
        names = ["venue", "symbol", "origin", "level", "text"]
        with self._lock:
            for at_ns, row in zip(
                column(rows, "ts_recv").tolist(), _rows(rows, names), strict=True
            ):
                if at_ns > self._known_ns:
                    self._take_signal(at_ns, row)
                    self._last_ns = max(self._last_ns, at_ns)

    def active(self) -> list[Alert]:
        """Return the active alerts, the newest first."""
        with self._lock:
            return sorted(self._active.values(), key=lambda alert: alert.since_ns, reverse=True)

    def ended(self) -> list[Alert]:
        """Return the last ended alerts, the newest first."""
        with self._lock:
            return list(reversed(self._ended))

    def mutes(self, now_ns: int) -> list[Mute]:
        with self._lock:
            return [mute for mute in self._mutes.values() if mute.holds(now_ns)]

    def is_muted(self, rule: str, place: str, at_ns: int) -> bool:
        with self._lock:
            found = (self._mutes.get((rule, part)) for part in (place, EVERYWHERE))
            return any(mute is not None and mute.holds(at_ns) for mute in found)

    def acknowledge(self, rule: str, place: str, since: str, by: str) -> Alert | None:
        """Mark an active alert by its rule, place and beginning; None if there is none."""
        with self._lock:
            key = (rule, place, "recorded")
            alert = self._active.get(key)
            if alert is None or iso(alert.since_ns) != since:
                return None
            self._active[key] = alert._replace(by=by)
            self.version += 1
            return self._active[key]

    def mute(self, mute: Mute) -> None:
        with self._lock:
            self._mutes.pop((mute.rule, mute.where), None)
            self._mutes[mute.rule, mute.where] = mute
            if len(self._mutes) > MOST_MUTES:
                del self._mutes[next(iter(self._mutes))]
            self.version += 1

    def unmute(self, rule: str, place: str) -> None:
        with self._lock:
            self._mutes.pop((rule, place), None)
            self.version += 1

    def unmuted(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Return the signals to report: all but those of rules muted at their time."""
        names = ["hook", "venue", "symbol", "text"]
        told = [
            row["hook"] != HOOK
            or not self.is_muted(rule_of(row["text"] or ""), where(row["venue"], row["symbol"]), at)
            for at, row in zip(column(rows, "ts_recv").tolist(), _rows(rows, names), strict=True)
        ]
        return rows if all(told) else rows.filter(pa.array(told, pa.bool_()))

    def document(self) -> dict[str, Any]:
        """Return the whole state in JSON types, for `seed`."""
        with self._lock:
            return {
                "active": [alert._asdict() for alert in self._active.values()],
                "ended": [alert._asdict() for alert in self._ended],
                "mutes": [mute._asdict() for mute in self._mutes.values()],
                "last_ns": self._last_ns,
            }

    def seed(self, document: dict[str, Any]) -> None:
        """Begin with the state of another fold; skip signals that it has taken."""
        with self._lock:
            active = [Alert(**one) for one in document["active"]]
            self._active = {(alert.rule, alert.where, alert.origin): alert for alert in active}
            self._ended.extend(Alert(**one) for one in document["ended"])
            self._mutes = {(m["rule"], m["where"]): Mute(**m) for m in document["mutes"]}
            self._last_ns = self._known_ns = document["last_ns"]
            self.version += 1

    def _take_signal(self, at_ns: int, row: dict[str, Any]) -> None:
        text = row["text"] or ""
        rule = rule_of(text)
        place = (row["venue"], row["symbol"], row["origin"])
        key = (rule, where(row["venue"], row["symbol"]), row["origin"])
        before = self._active.get(key)
        if row["level"] in LEVELS:
            firings = before.firings + 1 if before else 1
            # The newest last: without room the oldest is dropped.
            self._active.pop(key, None)
            self._active[key] = Alert(rule, *place, row["level"], text, at_ns, firings)
            if len(self._active) > MOST_ACTIVE:
                del self._active[next(iter(self._active))]
        elif before is None or not text.startswith(f"{rule}: over"):
            return
        elif before.firings > 1:
            self._active[key] = before._replace(firings=before.firings - 1)
        else:
            del self._active[key]
            self._ended.append(before._replace(firings=0, ended_ns=at_ns))
        self.version += 1

    def _take_status(self, rows: pa.RecordBatch) -> None:
        kinds = pa.array([ACKNOWLEDGED, MUTED, UNMUTED])
        for row in _rows(rows.filter(pc.is_in(rows["kind"], kinds)), ["kind", "detail"]):
            found = DETAIL.fullmatch(row["detail"] or "")
            if found is None:
                continue
            rule, place, time, by = found.groups()
            if row["kind"] == ACKNOWLEDGED:
                self.acknowledge(rule, place, time, by)
            elif row["kind"] == UNMUTED:
                self.unmute(rule, place)
            else:
                with contextlib.suppress(ValueError):
                    self.mute(Mute(rule, place, _until_ns(time), by))


def rule_of(text: str) -> str:
    """Return the name of the rule that a signal's text begins with; names have no colon."""
    return text.partition(":")[0]


def where(venue: str, symbol: str | None) -> str:
    """Return a place without blanks: a venue may put them into a symbol."""
    return re.sub(r"\s", "_", f"{venue}:{symbol}" if symbol else venue)


def told_acknowledged(alert: Alert) -> str:
    """Return the detail of a row `acknowledged`."""
    return f"{alert.rule} of {alert.where}, since {iso(alert.since_ns)}, by {alert.by}"


def told_muted(mute: Mute) -> str:
    """Return the detail of a row `muted`."""
    until = UNTIL_UNMUTED if mute.until_ns is None else iso(mute.until_ns)
    return f"{mute.rule} of {mute.where}, until {until}, by {mute.by}"


def told_unmuted(rule: str, place: str, by: str) -> str:
    """Return the detail of a row `unmuted`."""
    return f"{rule} of {place}, by {by}"


def _until_ns(text: str | None) -> int | None:
    """Parse the end of a mute; ValueError if it is no time."""
    if text == UNTIL_UNMUTED:
        return None
    return round(datetime.fromisoformat(text or "").timestamp()) * 1_000_000_000


def _rows(rows: pa.RecordBatch, names: list[str]) -> Iterable[dict[str, Any]]:
    found: list[dict[str, Any]] = rows.select(names).to_pylist()
    return found
