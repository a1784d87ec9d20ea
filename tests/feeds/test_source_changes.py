"""Sources that are stopped, started, added and had in another way: each trade still counts once."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from support.faulty import BOOKLESS, RATE, Recorded, Row, Run, canonical, collecting
from support.side_by_side import done, judging, side_by_side
from support.tap import Tap

from monitor import recordings
from monitor.rows.batches import DUPLICATE
from monitor.rows.batches import REST as BY_REST
from monitor.simulate import Simulator
from monitor.state.incidents import ANSWER_NS, Incidents
from monitor.verify.verification import verify

__all__ = ["done"]

NUMBERED = ("binance", "kraken", "coinbase", "coinbase-exchange", "mock")
# Their streams number no trade.
NUMBERLESS = ("kraken-v1", "finnhub")
VENUES = (*NUMBERED, *NUMBERLESS)
LISTED = ("binance", "kraken", "kraken-v1", "coinbase", "coinbase-exchange")
INSTRUMENTS = 1
SETTINGS = "interval_s = 0.5"
FALLBACK_S = 2.0
PATIENCE_S = 90.0
SEEDS, ACTIONS = (1, 2), 12
# Venues tell times in ms or µs; Kraken's REST as a fraction of seconds in a double.
EXACT_NS = {"finnhub": 1_000_000, "kraken-v1": 2_000}


class Changed(NamedTuple):
    """A recording, and the exchange's own trades by venue and symbol."""

    folder: Path
    recorded: Recorded
    made: dict[tuple[str, str], list[Row]]


def sources(venues: Sequence[str], instruments: int = INSTRUMENTS) -> list[str]:
    return [
        f"{venue}:{symbol}{'' if venue in BOOKLESS else '+trade'}"
        for venue in venues
        for symbol in canonical(venue, instruments).values()
    ]


def renewed(run: Run, action: str, *wanted: str, mode: str | None = None) -> None:
    """Change sources, and wait for data of every instrument by a connection that is new."""
    before = max(conn for conn, _ in run.data.values())
    run.control(action, *wanted, mode=mode)

    def is_renewed() -> bool:
        followed = [(v, symbol) for v in run.venues for symbol in run.followed[v].values()]
        return all(run.data.get(key, (0, 0))[0] > before for key in followed)

    if action != "stop":
        run.until(is_renewed, f"data by new connections after {action} {mode}", PATIENCE_S)


def stop_and_start(folder: Path) -> Changed:
    with collecting(folder, (), VENUES, "+trade", SETTINGS, instruments=INSTRUMENTS) as run:
        run.until(run.has_data, "data")
        for _ in range(2):
            renewed(run, "stop")
            renewed(run, "start")
        made = run.made()
        return Changed(folder, run.stop(), made)


def change(folder: Path) -> Changed:
    """Add an instrument of each venue, have all by REST, and all by stream again."""
    with collecting(folder, (), VENUES, "+trade", SETTINGS, instruments=INSTRUMENTS) as run:
        run.until(run.has_data, "data")
        run.followed = {venue: canonical(venue, INSTRUMENTS + 1) for venue in VENUES}
        all_of_them = sources(VENUES, INSTRUMENTS + 1)
        renewed(run, "add", *all_of_them)
        renewed(run, "add", *all_of_them, mode="rest")
        renewed(run, "add", *all_of_them)
        # What was given out while connections changed is asked for.
        run.until(lambda: is_whole(run), "no trade to be missing", PATIENCE_S)
        made = run.made()
        return Changed(folder, run.stop(), made)


def follow_patterns(folder: Path) -> Changed:
    """Have one instrument of each venue by stream, and by REST a pattern that fits it too."""
    with collecting(folder, (), LISTED, "", SETTINGS, instruments=1) as run:
        run.until(run.has_data, "data")
        patterns = {
            venue: f"{venue}:*-{symbol.partition('-')[2]}"
            for venue in LISTED
            for symbol in run.followed[venue].values()
        }
        run.control("add", *patterns.values(), mode="rest")

        def has_others() -> bool:
            followed = Counter(venue for venue, _ in run.data)
            return all(followed[venue] > 2 for venue in LISTED)

        run.until(has_others, "data of the patterns' instruments", PATIENCE_S)
        run.until(run.has_data, "data of the streams")
        made = run.made()
        return Changed(folder, run.stop(), made)


