"""How numbers on a page are read as text and compared with exact ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from support.page_reader import number


def same(found: Any, expected: Any) -> bool:
    """Whether two numbers are the same but for the last bits of a sum; no number is NaN."""
    known = [
        math.nan if value is None or value == "NaN" else float(value) for value in (found, expected)
    ]
    if any(map(math.isnan, known)):
        return all(map(math.isnan, known))
    return math.isclose(*known, rel_tol=1e-12, abs_tol=1e-12)


def differ(what: str, found: Any, expected: Any) -> Iterator[str]:
    """Say so if a number or a text is not exactly what was expected."""
    numbers = (int, float, type(None))
    if isinstance(found, numbers) and isinstance(expected, numbers):
        if same(found, expected):
            return
    elif found == expected:
        return
    yield f"{what}: found {found}, SQL has {expected}"


def near(what: str, found: float | None, expected: float | None, close: float) -> Iterator[str]:
    """Say so if a rounded number is further from what was expected than rounding takes it."""
    known = [math.nan if value is None else float(value) for value in (found, expected)]
    if all(map(math.isnan, known)) or abs(known[0] - known[1]) <= close:
        return
    yield f"{what}: found {found}, SQL has {expected}"


def age_ms(text: str) -> float | None:
    """Read an age as the page writes it."""
    value = number(text)
    if value is None or text.endswith("ms"):
        return value
    return value * 1000


def numbers_of(title: str) -> dict[str, float]:
    """Read what a cell of the minutes says when hovered: `14:05: 3 losses, 1.5 s stale`."""
    words = title.partition(": ")[2].split(", ")
    found = {}
    for word in filter(None, words):
        value, *names = word.split()
        found[names[-1]] = float(value.replace(",", ""))
    return found
