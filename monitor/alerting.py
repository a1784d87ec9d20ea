"""The collector's side of alerts: what people acknowledge and mute, and what outlives a restart."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monitor.alerts import (
    ACKNOWLEDGED,
    MUTED,
    UNMUTED,
    Alerts,
    Mute,
    told_acknowledged,
    told_muted,
    told_unmuted,
)
from monitor.users import NAME

MUTES_FILE = "mutes.json"
LONGEST_MUTE_S = 7 * 86_400
# Who acts where nobody logs in.
SOMEBODY = "operator"
BY = re.compile(NAME)
RULE, PLACE = re.compile(r"[^:\x00-\x1f]{1,60}"), re.compile(r"\S{1,200}")

Wanted = dict[str, Any]


class Alerting:
    """What people do about alerts, told as rows by `tell` (kind, detail), mutes kept in a file."""

    def __init__(self, folder: Path, tell: Callable[[str, str], None]) -> None:
        self.alerts = Alerts()
        self._file = folder / MUTES_FILE
        self._tell = tell
        self._lock = threading.Lock()

    def restore(self, now_ns: int) -> None:
        """Bring back the mutes of before that still hold; a new recording tells of them too."""
        try:
            mutes = [_mute(one) for one in json.loads(self._file.read_text())]
            mutes = [mute for mute in mutes if mute.holds(now_ns)]
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._tell("mutes_unread", f"expected mutes in {self._file.name}, found {error}")
            return
        for mute in mutes:
            self.alerts.mute(mute)
            self._tell(MUTED, told_muted(mute))

    def act(self, wanted: Wanted, now_ns: int) -> None:
        """Acknowledge, mute or unmute; ValueError says in one line what was wrong with it."""
        actions: dict[Any, Callable[[Wanted, str, int], None]] = {
            "acknowledge": self._acknowledge,
            "mute": self._mute,
            "unmute": self._unmute,
        }
        action = wanted["action"]
        if action not in actions:
            raise ValueError(f"expected one of {', '.join(actions)}, found {action!r}")
        with self._lock:
            actions[action](wanted, _by(wanted), now_ns)

    def _acknowledge(self, wanted: Wanted, by: str, now_ns: int) -> None:
        rule, place = _subject(wanted)
        alert = self.alerts.acknowledge(rule, place, str(wanted["since"]), by)
        if alert is None:
            raise ValueError(f"expected an active alert, found that {rule} of {place} is over")
        self._tell(ACKNOWLEDGED, told_acknowledged(alert))

    def _mute(self, wanted: Wanted, by: str, now_ns: int) -> None:
        rule, place = _subject(wanted)
        seconds = wanted["seconds"]
        until_ns = None
        if seconds is not None:
            if isinstance(seconds, bool) or not 1 <= float(seconds) <= LONGEST_MUTE_S:
                raise ValueError(f"expected 1 to {LONGEST_MUTE_S} seconds, found {seconds!r}")
            # Whole seconds, as the row tells them.
            until_ns = round(now_ns / 1e9 + float(seconds)) * 1_000_000_000
        mute = Mute(rule, place, until_ns, by)
        others = [
            one for one in self.alerts.mutes(now_ns) if (one.rule, one.where) != (rule, place)
        ]
        self._keep([*others, mute])
        self.alerts.mute(mute)
        self._tell(MUTED, told_muted(mute))

    def _unmute(self, wanted: Wanted, by: str, now_ns: int) -> None:
        rule, place = _subject(wanted)
        mutes = self.alerts.mutes(now_ns)
        others = [one for one in mutes if (one.rule, one.where) != (rule, place)]
        if len(others) == len(mutes):
            raise ValueError(f"expected a mute, found none of {rule} of {place}")
        self._keep(others)
        self.alerts.unmute(rule, place)
        self._tell(UNMUTED, told_unmuted(rule, place, by))

    def _keep(self, mutes: list[Mute]) -> None:
        write(self._file, [mute._asdict() for mute in mutes])


def write(file: Path, value: Any) -> None:
    """Replace a file at one stroke: whoever reads it finds the old or the new one, whole."""
    new = file.with_suffix(".new")
    with new.open("w", encoding="utf-8") as opened:
        json.dump(value, opened, indent=1)
        opened.flush()
        os.fsync(opened.fileno())
    new.replace(file)


def _mute(one: dict[str, Any]) -> Mute:
    return Mute(*_subject(one), one["until_ns"], _by(one))


def _by(wanted: Wanted) -> str:
    return _fitting(wanted.get("by") or SOMEBODY, BY, "a name")


def _subject(wanted: Wanted) -> tuple[str, str]:
    rule = _fitting(wanted["rule"], RULE, "the name of a rule")
    return rule, _fitting(wanted["where"], PLACE, "a place such as binance:BTC-USDT, or *")


def _fitting(given: Any, pattern: re.Pattern[str], what: str) -> str:
    if not isinstance(given, str) or not pattern.fullmatch(given):
        raise ValueError(f"expected {what}, found {str(given)[:80]!r}")
    return given
