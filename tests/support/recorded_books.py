"""Books folded from a recording's rows, held against the books that the exchange itself tells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from monitor.rows.batches import DUPLICATE, KEYFRAME, LAST

Sides = tuple[dict[float, float], dict[float, float]]


# The longest between a change of the exchange's book and the message that tells of it.
SENDING_NS = 250_000_000


class Observation(NamedTuple):
    """A book as the exchange told it, and when it was asked for, ns since 1970."""

    venue: str
    symbol: str
    asked_ns: int
    told: dict[str, Any]


class Message(NamedTuple):
    """The book rows of one message; `at_ns` is the venue's time of it, where it tells one."""

    ts_recv: int
    at_ns: int | None
    seq: int | None
    flags: int
    clears: bool
    levels: list[tuple[str, float, float]]


class Equality(NamedTuple):
    """How many observations the recorded book equals, how many not, and the first difference."""

    equal: int
    unequal: int
    difference: str


def messages(rows: Iterable[dict[str, Any]]) -> Iterator[Message]:
    """Group the rows of one instrument; the last row of a message carries LAST."""
    group: list[dict[str, Any]] = []
    at_ns = None
    for row in rows:
        group.append(row)
        if row["flags"] & LAST:
            # A keyframe has no time of its own: it tells of the state before it.
            at_ns = row["ts_event"] or row["ts_sent"] or at_ns
            clears = group[0]["side"] is None
            levels = [(r["side"], r["price"], r["size"]) for r in group[clears:]]
            yield Message(row["ts_recv"], at_ns, row["seq"], row["flags"], clears, levels)
            group = []


def compare(
    rows: Iterable[dict[str, Any]],
    observations: Iterable[Observation],
    losses_ns: Sequence[int],
    spoilt_ns: Sequence[int],
    best: int | None = None,
) -> Equality:
    """Fold an instrument's book and compare it at each observation that finds it at rest.

    It is not at rest from a loss to the next message, by which a loss can show at the earliest, and
    from when it is known to be bad to its next snapshot. `best` levels of a side count, or all.
    """
    folded = [message for message in messages(rows) if not message.flags & DUPLICATE]
    snapshots = [m.ts_recv for m in folded if m.clears and not m.flags & KEYFRAME]
    unrest = [_until(0, snapshots), *(_until(at_ns, snapshots) for at_ns in spoilt_ns)]
    for at_ns in losses_ns:
        # The exchange has changed its book by the time at which it loses the message of that.
        _, until_ns = _until(at_ns, [m.ts_recv for m in folded])
        unrest.append((at_ns - SENDING_NS, until_ns))
    wanted: dict[int, list[Observation]] = {}
    for observation in observations:
        at = _index(folded, observation)
        if at is not None and not any(a <= observation.asked_ns <= b for a, b in unrest):
            wanted.setdefault(at, []).append(observation)
    equal, differences = 0, []
    book: Sides = ({}, {})
    for at, message in enumerate(folded):
        _apply(book, message)
        for observation in wanted.get(at, ()):
            difference = _difference(book, observation.told, best)
            equal += not difference
            differences += [difference] if difference else []
    return Equality(equal, len(differences), next(iter(differences), ""))


def _until(start_ns: int, times_ns: Iterable[int]) -> tuple[int, float]:
    """Return the span from a moment to the first of these times behind it."""
    return start_ns, min((at_ns for at_ns in times_ns if at_ns >= start_ns), default=math.inf)


def _index(folded: Sequence[Message], observation: Observation) -> int | None:
    """Find the last message that belongs to the state observed; None if no message ends there."""
    sequence, changed_ns = observation.told["sequence"], observation.told["changed_ns"]
    if sequence is not None and any(m.seq is not None for m in folded):
        known = [at for at, m in enumerate(folded) if m.seq is not None and m.seq <= sequence]
        # A message of several changes passes over the states between them.
        return known[-1] if known and folded[known[-1]].seq == sequence else None
    until_ns = max(observation.asked_ns, changed_ns)
    known = [at for at, m in enumerate(folded) if m.at_ns is not None and m.at_ns <= until_ns]
    # A number that messages do not carry is one of changes that wait to be sent together.
    if known and sequence is not None and (folded[known[-1]].at_ns or 0) < changed_ns:
        return None
    return known[-1] if known else None


def _apply(book: Sides, message: Message) -> None:
    if message.clears:
        for side in book:
            side.clear()
    for name, price, size in message.levels:
        side = book[0 if name == "bid" else 1]
        if size:
            side[price] = size
        else:
            side.pop(price, None)


def _difference(book: Sides, told: dict[str, Any], best: int | None) -> str:
    """Return the first level in which two books differ, or nothing."""
    for side, name, sign in ((book[0], "bids", -1), (book[1], "asks", 1)):
        recorded = sorted(side.items(), key=lambda level: sign * level[0])
        own = [(float(price), float(size)) for price, size in told[name]]
        # What lies beyond the depth that the venue sends cannot be known.
        depth = len(own) if best is None else best
        for rank in range(depth):
            pair = [levels[rank] if rank < len(levels) else None for levels in (own, recorded)]
            if pair[0] != pair[1]:
                return f"expected {pair[0]} at rank {rank} of {name}, found {pair[1]}"
        if best is None and len(recorded) > len(own):
            return f"expected {len(own)} {name}, found {len(recorded)}"
    return ""
