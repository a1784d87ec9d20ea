"""Alerts in the collector: rules in force, actions of operators, and what a restart keeps."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from monitor.settings import NAME, AlertRule, Rule, rules_of
from monitor.state import (
    ACKNOWLEDGED,
    MUTED,
    UNMUTED,
    Alerts,
    Mute,
    told_acknowledged,
    told_muted,
    told_unmuted,
)

MUTES_FILE, RULES_FILE = "mutes.json", "rules.json"
MOST_RULES = 100
LONGEST_MUTE_S = 7 * 86_400
# The operator's name without users.
SOMEBODY = "operator"
BY = re.compile(NAME)
RULE, PLACE = re.compile(r"[^:\x00-\x1f]{1,60}"), re.compile(r"\S{1,200}")

Wanted = dict[str, Any]


class Alerting:
    """Operators' actions on alerts: recorded by `tell` (kind, detail), and kept in files.

    The rules in force are the `fixed` ones of the configuration, and the added ones.
    """

    def __init__(
        self, folder: Path, tell: Callable[[str, str], None], fixed: Sequence[Rule] = ()
    ) -> None:
        self.alerts = Alerts()
        # Called when the rules change.
        self.on_rules: Callable[[Sequence[Rule]], None] = lambda rules: None
        self._fixed = fixed
        self._file, self._rules_file = folder / MUTES_FILE, folder / RULES_FILE
        self._tell = tell
        self._added = self._read_rules()
        self._lock = threading.Lock()

    @property
    def rules(self) -> list[Rule]:
        return [*self._fixed, *self._added]

    def described(self) -> list[dict[str, Any]]:
        """Return the rules in force as in the file, and whether operators may change each."""
        return [
            {"rule": _written(rule), "title": rule.title, "is_fixed": at < len(self._fixed)}
            for at, rule in enumerate(self.rules)
        ]

    def restore(self, now_ns: int) -> None:
        """Restore the mutes that still hold; record them in the new recording too."""
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
        """Acknowledge, mute or unmute; ValueError says in one line what is wrong."""
        actions: dict[Any, Callable[[Wanted, str, int], None]] = {
            "acknowledge": self._acknowledge,
            "mute": self._mute,
            "unmute": self._unmute,
            "save_rule": self._save_rule,
            "remove_rule": self._remove_rule,
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
            # Whole seconds, as in the row.
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

    def _save_rule(self, wanted: Wanted, by: str, now_ns: int) -> None:
        """Add a rule, or replace the one titled `replaces`."""
        (rule,) = rules_of([wanted["rule"]])
        replaces = wanted.get("replaces")
        at = self._place(replaces) if replaces else len(self._added)
        others = [one.title for one in self.rules if not replaces or one.title != replaces]
        if rule.title in others:
            raise ValueError(f"expected a name of its own, found another rule {rule.title!r}")
        if len(self._added) >= MOST_RULES and not replaces:
            raise ValueError(f"expected at most {MOST_RULES} rules from the page, found one more")
        added = [*self._added]
        added[at : at + 1] = [rule]
        self._change(added)
        what = f"{replaces} became {rule.title}" if replaces else f"{rule.title} added"
        self._tell("rules_changed", f"{what}, by {by}")

    def _remove_rule(self, wanted: Wanted, by: str, now_ns: int) -> None:
        at = self._place(wanted["title"])
        title = self._added[at].title
        self._change([*self._added[:at], *self._added[at + 1 :]])
        self._tell("rules_changed", f"{title} removed, by {by}")

    def _place(self, title: Any) -> int:
        found = [at for at, rule in enumerate(self._added) if rule.title == title]
        if not found:
            raise ValueError(f"expected a rule that was added here, found {str(title)[:80]!r}")
        return found[0]

    def _change(self, added: list[AlertRule]) -> None:
        write(self._rules_file, [_written(rule) for rule in added])
        self._added = added
        self.on_rules(self.rules)

    def _read_rules(self) -> list[AlertRule]:
        try:
            return rules_of(json.loads(self._rules_file.read_text()))
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            self._tell("rules_unread", f"expected rules in {self._rules_file.name}, found {error}")
            return []

    def _keep(self, mutes: list[Mute]) -> None:
        write(self._file, [mute._asdict() for mute in mutes])


def write(file: Path, value: Any) -> None:
    """Replace a file atomically: a reader finds the whole old or the whole new one."""
    new = file.with_suffix(".new")
    with new.open("w", encoding="utf-8") as opened:
        json.dump(value, opened, indent=1)
        opened.flush()
        os.fsync(opened.fileno())
    new.replace(file)


def _written(rule: Rule) -> dict[str, Any]:
    return rule.model_dump(exclude_defaults=True)


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
