"""Faults on request: `NAME:probability`, or `NAME@seconds` for one every so many seconds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

# What befalls a message of data, what befalls a connection, what a request is answered with,
# and what befalls a chain or its index.
MESSAGE = ("gap", "duplicate", "reorder", "corrupt", "crc", "slice", "fragment")
LINE = ("reset", "half-open", "life")
HTTP = ("http-429", "http-418", "http-451", "http-403")
CHAIN = ("head-back", "reorg", "graphql-error")
NAMES = (*MESSAGE, *LINE, "flap", *HTTP, *CHAIN, "tls")
# A venue that gives notice of its shutdown does so this share of a timed life before its end.
NOTICE_SHARE, NOTICE_MAX_S = 0.4, 10.0


class Fault(NamedTuple):
    """A fault to inject: with a probability each time it could, or once every `every_s`.

    Message faults (`gap` … `fragment`) and line faults (`reset`, `half-open`, `life`) are drawn per
    message of data, or timed from the connection's start; answers are spared. `flap` cuts a new
    connection at its first request, or takes the whole exchange down and up again every so many
    seconds. The `http-` ones befall any request, a WebSocket's opening one too; they are timed from
    the exchange's start, for each venue by itself. So is `tls`, for all venues together: a
    handshake with a certificate that a client must refuse.
    With `tls` the whole port speaks TLS. `head-back` befalls an answer that tells of the chain's
    head, `reorg` a new block, `graphql-error` a GraphQL answer.
    """

    name: str
    probability: float | None
    every_s: float | None


def parse(text: str) -> Fault:
    """Read a fault; ValueError says what was expected and what was found."""
    separator = ":" if ":" in text else "@"
    name, _, value = text.partition(separator)
    if name not in NAMES:
        raise ValueError(f"expected a fault of {', '.join(NAMES)}, found {name!r}")
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"expected {name}:probability or {name}@seconds, found {text!r}") from None
    if separator == ":":
        if not 0 <= number <= 1:
            raise ValueError(f"expected a probability from 0 to 1, found {value!r}")
        return Fault(name, number, None)
    if not 0 < number < float("inf"):
        raise ValueError(f"expected seconds above 0, found {value!r}")
    return Fault(name, None, number)


class Dice:
    """Decides which faults strike, and when; one for each connection."""

    def __init__(self, faults: Sequence[Fault], seed: str, start_s: float) -> None:
        self._random = random.Random(seed)
        self._chances = [(f.name, f.probability) for f in faults if f.probability is not None]
        self._timed = [(f.name, f.every_s) for f in faults if f.every_s is not None]
        self._due_s = [start_s + every_s for _, every_s in self._timed]

    def __bool__(self) -> bool:
        return bool(self._chances or self._timed)

    def calm(self) -> None:
        """Let no fault strike from now on."""
        self._chances, self._timed, self._due_s = [], [], []

    def drawn(self, names: Sequence[str]) -> str | None:
        """Return a fault of `names` that strikes by its probability."""
        for name, probability in self._chances:
            if name in names and self._random.random() < probability:
                return name
        return None

    def due(self, names: Sequence[str], now_s: float) -> str | None:
        """Return a fault of `names` whose time has come; it is due again one period later."""
        for at, (name, every_s) in enumerate(self._timed):
            if name in names and now_s >= self._due_s[at]:
                self._due_s[at] = now_s + every_s
                return name
        return None

    def is_near(self, name: str, now_s: float) -> bool:
        """Tell whether a timed fault is about to strike."""
        return any(
            name == timed and now_s >= due_s - min(every_s * NOTICE_SHARE, NOTICE_MAX_S)
            for (timed, every_s), due_s in zip(self._timed, self._due_s, strict=True)
        )

    def strikes(self, names: Sequence[str], now_s: float) -> str | None:
        """Return a fault of `names` that strikes now."""
        return self.due(names, now_s) or self.drawn(names)

    def below(self, bound: int) -> int:
        return self._random.randrange(bound)


def only(faults: Sequence[Fault], names: Sequence[str]) -> list[Fault]:
    """Keep the faults of these names that can ever strike."""
    return [fault for fault in faults if fault.name in names and fault.probability != 0]


def is_down(faults: Sequence[Fault], since_start_s: float) -> bool:
    """Tell whether a timed `flap` has the exchange down; it starts up."""
    return any(
        fault.name == "flap" and fault.every_s and int(since_start_s / fault.every_s) % 2 == 1
        for fault in faults
    )


def speaks_tls(faults: Sequence[Fault]) -> bool:
    return bool(only(faults, ["tls"]))