def act_at_random(folder: Path, seed: int) -> Changed:
    """Stop, start, add, remove and switch sources by chance."""
    chance, venues = random.Random(seed), ("binance", "kraken", "coinbase", "coinbase-exchange")
    with collecting(folder, (), venues, "+trade", SETTINGS, instruments=INSTRUMENTS) as run:
        run.until(run.has_data, "data")
        is_stopped = False
        for _ in range(ACTIONS):
            venue = chance.choice(venues)
            first, *others = sources([venue], INSTRUMENTS + 1)
            pattern = f"{venue}:*-{first.rpartition('-')[2]}"
            act = chance.choice(("stop", "start", "add", "add", "add", "remove"))
            mode = chance.choice((None, "rest", "ws"))
            one = chance.choice((first, *others, pattern))
            if act == "remove":
                # Only what is followed can be removed.
                run.control("add", one)
            run.control(act, *([one] if act in ("add", "remove") else []), mode=mode)
            is_stopped = (is_stopped or act == "stop") and act != "start"
            before = sum(count for _, count in run.data.values())

            def goes_on(before: int = before) -> bool:
                return sum(count for _, count in run.data.values()) > before + 2

            if not is_stopped:
                run.until(goes_on, f"rows after {act} {one} {mode}", PATIENCE_S)
        run.control("start")
        run.until(run.has_data, "data")
        made = run.made()
        return Changed(folder, run.stop(), made)


def hold(folder: Path) -> Changed:
    """Let a line go silent without an end, and bring its data again."""
    settings = f"fallback_after_s = {FALLBACK_S}\n{SETTINGS}"
    with (
        Simulator(["binance"], rate=RATE) as simulator,
        Tap(simulator.port) as tap,
        Run(
            folder,
            simulator,
            ["binance"],
            "+trade",
            settings,
            (tap.port, simulator.port),
            instruments=1,
        ) as run,
    ):

        def told(kind: str) -> bool:
            return any(row["kind"] == kind for row in run.statuses)

        def rows() -> int:
            return sum(count for _, count in run.data.values())

        run.until(run.has_data, "data by stream")
        tap.hold()
        run.until(lambda: told("fallback"), "REST to take over")
        for _ in range(3):
            before = rows()
            run.until(lambda before=before: rows() > before, "data by REST")  # type: ignore[misc]
        tap.flow()
        run.until(lambda: told("handback"), "REST to hand back")
        before = rows()
        run.until(lambda: rows() > before, "data by stream again")
        made = run.made()
        return Changed(folder, run.stop(), made)


RANDOM = [f"random-{seed}" for seed in SEEDS]
started = side_by_side(
    {
        "stopped": stop_and_start,
        "changed": change,
        "patterns": follow_patterns,
        "held": hold,
        **{f"random-{seed}": partial(act_at_random, seed=seed) for seed in SEEDS},
    }
)


def is_whole(run: Run) -> bool:
    """Tell whether no trade is missing of those that venues number one by one."""
    for (venue, _), found in run.trade_ids.items():
        if venue in NUMBERED:
            ids = {int(trade_id) for trade_id in found}
            if len(ids) < max(ids) - min(ids) + 1:
                return False
    return True


