"""Each number of Watch and Health equals SQL over the same rows, wherever batches are cut.

`MONITOR_NUMBERS_S` records for longer, `MONITOR_NUMBERS_SEED` cuts elsewhere.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any, NamedTuple

import duckdb
import pytest
from support import sql_truth as truth
from support.faulty import DEADLINE_S, Run, collecting

from monitor import recordings
from monitor.hub.hub import Hub
from monitor.page.views import trust
from monitor.page.views.grid import grid_rows
from monitor.rows.batches import Batch, concat
from monitor.rows.times import SECOND_NS
from monitor.state.incidents import ANSWER_NS

SECONDS = int(os.environ.get("MONITOR_NUMBERS_S", "9"))
SEED = int(os.environ.get("MONITOR_NUMBERS_SEED", "1"))
VENUES = ("binance", "kraken", "kraken-v1", "coinbase", "coinbase-exchange", "mock")
# Losses of messages, and losses of lines.
FAULTS = {
    "messages": ("gap@1.5", "crc@2", "corrupt@2.5", "duplicate@1", "reorder@1.2"),
    "lines": ("reset@3", "flap:0.2", "http-451@4.5", "http-429@3.5"),
}
# What must have happened, or there is nothing to compare.
MUST_TELL = {
    "messages": {"gap", "checksum", "crossed", "duplicate", "late", "filled", "undecodable"},
    "lines": {"failed", "disconnected", "rate_limited", "geo_blocked"},
}
LOOKS = 5
MOST_ROWS = 3_000


class Recorded(NamedTuple):
    whole: Batch
    con: duckdb.DuckDBPyConnection


@pytest.fixture(scope="module", params=FAULTS)
def recorded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recorded]:
    """Record the exchange with faults, and give its rows as a batch and as tables."""
    folder = tmp_path_factory.mktemp("numbers") / "recordings"
    with collecting(folder, FAULTS[request.param], VENUES, instruments=2) as run:
        run.until(lambda: run.now_ns, "rows")
        end_ns = run.now_ns + SECONDS * SECOND_NS
        run.until(lambda: run.now_ns > end_ns, "enough rows", SECONDS + DEADLINE_S)
        wanted = MUST_TELL[request.param]
        run.until(lambda: wanted <= _told(run), f"each of {wanted}")
        run.stop()
    (listed,) = recordings.catalogue(folder)
    with recordings.open_recording(folder, listed["id"]) as recording:
        whole = concat(list(recording.batches()))
    with duckdb.connect() as con:
        for kind in truth.KINDS:
            rows = whole[kind]
            con.register("rows", rows)
            con.execute(f"CREATE TABLE {kind} AS FROM rows")
        yield Recorded(whole, con)


def looks(recorded: Recorded) -> Iterator[tuple[int, Hub]]:
    """Feed a hub in batches cut anywhere; yield it now and then with the `ord` that it has come to.

    The last time is that of the last row.
    """
    choose = random.Random(SEED)
    first, last = recorded.whole.ords or (0, 0)
    hub, at = Hub(), first
    for end in [*sorted(choose.sample(range(first + MOST_ROWS, last), LOOKS)), last]:
        while at <= end:
            until = min(end + 1, at + choose.randint(1, MOST_ROWS))
            hub(recorded.whole.between(at, until))
            at = until
        yield end, hub


def known(values: dict[Any, Any]) -> dict[Any, Any]:
    """Return what is shown as a value, not as a dash."""
    return {key: value for key, value in values.items() if str(value) not in ("None", "nan", "")}


def counted(values: dict[Any, Any]) -> dict[Any, Any]:
    """Return what was counted at least once; SQL has no row for the others."""
    return {key: value for key, value in values.items() if value}


def approximately(values: Any) -> Any:
    numbers = all(isinstance(value, int | float) for value in values.values())
    return pytest.approx(values, rel=1e-9) if numbers else values


WATCHED = (
    *("state", "last", "updates", "updates_s", "age_ms"),
    *("latency_p50_ms", "latency_p99_ms", "losses", "book_health"),
)


def test_the_watch_list_equals_sql(recorded: Recorded) -> None:
    for end, hub in looks(recorded):
        sources = {(source.venue, source.symbol): source for source in hub.sources()}
        for name in WATCHED:
            shown = known({place: getattr(source, name) for place, source in sources.items()})
            wanted = known(dict(truth.number(recorded.con, name, end)))
            assert shown == approximately(wanted), f"{name} at {end}"


def test_the_cells_that_a_browser_gets_equal_sql(recorded: Recorded) -> None:
    for end, hub in looks(recorded):
        rows = grid_rows(hub)
        for column, name, digits in (
            (3, "last", 9),
            (7, "updates_s", 0),
            (10, "latency_p99_ms", 1),
        ):
            shown = known({(row[0], row[1]): row[column] for row in rows})
            wanted = truth.number(recorded.con, name, end)
            assert shown == known({of: round(value, digits) for of, value in wanted.items()})


def test_quotes_equal_sql(recorded: Recorded) -> None:
    for end, hub in looks(recorded):
        quotes = {(quote.venue, quote.symbol): quote for quote in hub.quotes()}
        for name in ("bid", "ask"):
            shown = known({place: getattr(quote, name) for place, quote in quotes.items()})
            assert shown == known(dict(truth.number(recorded.con, name, end))), f"{name} at {end}"


def test_the_lines_of_health_equal_sql_and_add_up_to_all_rows(recorded: Recorded) -> None:
    numbers: dict[str, Callable[[Any], float]] = {
        "own_losses": lambda counts: counts.losses,
        "duplicates": lambda counts: counts.duplicates,
        "late": lambda counts: counts.late,
        "stale_s": lambda counts: counts.stale_ns / SECOND_NS,
    }
    for end, hub in looks(recorded):
        for name, of in numbers.items():
            shown = counted({(one.venue, one.symbol): of(one.counts) for one in hub.totals()})
            wanted = counted(dict(truth.number(recorded.con, name, end)))
            assert shown == approximately(wanted), f"{name} at {end}"
    ((repeats, late),) = recorded.con.execute(
        "SELECT count(*) FILTER (kind = 'duplicate'), count(*) FILTER (kind = 'late') FROM status"
    ).fetchall()
    assert sum(one.counts.duplicates for one in hub.totals()) == repeats
    assert sum(one.counts.late for one in hub.totals()) == late


def test_the_table_of_health_shows_what_was_counted(recorded: Recorded) -> None:
    *_, (end, hub) = looks(recorded)
    wanted = {
        name: truth.number(recorded.con, name, end)
        for name in ("own_losses", "duplicates", "late", "stale_s")
    }
    shown = {}
    for line in re.findall("<tr>(<td>.*?)</tr>", trust.sources(hub)):
        first, *_, losses, repeats, late, stale, _, _ = (
            unescape(re.sub("<.*?>", "", cell)).strip()
            for cell in re.findall("<td>(.*?)</td>", line)
        )
        venue, _, symbol = first.partition(" ")
        shown[venue, None if symbol == "connection" else symbol] = losses, repeats, late, stale
    for place, cells in shown.items():
        counts = [
            f"{wanted[name].get(place, 0):,}" for name in ("own_losses", "duplicates", "late")
        ]
        stale = f"{wanted['stale_s'].get(place, 0):,.1f} s" if place[1] else "–"
        assert list(cells) == [*counts, stale], place
    assert {place for name in wanted for place in wanted[name]} <= shown.keys()


def test_the_minutes_of_health_equal_sql(recorded: Recorded) -> None:
    for end, hub in looks(recorded):
        minutes, _ = hub.quality()
        for name, statement in truth.MINUTES.items():
            shown = {}
            for (venue, symbol), of_place in minutes.items():
                for number, counts in of_place.items():
                    is_stale = name == "stale_s"
                    value = counts.stale_ns / SECOND_NS if is_stale else getattr(counts, name)
                    shown[venue, symbol, number] = value
            found = truth.rows(recorded.con, statement, end)
            wanted = {(venue, symbol, minute): value for venue, symbol, minute, value in found}
            assert counted(shown) == approximately(wanted), f"{name} at {end}"


def test_no_incident_calls_a_recorded_trade_lost(recorded: Recorded) -> None:
    """Of each gap the incident's words leave as many trades over as were not recorded."""
    for end, hub in looks(recorded):
        _, incidents = hub.quality()
        gaps = [one for one in incidents if one.kind == "gap" and one.outcome != "lasts"]
        gaps = [one for one in gaps if one.symbol and one.recovery != "book rebuilt"]
        found = truth.rows(recorded.con, truth.GAPS, end)
        assert len(gaps) == len(found)
        for incident, (venue, symbol, _, missing, there) in zip(gaps, found, strict=True):
            assert (incident.venue, incident.symbol) == (venue, symbol)
            left = re.search(r"([\d,]+) of [\d,]+ trades (?:missing|lost)", incident.recovery)
            if incident.outcome == "unknown":
                assert hub.now_ns < incident.began_ns + ANSWER_NS
                assert not left
            else:
                assert int(left[1] if left else 0) == missing - there, incident


def test_a_hub_that_is_given_status_and_stat_rows_alone_counts_the_same(recorded: Recorded) -> None:
    """A seek gives them again, without the data that lie before its window."""
    whole = Hub()
    whole(recorded.whole)
    told = Batch({kind: recorded.whole[kind] for kind in ("status", "stat", "clock")})
    alone = Hub()
    alone(told)
    assert alone.totals() == whole.totals()
    assert alone.quality() == whole.quality()


def _told(run: Run) -> set[str]:
    return {row[name] for row in run.statuses for name in ("kind", "state")}
