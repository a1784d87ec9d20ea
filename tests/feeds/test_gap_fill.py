"""Trades that a gap lost are had by REST: each once, with its own time, and told of by a row."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from support.faulty import RATE, Recorded, Row, Run, collecting, plain
from support.side_by_side import done, judging, side_by_side
from support.tap import Asked, Tap

from monitor import recordings
from monitor.rows.batches import BACKFILL, DUPLICATE, GAP, LATE
from monitor.rows.batches import REST as BY_REST
from monitor.simulate import Simulator

__all__ = ["done"]

VENUES = ("binance", "kraken", "coinbase", "coinbase-exchange")
# Ids of trades count up by one, so that each loss is a row of its own.
NUMBERED = ("binance", "kraken", "coinbase-exchange")
INSTRUMENTS = 2
SETTINGS = 'mode = "ws"'
# How exactly REST tells the time of a trade: Kraken's is a fraction of seconds in a double.
EXACT_NS = {"binance": 1000, "kraken": 1000}
# A loss at the most twice a second keeps within what Kraken's REST may be asked.
FAULTS = {"gap": "gap:0.02", "reset": "reset@4"}
FILLS, RESETS = 3, 2
PATIENCE_S = 90.0


class Filled(NamedTuple):
    """A recording, the exchange's own trades by venue and symbol, and the REST requests made."""

    folder: Path
    recorded: Recorded
    made: dict[tuple[str, str], list[Row]]
    asked: Sequence[Asked] = ()


def lose(folder: Path, fault: str) -> Filled:
    """Let trades be lost, until no more are missing."""
    flags = ["--raw"]
    with collecting(
        folder, [FAULTS[fault]], VENUES, "+trade", SETTINGS, instruments=INSTRUMENTS, flags=flags
    ) as run:

        def lost() -> bool:
            found = Counter(row["venue"] for row in run.statuses if row["kind"] == "filled")
            if fault == "gap":
                return all(found[venue] >= FILLS for venue in VENUES)
            return sum(found.values()) >= FILLS and all(
                counts[fault] >= RESETS for counts in run.injected().values()
            )

        run.until(lost, f"{fault}s that were filled", PATIENCE_S)
        run.calm()
        # Only a trade behind the last one that could be lost shows whether that was.
        last = {key: trades[-1]["trade_id"] for key, trades in run.made().items()}

        def is_beyond() -> bool:
            return all(max(map(int, run.trade_ids[key])) > last[key] for key in last)

        run.until(is_beyond, "a trade of every instrument after the faults", PATIENCE_S)
        run.until(lambda: is_whole(run), "no trade to be missing", PATIENCE_S)
        return Filled(folder, run.stop(), run.made())


def refuse(folder: Path) -> Filled:
    """Lose trades where REST gives everything but trades."""
    with (
        Simulator(VENUES, rate=RATE * len(VENUES), faults=[FAULTS["gap"]]) as simulator,
        Tap(simulator.port) as tap,
        Run(
            folder,
            simulator,
            VENUES,
            "+trade",
            SETTINGS,
            (simulator.port, tap.port),
            instruments=INSTRUMENTS,
        ) as run,
    ):
        tap.forbid(b"/trades?", b"/Trades?", b"/ticker?")

        def told() -> bool:
            found = {row["venue"] for row in run.statuses if row["kind"] == "filled"}
            return found == set(VENUES)

        run.until(told, "a gap of each venue that cannot be filled", PATIENCE_S)
        return Filled(folder, run.stop(), run.made(), tap.asked)


def leave(folder: Path) -> Filled:
    """Lose trades where nobody wants them filled."""
    settings = f"{SETTINGS}\ngap_fill = false"
    with collecting(folder, ["gap:0.1"], VENUES, "+trade", settings, instruments=1) as run:
        run.until(lambda: sum(r["kind"] == "gap" for r in run.statuses) >= 20, "gaps")
        return Filled(folder, run.stop(), run.made())


started = side_by_side(
    {
        "gap": lambda folder: lose(folder, "gap"),
        "reset": lambda folder: lose(folder, "reset"),
        "refused": refuse,
        "left": leave,
    }
)


def is_whole(run: Run) -> bool:
    """Tell whether no trade is missing, and each gap of trades has its sequel."""
    for found in run.trade_ids.values():
        ids = {int(trade_id) for trade_id in found}
        if len(ids) < max(ids) - min(ids) + 1:
            return False
    in_numbered = [row for row in run.statuses if row["venue"] in NUMBERED]
    kinds = Counter(row["kind"] for row in in_numbered if row["channel"] == "trade")
    return kinds["filled"] == kinds["gap"]


def filled(of: Filled) -> list[Row]:
    return [row for row in of.recorded.rows["status"] if row["kind"] == "filled"]