def sql(folder: Path, query: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "monitor.cli", "sql", query, "--format", "json"]
    command += ["--recordings", str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found: list[dict[str, Any]] = json.loads(ran.stdout)
    return found


def counted(of: Changed, venue: str, symbol: str) -> list[Row]:
    rows = of.recorded.of("trade", venue, symbol)
    return [row for row in rows if not row["flags"] & DUPLICATE]


@judging("stopped", "changed", "patterns", "held", *RANDOM)
def test_each_trade_id_counts_once(done: Changed) -> None:
    found = sql(
        done.folder,
        "SELECT venue, symbol, count(*) AS trades, count(DISTINCT trade_id) AS ids FROM trade "
        "WHERE (flags & 512) = 0 AND trade_id IS NOT NULL GROUP BY ALL",
    )
    assert {row["venue"] for row in found} >= {key[0] for key in done.made} & {*NUMBERED}
    assert [row for row in found if row["trades"] != row["ids"]] == []


@judging("stopped", "changed", "patterns", "held", *RANDOM)
def test_what_counts_is_what_the_exchange_made(done: Changed) -> None:
    for (venue, symbol), made in done.made.items():
        if venue not in NUMBERED:
            continue
        own = {trade["trade_id"]: trade for trade in made}
        compared = 0
        for row in counted(done, venue, symbol):
            # The exchange went on, and remembers only so many.
            if int(row["trade_id"]) in own:
                trade = own[int(row["trade_id"])]
                assert (row["price"], row["size"]) == (float(trade["price"]), float(trade["size"]))
                compared += 1
        assert compared, (venue, symbol)


@judging("changed", "held")
def test_no_trade_is_missing_between_the_first_and_the_last(done: Changed) -> None:
    for (venue, symbol), made in done.made.items():
        if venue in NUMBERED:
            ids = sorted(int(row["trade_id"]) for row in counted(done, venue, symbol))
            last = min(ids[-1], made[-1]["trade_id"])
            own = [t["trade_id"] for t in made if ids[0] <= t["trade_id"] <= last]
            assert own
            assert [one for one in ids if own[0] <= one <= last] == own, (venue, symbol)


@judging("stopped", "changed")
def test_a_trade_without_a_number_counts_once_too(done: Changed) -> None:
    for (venue, symbol), made in done.made.items():
        if venue not in NUMBERLESS:
            continue
        left = list(made)
        compared = 0
        for row in counted(done, venue, symbol):
            if row["size"] is None or row["ts_event"] > made[-1]["at_ns"]:
                # A last price alone, or one that came after the exchange was asked.
                continue
            if row["ts_event"] < made[0]["at_ns"]:
                continue
            same = [
                trade
                for trade in left
                if (row["price"], row["size"]) == (float(trade["price"]), float(trade["size"]))
                and abs(row["ts_event"] - trade["at_ns"]) <= EXACT_NS[venue]
            ]
            assert same, (venue, symbol, row)
            left.remove(same[0])
            compared += 1
        assert compared, (venue, symbol)
        # REST's last price is told once, though several sessions ask for it.
        prices = [
            (row["ts_event"], row["price"])
            for row in counted(done, venue, symbol)
            if row["size"] is None and row["flags"] & BY_REST
        ]
        assert len(prices) == len(set(prices))


@judging("stopped")
def test_a_stop_on_request_is_no_loss(done: Changed) -> None:
    lost = [row for row in done.recorded.rows["status"] if row["kind"] in ("gap", "filled")]
    assert lost == []


@judging("stopped", "changed", "held", *RANDOM)
def test_no_incident_calls_a_recorded_trade_lost(done: Changed) -> None:
    """Of each gap the incident's words leave as many trades over as were not recorded."""
    rows, incidents = done.recorded.rows["status"], Incidents()
    for row in rows:
        incidents.follow(row, row["ts_recv"])
    told = incidents.listed(rows[-1]["ts_recv"] + ANSWER_NS)
    gaps = [row for row in rows if (row["kind"], row["channel"]) == ("gap", "trade")]
    of_gaps = [one for one in told if one.kind == "gap" and one.symbol]
    for gap, incident in zip(gaps, of_gaps, strict=True):
        missing = range(gap["expected"], gap["expected"] + gap["count"])
        trades = done.recorded.of("trade", gap["venue"], gap["symbol"])
        later = {int(row["trade_id"]) for row in trades if row["ord"] > gap["ord"]}
        left = re.search(r"([\d,]+) of [\d,]+ trades (?:missing|lost)", incident.recovery)
        assert int(left[1] if left else 0) == len(missing) - len(later & {*missing}), incident


@judging("stopped", "changed", "patterns", "held", *RANDOM)
def test_the_recording_is_whole(done: Changed) -> None:
    (listed,) = recordings.catalogue(done.folder)
    assert verify(done.folder, listed["id"]).document["problems"] == []


@judging("patterns")
def test_an_instrument_has_one_session_and_a_row_says_what_is_left_out(done: Changed) -> None:
    for venue, symbol in done.made:
        of_it = [
            row for kind in ("quote", "trade") for row in done.recorded.of(kind, venue, symbol)
        ]
        assert not any(row["flags"] & BY_REST for row in of_it), (venue, symbol)
        told = [row for row in done.recorded.statuses(venue, "overlap") if row["count"] == 1]
        assert len(told) == 1, (venue, told)


@judging("held")
def test_rest_stands_in_for_a_silent_line_until_its_data_come(done: Changed) -> None:
    (fallback,) = done.recorded.statuses("binance", "fallback")
    (handback,) = done.recorded.statuses("binance", "handback")
    between = [
        row
        for row in done.recorded.of("trade", "binance", "BTC-USDT")
        if fallback["ord"] < row["ord"] < handback["ord"]
    ]
    assert {row["flags"] & BY_REST for row in between[:1]} == {BY_REST}
