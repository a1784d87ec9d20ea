"""A real collector comes through what venues do of their own accord, no fault of the wire."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from support import fault_rules
from support.fault_proof import STREAM
from support.faulty import RATE, Recorded, Run, canonical, collecting
from support.recorded_books import compare, messages
from support.side_by_side import done, judging, side_by_side
from support.simulated_line import cue

from monitor.rows.batches import KEYFRAME, MAYBE_BAD_BOOK
from monitor.simulate import Simulator
from monitor.simulate.market import market
from monitor.simulate.market.listings import Listing, listings

__all__ = ["done"]

DEEP_LEVELS = 22_000
STATES = 4
KRAKENS, WALK = ("kraken", "kraken-v1"), ("maintenance", "post_only", "online")
EXCHANGE = "coinbase-exchange"


def take_stale_snapshots(folder: Path) -> Recorded:
    """Have the first book asked for come late and be older than the first change."""
    with Simulator(["binance"], rate=3 * RATE) as simulator:
        assert cue(simulator, "binance", "stale-snapshot") == 200
        with Run(folder, simulator, ["binance"], "+book", STREAM) as run:
            run.observe(STATES)
            return run.stop()


def walk_through_maintenance(folder: Path) -> Recorded:
    """Have both versions of Kraken tell of a maintenance and its end."""
    with collecting(folder, [], KRAKENS, "", STREAM) as run:
        run.until(run.has_data, "data")
        for step, status in enumerate(WALK):
            assert [cue(run.simulator, venue, status) for venue in KRAKENS] == [200, 200]

            def told(count: int = step + 2) -> bool:
                return len([r for r in run.statuses if r["kind"] == "system"]) == 2 * count

            run.until(told, f"{status} of both")
        return run.stop()


def read_too_slow(folder: Path) -> Recorded:
    """Be closed as one who reads too slow, and have data again."""
    with collecting(folder, [], [EXCHANGE], "", STREAM) as run:
        run.until(run.has_data, "data")
        assert cue(run.simulator, EXCHANGE, "slow-consumer") == 200
        run.until(lambda: [r for r in run.statuses if r["kind"] == "disconnected"], "an end")
        run.until(run.has_data, "data again")
        run.observe(STATES)
        return run.stop()


RUNS: dict[str, Callable[[Path], Recorded]] = {
    "stale-snapshot": take_stale_snapshots,
    "walk": walk_through_maintenance,
    "slow-consumer": read_too_slow,
}
started = side_by_side(RUNS)


def test_a_snapshot_of_five_megabytes_is_a_book_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_bitcoin(venue: str) -> list[Listing]:
        return listings(venue)[:1]

    monkeypatch.setattr(market, "listings", only_bitcoin)
    monkeypatch.setattr(market, "LEVELS", DEEP_LEVELS)
    monkeypatch.setattr(market, "LEVELS_MIN", DEEP_LEVELS - 40)
    monkeypatch.setattr(market, "LEVELS_MAX", DEEP_LEVELS + 40)
    folder = tmp_path / "recordings"
    with (
        Simulator(["coinbase"], rate=RATE) as simulator,
        Run(folder, simulator, ["coinbase"], "+book", STREAM, instruments=1) as run,
    ):
        run.until(run.has_data, "a book")
        run.observe(STATES)
        done = run.stop()
    assert fault_rules.recorded(done.rows["status"], "coinbase") == Counter()
    rows = done.of("book", "coinbase", "BTC-USD")
    (snapshot, *_) = messages(rows)
    assert len(snapshot.levels) > 2 * (DEEP_LEVELS - 50)
    books = compare(rows, done.observations, [], [])
    assert (books.unequal, books.difference) == (0, "")
    assert books.equal


@judging("stale-snapshot")
def test_a_book_that_comes_late_and_is_too_old_is_asked_for_again(done: Recorded) -> None:
    assert fault_rules.recorded(done.rows["status"], "binance") == Counter()
    for symbol in canonical("binance").values():
        rows = done.of("book", "binance", symbol)
        old, new, *_ = (m for m in messages(rows) if m.clears and not m.flags & KEYFRAME)
        first = next(row for row in rows if row["seq_first"] is not None and row["side"])
        assert old.flags & MAYBE_BAD_BOOK
        assert not new.flags & MAYBE_BAD_BOOK
        assert old.seq is not None
        assert old.seq + 1 < first["seq_first"]
        mine = [o for o in done.observations if o.symbol == symbol]
        books = compare([row for row in rows if row["ts_recv"] >= new.ts_recv], mine, [], [])
        assert (books.unequal, books.difference) == (0, "")
        assert books.equal


@judging("walk")
def test_a_maintenance_is_told_step_by_step_and_nothing_is_taken_for_lost(done: Recorded) -> None:
    for venue in KRAKENS:
        assert [r["detail"] for r in done.statuses(venue, "system")] == ["online", *WALK]
        assert fault_rules.recorded(done.rows["status"], venue) == Counter()


@judging("slow-consumer")
def test_who_is_closed_for_reading_too_slow_connects_again_and_says_why(done: Recorded) -> None:
    (row,) = done.statuses(EXCHANGE, "disconnected")
    assert row["detail"].endswith("1008 ErrSlowConsume")
    wanted = fault_rules.due_of_lines(EXCHANGE, "reset", 1, canonical(EXCHANGE).values())
    assert fault_rules.problems(wanted, fault_rules.recorded(done.rows["status"], EXCHANGE)) == []


@pytest.mark.parametrize(
    ("venue", "name", "expected"),
    [
        ("kraken", "lunch", "a cue of online, maintenance, post_only, cancel_only, found 'lunch'"),
        ("mock", "online", "a venue that takes cues, found 'online'"),
    ],
)
def test_a_cue_that_a_venue_does_not_know_is_refused(venue: str, name: str, expected: str) -> None:
    with Simulator(["kraken", "mock"]) as simulator:
        assert cue(simulator, venue, name) == 404
        url = simulator.http_url("_simulate/cue")
        params = {"venue": venue, "cue": name}
        assert requests.post(url, params=params, timeout=10).text == f"expected {expected}\n"
        assert requests.get(url, params=params, timeout=10).status_code == 405
