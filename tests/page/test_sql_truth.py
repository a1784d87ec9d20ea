"""What the page is held against counts rightly itself, in recordings that lack some rows."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import pytest
from support import sql_truth as truth
from support.made_recording import Made
from support.page_reader import Shown
from support.page_truth import Truth

from monitor.hub.hub import Hub

SOURCE = ("binance", "BTC-USDT")
BID, ASK = ("bid", 1.0, 1.0), ("ask", 2.0, 1.0)


def tables(made: Made) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    for kind in truth.KINDS:
        rows = made.batch()[kind]
        con.register("rows", rows)
        con.execute(f"CREATE TABLE {kind} AS FROM rows")
    return con


@pytest.fixture
def told_nothing() -> Made:
    """Three quotes and two changes of the book in one message; nobody says how the source is."""
    made = Made()
    for at in range(3):
        made.quote(at * 0.3, BID, ASK, "native")
    made.change(1.0, [BID, ASK])
    return made


def test_updates_are_counted_where_no_row_tells_a_state(told_nothing: Made) -> None:
    with tables(told_nothing) as con:
        assert truth.number(con, "updates", told_nothing.order) == {SOURCE: 4}
        # The message is of the tenth of a second that is not over yet.
        assert truth.number(con, "updates_s", told_nothing.order) == {SOURCE: 3}
    hub = Hub()
    hub(told_nothing.batch())
    (source,) = hub.sources()
    assert (hub.updates, source.updates) == (4, 4)


@pytest.mark.parametrize(
    ("say", "differences"),
    [
        (lambda made: None, []),
        (lambda made: made.depth(1.1, [BID, ASK]), ["ladder: found none, SQL has a book"]),
    ],
)
def test_a_page_may_lack_a_ladder_where_there_is_no_book_alone(
    told_nothing: Made, say: Callable[[Made], object], differences: list[str]
) -> None:
    say(told_nothing)
    shown = Shown(told_nothing.order, "Micro-structure", "", [], True, {}, [], [])
    with tables(told_nothing) as con:
        found = Truth(con, told_nothing.order, is_silent=False)._ladder(shown, SOURCE)
        assert list(found) == differences
