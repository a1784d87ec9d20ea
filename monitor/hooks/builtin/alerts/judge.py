"""When a rule fires and when it ends: hold time, hysteresis, cool-down."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np

from monitor.hooks.builtin.alerts.measures import measure
from monitor.hooks.builtin.alerts.observed import RECORDER, Sight, Subject
from monitor.hooks.builtin.alerts.tracks import widen
from monitor.settings import DiskSpace, Rule

NEVER = -(1 << 62)


class Verdict(NamedTuple):
    """The start or end of a rule's firing for a subject."""

    subject: Subject
    level: str
    value: float | None
    text: str


class Judge:
    """One rule over all subjects."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._measure = measure(rule)
        self._lower, self._upper = rule.band
        self._applies = np.zeros(0, np.bool_)
        # Since when the condition has held without a break, and when it last fired.
        self._since_ns, self._fired_ns = np.empty(0, np.int64), np.empty(0, np.int64)
        self._told = np.zeros(0, np.bool_)

    def look(self, sight: Sight) -> list[Verdict]:
        """Judge the present sample."""
        rule, now_ns = self.rule, sight.now_ns
        self._know(sight.subjects)
        low, high = self._measure(sight)
        broken = (high >= self._upper) | (low <= self._lower)
        whole = (low >= self._upper) | (high <= self._lower)
        holding = whole & (self._since_ns > NEVER)
        self._since_ns = np.where(broken, np.where(holding, self._since_ns, now_ns), NEVER)
        held = broken & (now_ns - self._since_ns >= rule.hold_s * 1e9)
        rested = now_ns - self._fired_ns >= rule.cooldown_s * 1e9
        fires = held & ~self._told & rested & self._applies
        near = (high >= self._upper * (1 - rule.clear)) | (low <= self._lower * (1 + rule.clear))
        ends = self._told & ~near
        if not fires.any() and not ends.any():
            return []
        self._fired_ns[fires] = now_ns
        self._told = (self._told | fires) & ~ends
        values = np.where(high >= self._upper, high, low)
        found = []
        for at in np.flatnonzero(fires | ends).tolist():
            value = None if np.isnan(values[at]) else float(values[at])
            level = rule.severity if fires[at] else "info"
            text = self._begins(value) if fires[at] else self._ends(value)
            found.append(Verdict(sight.subjects[at], level, value, text))
        return found

    def end(self, sight: Sight) -> list[Verdict]:
        """End its firings: the rule was removed."""
        text = f"{self.rule.title}: over, the rule was removed"
        told = np.flatnonzero(self._told).tolist()
        return [Verdict(sight.subjects[at], "info", None, text) for at in told]

    def _begins(self, value: float | None) -> str:
        if isinstance(self.rule, DiskSpace):
            return f"{self.rule.title}: less is free than is to be kept in reserve"
        is_high = value is not None and value >= self._upper
        limit = f"at or above {self._upper:g}" if is_high else f"at or below {self._lower:g}"
        held = f" for {self.rule.hold_s:g} s" if self.rule.hold_s else ""
        return f"{self.rule.title}: {_shown(value)} {self.rule.unit}, {limit}{held}"

    def _ends(self, value: float | None) -> str:
        now = "" if value is None else f", now {_shown(value)} {self.rule.unit}".rstrip()
        return f"{self.rule.title}: over{now}"

    def _know(self, subjects: list[Subject]) -> None:
        known = len(self._applies)
        if known == len(subjects):
            return
        applies = [
            subject == RECORDER
            if self.rule.of_recorder
            else subject != RECORDER and fnmatchcase(f"{subject[0]}:{subject[1]}", self.rule.match)
            for subject in subjects[known:]
        ]
        self._applies = np.append(self._applies, applies).astype(np.bool_)
        self._since_ns = widen(self._since_ns, len(subjects), NEVER)
        self._fired_ns = widen(self._fired_ns, len(subjects), NEVER)
        self._told = widen(self._told, len(subjects), 0)


def _shown(value: float | None) -> str:
    return "?" if value is None else f"{value:.6g}"
