"""Faults on request: `NAME:probability` per message, or `NAME@seconds` after the start, once."""

from __future__ import annotations

import random
from typing import NamedTuple

WIRE = ("gap", "duplicate", "reorder", "corrupt", "slice", "fragment", "reset", "half-open", "flap")
HTTP = ("http-429", "http-418", "http-451", "http-403")
NAMES = (*WIRE, *HTTP)


class Fault(NamedTuple):
    """A fault to inject: by chance at each message, or once `at_s` seconds after the start."""

    name: str
    chance: float | None
    at_s: float | None


def parse(text: str) -> Fault:
    """Read a fault; ValueError says what was expected and what was found."""
    for separator in ":@":
        name, found, value = text.partition(separator)
        if found:
            break
    if name not in NAMES:
        raise ValueError(f"expected a fault of {', '.join(NAMES)}, found {name!r}")
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"expected NAME:probability or NAME@seconds, found {text!r}") from None
    if separator == ":" and not 0 <= number <= 1:
        raise ValueError(f"expected a probability from 0 to 1, found {number:g}")
    return Fault(name, number, None) if separator == ":" else Fault(name, None, number)


class Faults:
    """Decides for each message which faults befall it."""

    def __init__(self, faults: list[Fault], seed: int) -> None:
        self._random = random.Random(seed)
        self._by_chance = {fault.name: fault.chance for fault in faults if fault.chance is not None}
        self._once = [(fault.at_s, fault.name) for fault in faults if fault.at_s is not None]

    def strike(self, names: tuple[str, ...], since_s: float) -> str | None:
        """Return the fault of `names` that befalls a message sent `since_s` after the start."""
        for due in self._once:
            if due[1] in names and since_s >= due[0]:
                self._once.remove(due)
                return due[1]
        for name in names:
            chance = self._by_chance.get(name)
            if chance is not None and self._random.random() < chance:
                return name
        return None
