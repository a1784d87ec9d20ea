"""The ladder says when its book was so, and how much later the last quote came."""

from __future__ import annotations

import re

from support.views import HERE, Rows, fed

from monitor.page.views.ladder import Ladder

LEVELS = {"bid_prices": [10.0], "bid_sizes": [1.0], "ask_prices": [11.0], "ask_sizes": [2.0]}


def head(seconds: dict[str, float]) -> str:
    """Return the title of a ladder whose depth and quote came so many seconds after the start."""
    make = Rows()
    rows = [make("depth", seconds["depth"], **LEVELS)]
    rows += [make("quote", seconds["quote"], bid=10.0, ask=11.0, origin="native")]
    (hub,) = fed(sorted(rows, key=lambda row: row[1]["ts_recv"]))
    html = Ladder().html(hub, HERE)
    found = re.search("<h3>(.*)</h3>", html)
    assert found is not None
    return re.sub("<[^>]*>", "", found[1])


def test_the_ladder_tells_the_time_of_its_book() -> None:
    # The start is 2023-11-14 22:15:00 UTC.
    assert head({"depth": 1.25, "quote": 1.2}) == "Ladder 22:15:01.250"


def test_the_ladder_tells_that_a_later_quote_came() -> None:
    assert head({"depth": 1.25, "quote": 1.297}) == "Ladder 22:15:01.250 · quote 47 ms later"
