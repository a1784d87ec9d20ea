"""The page's state as the query of its address: what a link brings back, and nothing that acts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

LIVE = "live"


class State(NamedTuple):
    """What of a page its address tells; the theme and the zone of times are the `Look`'s.

    `source` is `live`, or the ids of recordings joined by commas; `at_s` is a replay's position.
    """

    layout: str = ""
    instrument: str = ""
    source: str = LIVE
    speed: str = ""
    # What the editor is filled with; it never runs by itself.
    sql: str = ""
    at_s: float = 0.0


def parse(arguments: Mapping[str, Sequence[bytes]]) -> State:
    """Read a query; what is missing or makes no sense is left as it would be without one."""
    told = {
        name: values[0].decode(errors="replace") for name, values in arguments.items() if values
    }
    try:
        at_s = float(told.get("at", "0"))
    except ValueError:
        at_s = 0.0
    return State(
        told.get("layout", ""),
        told.get("instrument", ""),
        told.get("source", LIVE) or LIVE,
        told.get("speed", ""),
        told.get("sql", ""),
        at_s if 0 <= at_s < float("inf") else 0.0,
    )


def query(state: State, theme: str, zone: str) -> str:
    """Write the query of an address; what is as ever is left out."""
    told = {"layout": state.layout, "instrument": state.instrument}
    if state.source != LIVE:
        told |= {"source": state.source, "speed": state.speed}
        if state.at_s:
            told["at"] = f"{state.at_s:g}"
    told |= {
        "sql": state.sql,
        "theme": "" if theme == "dark" else theme,
        "tz": "" if zone == "UTC" else zone,
    }
    return "?" + urlencode({name: value for name, value in told.items() if value}, safe="/,")
