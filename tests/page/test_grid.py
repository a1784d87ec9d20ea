"""What the watch-list sends to a browser: cells that changed, and of the sparkline what is new."""

from __future__ import annotations

import copy
from typing import Any

from support.views import HERE, Rows, fed

from monitor.hub.hub import Hub
from monitor.page.views.grid import MIDS_AT, changed, grid_rows
from monitor.state.source_state import MIDS

SECONDS = MIDS + 10


def take(rows: list[list[Any]], told: dict[str, Any]) -> None:
    """Do as the browser does with a message."""
    for at, values in told.get("mids", []):
        rows[at][MIDS_AT] = [*rows[at][MIDS_AT], *values][-MIDS:]
    for at, column, value in told.get("cells", []):
        rows[at][column] = value


def second(make: Rows, number: int, bid: float | None) -> list[Any]:
    """A quote in the middle of a second, and the count at its end."""
    quote = {"bid": bid, "ask": bid and bid + 1, "origin": "native"}
    return [
        make("quote", number + 0.5, **quote),
        make("stat", number + 1, channel="quote", rows=1, gaps=0),
    ]


def test_of_the_sparkline_only_the_new_mid_is_sent() -> None:
    make, seen, sent = Rows(), [], []
    rows = [row for n in range(SECONDS) for row in second(make, n, None if n == 7 else 100.0 + n)]
    for hub in fed(rows, SECONDS):
        now = grid_rows(hub)
        if seen:
            told = changed(seen, now)
            sent.append(told.get("mids"))
            assert MIDS_AT not in [column for _, column, _ in told.get("cells", [])]
            take(seen, told)
        else:
            seen = copy.deepcopy(now)
        assert seen == now
    assert sent == [
        [(0, [None if number == 7 else 100.5 + number])] for number in range(1, SECONDS)
    ]
    assert len(seen[0][MIDS_AT]) == MIDS
    assert seen[0][:2] == list(HERE)


def hub_of(seconds: int, first: float) -> Hub:
    make = Rows()
    rows = [row for number in range(seconds) for row in second(make, number, first + number)]
    return list(fed(rows, seconds))[-1]


def test_mids_of_another_time_are_sent_whole() -> None:
    told = changed(grid_rows(hub_of(20, 100.0)), grid_rows(hub_of(3, 7.0)))
    assert "mids" not in told
    assert [value for _, column, value in told["cells"] if column == MIDS_AT] == [[7.5, 8.5, 9.5]]


def test_several_seconds_at_once_are_sent_together() -> None:
    told = changed(grid_rows(hub_of(5, 100.0)), grid_rows(hub_of(7, 100.0)))
    assert told["mids"] == [(0, [105.5, 106.5])]
