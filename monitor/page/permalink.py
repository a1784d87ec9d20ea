"""The state of the page as the query of its address; a link never acts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

LIVE = "live"
# No recording is as long, and a larger number would overflow a time in ns.
LONGEST_S = 1e9


class State(NamedTuple):
    """The state of a page in its address; theme and time zone belong to `Look`.

    `source` is `live`, or the ids of recordings joined by commas; `at_s` is a replay's position.
    """

    layout: str = ""
    instrument: str = ""
    source: str = LIVE
    speed: str = ""
    # The statement in the editor; it never runs by itself.
    sql: str = ""
    at_s: float = 0.0
    is_paused: bool = False
    # Start and end of the loop.
    loop_s: tuple[float, float] | None = None


def parse(arguments: Mapping[str, Sequence[bytes]]) -> State:
    """Parse a query; missing or senseless parts get their defaults."""
    told = {
        name: values[0].decode(errors="replace") for name, values in arguments.items() if values
    }
    return State(
        told.get("layout", ""),
        told.get("instrument", ""),
        told.get("source", LIVE) or LIVE,
        told.get("speed", ""),
        told.get("sql", ""),
        _seconds(told.get("at", "0")) or 0.0,
        told.get("paused") == "1",
        _loop(told.get("loop", "")),
    )


def query(state: State, theme: str, zone: str) -> str:
    """Return the query of an address, without defaults."""
    told = {"layout": state.layout, "instrument": state.instrument}
    if state.source != LIVE:
        told |= {"source": state.source, "speed": state.speed}
        if state.at_s:
            told["at"] = _text(state.at_s)
        if state.is_paused:
            told["paused"] = "1"
        if state.loop_s:
            told["loop"] = ",".join(_text(at_s) for at_s in state.loop_s)
    told |= {
        "sql": state.sql,
        "theme": "" if theme == "dark" else theme,
        "tz": "" if zone == "UTC" else zone,
    }
    return "?" + urlencode({name: value for name, value in told.items() if value}, safe="/,")


def _seconds(text: str) -> float | None:
    """Parse a time after the start, to the ms; None if it makes no sense."""
    try:
        found = float(text)
    except ValueError:
        return None
    return round(found, 3) if 0 <= found < LONGEST_S else None


def _loop(text: str) -> tuple[float, float] | None:
    first, last = (_seconds(part) for part in (*text.split(",", 1), "")[:2])
    return (first, last) if first is not None and last is not None and first < last else None


def _text(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".")
