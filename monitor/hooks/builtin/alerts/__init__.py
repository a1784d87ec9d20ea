"""The hook `alerts`: evaluate the alert rules every 100 ms of recorded time.

A signal is sent when a rule fires and another, of level `info`, when it ends. Its cause is the row
of the sample: a replay gives the same signals, whatever the batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from monitor.hooks.builtin.alerts.judge import Judge, Verdict
from monitor.hooks.builtin.alerts.observed import Sight
from monitor.rows import SCHEMAS, Batch
from monitor.settings import Rule


class State:
    """The observed values, and a judge for each rule."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.sight = Sight()
        self.rules = rules
        self.judges = [Judge(rule) for rule in rules]

    def change(self, rules: Sequence[Rule]) -> list[Verdict]:
        """Change the rules; remaining ones keep their state. Return the ends of removed ones."""
        left = self.judges
        self.rules, self.judges = rules, []
        for rule in rules:
            known = [at for at, judge in enumerate(left) if judge.rule == rule]
            self.judges.append(left.pop(known[0]) if known else Judge(rule))
        return [verdict for judge in left for verdict in judge.end(self.sight)]


class Hook:
    """Sends a signal when a rule fires or ends; without rules it does nothing."""

    name = "alerts"

    def __init__(self, rules: Sequence[Rule], origin: str) -> None:
        self._rules = rules
        self._origin = origin

    def change(self, rules: Sequence[Rule]) -> None:
        """Use other rules from the next sample on; any thread may call."""
        self._rules = rules

    def start(self) -> State:
        return State(self._rules)

    def step(self, state: State, batch: Batch) -> tuple[State, pa.RecordBatch | None]:
        rules = self._rules
        if not state.judges and not rules:
            return state, None
        found = []
        for cause, now_ns in state.sight.looks(batch):
            if state.rules is not rules:
                ends = state.change(rules)
                found += [self._signal(cause, now_ns, verdict) for verdict in ends]
            for judge in state.judges:
                # Not in the order of first appearance: that depends on the batches.
                verdicts = judge.look(state.sight)
                verdicts.sort(key=lambda verdict: [part or "" for part in verdict.subject])
                found += [self._signal(cause, now_ns, verdict) for verdict in verdicts]
        if not found:
            return state, None
        return state, pa.RecordBatch.from_pylist(found, schema=SCHEMAS["signal"])

    def _signal(self, cause: int, now_ns: int, verdict: Verdict) -> dict[str, Any]:
        venue, symbol = verdict.subject
        return {
            "ts_recv": now_ns,
            "venue": venue,
            "symbol": symbol,
            "conn": 0,
            "flags": 0,
            "cause_ord": cause,
            "hook": self.name,
            "level": verdict.level,
            "value": verdict.value,
            "text": verdict.text,
            "origin": self._origin,
        }
