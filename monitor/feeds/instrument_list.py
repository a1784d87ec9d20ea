"""Look a source up in its venue's instrument list, and suggest near names."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, NamedTuple

import pyarrow as pa

from monitor._rust_feed import Feed, Session
from monitor.feeds.rest import TIMEOUT_S, Answer, Rest
from monitor.rows import Source

CAPACITY_ROWS = 200_000
# Requests: the list, and what a venue needs before it.
MAX_ROUNDS = 4
MAX_PARTS = 16
NEAREST = 3
# How often to check whether the answer is still needed.
TICK_S = 0.1
CONN = 1


class Yielding(NamedTuple):
    """Sources that a source leaves instruments to, and sources that leave theirs to it."""

    to: Sequence[str] = ()
    others: Sequence[str] = ()


def check(
    source: Source, yielding: Yielding, channels: Sequence[str], setup: dict[str, Any], rest: Rest
) -> str:
    """Return a note if the list cannot be fetched, or if other sources have the same instruments.

    ValueError if the symbol is not in the list. A separate session decides, as that of a connection
    would; its rows are dropped.
    """
    answered: list[Answer] = []
    before: set[tuple[str, str | None]] = set()
    scratch = _Scratch(source, yielding, channels, setup, 0)
    unchecked = f"{source.venue}'s instrument list could not be fetched, so {source} is not checked"
    for _ in range(MAX_ROUNDS):
        asked = scratch.ask()
        if scratch.is_resolved:
            break
        for path, body in asked:
            if (path, body) in before:
                return f"{unchecked}: expected a list of instruments, found another answer"
            before.add((path, body))
            answer = _answer(rest, path, body)
            if answer.body is None:
                return f"{unchecked}: {answer.why or 'it wants to be left in peace'}"
            answered.append(answer)
            scratch.take(answer)
    if not scratch.refusal:
        return "; ".join(scratch.overlaps)
    for part in range(1, min(scratch.parts, MAX_PARTS)):
        other = _Scratch(source, Yielding(), channels, setup, part)
        for answer in answered:
            other.ask()
            other.take(answer)
        other.ask()
        scratch.names |= other.names
    names = {name.upper(): name for name in sorted(scratch.names)}
    near = get_close_matches(source.symbol.upper().replace("/", "-"), names, NEAREST, 0.5)
    told = f"; the nearest are {', '.join(names[name] for name in near)}" if near else ""
    raise ValueError(f"{scratch.refusal}{told}")


class _Scratch:
    """A session that polls the source and the whole list, and its statements about them."""

    def __init__(
        self,
        source: Source,
        yielding: Yielding,
        channels: Sequence[str],
        setup: dict[str, Any],
        part: int,
    ) -> None:
        self._source = source
        self._feed = Feed(CAPACITY_ROWS)
        yields = {
            source.symbol: yielding.to,
            "*": (),
            **{other: [source.symbol] for other in yielding.others},
        }
        wanted = [
            {"symbol": symbol, "channels": channels[:1], "yields_to": list(to)}
            for symbol, to in yields.items()
        ]
        options = {
            "name": source.venue,
            "sources": wanted,
            "live": True,
            "raw": False,
            "part": part,
            "interval_ms": 0,
            "setup": setup,
        }
        self._session = Session(self._feed, source.venue, json.dumps(options))
        self._has_begun = self.is_resolved = False
        self.parts, self.refusal = 1, ""
        self.names: set[str] = set()
        self.overlaps: list[str] = []

    def ask(self) -> list[tuple[str, str | None]]:
        """Return the session's next request."""
        actions = self._session.prepare()
        if not actions:
            if not self._has_begun:
                self._session.fall_back(CONN, time.time_ns(), "the list is asked for")
                self._has_begun = True
            actions = self._session.tick(time.time_ns())
            self._read()
        self.parts = max([self.parts, *(count for act, count in actions if act == "parts")])
        return [argument for act, argument in actions if act == "fetch"]

    def take(self, answer: Answer) -> None:
        assert answer.body is not None
        self._session.fetched(CONN, answer.path, answer.body, time.time_ns(), 0)

    def _read(self) -> None:
        kinds = self._feed.drain(0, 0) or {}
        rows = {kind: pa.record_batch(found).to_pylist() for kind, found in kinds.items()}
        self.names |= {row["symbol"] for row in rows.get("instrument", [])}
        for row in rows.get("status", []):
            if row["kind"] == "overlap":
                self.overlaps.append(row["detail"])
            if row["scope"] == "symbol":
                self.is_resolved = True
                if row["kind"] == "refused" and row["symbol"] == self._source.symbol:
                    self.refusal = row["detail"]


def _answer(rest: Rest, path: str, body: str | None) -> Answer:
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    rest.ask(path, body, answers.put)
    until_s = time.monotonic() + 2 * TIMEOUT_S
    while not rest.is_closed and time.monotonic() < until_s:
        with suppress(queue.Empty):
            return answers.get(timeout=TICK_S)
    return Answer(path, None, "fetch_failed", "expected an answer in time, found none")