@judging("gap", "reset")
def test_every_trade_that_the_exchange_made_is_recorded_once(done: Filled) -> None:
    for (venue, symbol), trades in done.made.items():
        rows = done.recorded.of("trade", venue, symbol)
        once = [row for row in rows if not row["flags"] & DUPLICATE]
        found = {int(row["trade_id"]): row for row in once}
        assert len(found) == len(once)
        own = [trade for trade in trades if min(found) <= trade["trade_id"] <= max(found)]
        # Ids count up by one: none is missing before those that the exchange remembers either.
        expected = [*range(min(found), own[0]["trade_id"]), *(trade["trade_id"] for trade in own)]
        assert sorted(found) == expected, (venue, symbol)
        for trade in own:
            row = found[trade["trade_id"]]
            assert (row["price"], row["size"]) == (float(trade["price"]), float(trade["size"]))
            assert row["side"] == trade["side"]


@judging("gap", "reset")
def test_a_filled_trade_is_flagged_and_has_its_own_time(done: Filled) -> None:
    own = {key: {trade["trade_id"]: trade for trade in made} for key, made in done.made.items()}
    late = compared = 0
    for row in done.recorded.rows["trade"]:
        if not row["flags"] & BACKFILL:
            continue
        assert row["flags"] & (BACKFILL | BY_REST | GAP | DUPLICATE | LATE) == BACKFILL | BY_REST
        known = own[row["venue"], row["symbol"]]
        late += 1
        if int(row["trade_id"]) < min(known):
            continue
        trade = known[int(row["trade_id"])]
        assert abs(row["ts_event"] - trade["at_ns"]) < EXACT_NS.get(row["venue"], 1)
        assert row["ts_recv"] > trade["at_ns"]
        compared += 1
    assert late >= FILLS
    assert compared


@judging("gap", "reset")
def test_live_trades_are_judged_as_if_nothing_had_been_filled(done: Filled) -> None:
    for venue, symbol in done.made:
        if venue not in NUMBERED:
            continue
        rows = done.recorded.of("trade", venue, symbol)
        live = {int(r["trade_id"]) for r in rows if not r["flags"] & BACKFILL}
        told = sum(
            r["count"] for r in done.recorded.statuses(venue, "gap") if r["symbol"] == symbol
        )
        assert told == max(live) - min(live) + 1 - len(live)
        assert not done.recorded.statuses(venue, "late")
        assert not done.recorded.statuses(venue, "duplicate")


@judging("gap", "reset")
def test_each_gap_has_its_sequel_that_says_how_many_came(done: Filled) -> None:
    of_trades = [row for row in done.recorded.rows["status"] if row["channel"] == "trade"]
    gaps = Counter(
        (row["venue"], row["symbol"], row["count"]) for row in of_trades if row["kind"] == "gap"
    )
    told: Counter[tuple[str, str, int]] = Counter()
    for row in filled(done):
        assert (row["scope"], row["got"], row["count"]) == ("channel", row["expected"], row["got"])
        assert row["detail"].startswith(f"{row['got']} of {row['got']} missing trades (")
        told[row["venue"], row["symbol"], row["count"]] += row["venue"] in NUMBERED
    assert +told == gaps
    backfilled = sum(bool(row["flags"] & BACKFILL) for row in done.recorded.rows["trade"])
    assert backfilled == sum(row["count"] for row in filled(done))


@judging("gap")
def test_what_is_replayed_or_decoded_anew_is_what_was_recorded(done: Filled) -> None:
    (listed,) = recordings.catalogue(done.folder)

    def monitor(*arguments: str) -> str:
        command = [sys.executable, "-m", "monitor.cli", *arguments]
        command += ["--recordings", str(done.folder)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return ran.stdout

    replayed = monitor("replay", listed["id"], "--speed", "max", "--digest").split()[-1]
    assert replayed == listed["digest"]
    monitor("ingest", listed["id"], "--recording", "again")
    with recordings.open_recording(done.folder, "again") as opened:
        batches = list(opened.batches())
    again = [row for batch in batches for row in plain(batch["trade"])]
    own = ("ord", "conn")
    key = [{k: v for k, v in row.items() if k not in own} for row in done.recorded.rows["trade"]]
    assert sorted(map(str, key)) == sorted(
        str({k: v for k, v in row.items() if k not in own}) for row in again
    )
    told = [row for batch in batches for row in plain(batch["status"]) if row["kind"] == "filled"]
    assert sorted(row["detail"] for row in told) == sorted(row["detail"] for row in filled(done))


@judging("refused")
def test_what_cannot_be_had_is_told_with_the_reason(done: Filled) -> None:
    assert {row["venue"] for row in filled(done)} == set(VENUES)
    for row in filled(done):
        assert (row["got"], row["count"]) == (0, 0)
        assert row["expected"] >= 1
        start, _, why = row["detail"].partition("): ")
        assert start.startswith(f"0 of {row['expected']} missing trades (")
        assert "found 403" in why or why == "stopped on request"
    assert not any(row["flags"] & BACKFILL for row in done.recorded.rows["trade"])


@judging("refused")
def test_what_a_request_is_for_does_not_go_over_the_wire(done: Filled) -> None:
    lines = [asked.head.partition(b"\r\n")[0] for asked in done.asked]
    assert any(b"/trades?" in line for line in lines)
    assert not any(b"#" in line or b"fill=" in line for line in lines)


@judging("left")
def test_nothing_is_filled_where_that_is_not_wanted(done: Filled) -> None:
    assert filled(done) == []
    assert not any(row["flags"] & BACKFILL for row in done.recorded.rows["trade"])
