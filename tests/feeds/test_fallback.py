"""REST beside the WebSocket: it takes over when the stream cannot be had, and gives back to it.

Also what a venue that refuses the stream is told as, and that it is then left in peace.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from support.fault_proof import REST
from support.faulty import RATE, Recorded, Row, Run
from support.side_by_side import done, judging, side_by_side
from support.tap import Asked, Tap

from monitor.rows.batches import DUPLICATE, INVALID, LATE
from monitor.rows.batches import REST as BY_REST
from monitor.simulate import Simulator

__all__ = ["done"]

VENUES = ("binance", "kraken", "coinbase")
FALLBACK_S, INTERVAL_S = 2.0, 0.5
# The supervisor looks at its clocks ten times a second, the venue's limits may hold a poll back.
SLACK_S = 1.5
BACK_S = 60.0
# The first byte of a TLS record is its type: alerts and handshakes here.
TLS_RECORDS = {b"\x15", b"\x16"}


class Tapped(NamedTuple):
    """What was recorded, and what the collector asked for."""

    recorded: Recorded
    asked: list[Asked]

    @property
    def openings(self) -> dict[str, list[float]]:
        """When a WebSocket was asked for, by venue."""
        found: dict[str, list[float]] = {}
        for asked in self.asked:
            if asked.is_opening:
                venue = asked.head.split(b"/")[1].split(b" ")[0].decode()
                found.setdefault(venue, []).append(asked.at_s)
        return found


def fall_back(folder: Path) -> Tapped:
    """Stream, lose the WebSocket and have it refused, poll, and be let in again."""
    # Books are left out: with few levels by REST they could not be compared with the stream's.
    settings = f"fallback_after_s = {FALLBACK_S}\ninterval_s = {INTERVAL_S}"
    with (
        Simulator(VENUES, rate=RATE * len(VENUES)) as simulator,
        Tap(simulator.port) as tap,
        Run(
            folder,
            simulator,
            VENUES,
            "+quote+trade",
            settings,
            (tap.port, simulator.port),
            instruments=1,
        ) as run,
    ):

        def told(kind: str) -> bool:
            return len({row["venue"] for row in run.statuses if row["kind"] == kind}) == len(VENUES)

        run.until(run.has_data, "data by stream")
        tap.refuse()
        run.until(lambda: told("fallback"), "REST to take over")
        polled = dict(run.data)
        run.until(lambda: all(run.data[k] > polled[k] for k in polled), "data by REST")
        tap.admit()
        run.until(lambda: told("handback"), "REST to hand back", BACK_S)
        streamed = dict(run.data)
        run.until(lambda: all(run.data[k] > streamed[k] for k in streamed), "data by stream again")
        return Tapped(run.stop(), tap.asked)


def poll(folder: Path) -> Tapped:
    """Follow one instrument's trades by REST alone."""
    venues = ["binance", "coinbase"]
    with (
        Simulator(venues, rate=RATE * len(venues)) as simulator,
        Tap(simulator.port) as tap,
        Run(folder, simulator, venues, "+trade", REST, (tap.port,) * 2, instruments=1) as run,
    ):
        run.until(lambda: len(tap.asked) >= 14, "polls of both venues")
        return Tapped(run.stop(), tap.asked)


def refuse(folder: Path, fault: str, kind: str, times: int, venues: list[str]) -> Tapped:
    """Have every request refused, until each venue told so often that it was."""
    with (
        Simulator(venues, rate=RATE * len(venues), faults=[fault]) as simulator,
        Tap(simulator.port) as tap,
        Run(folder, simulator, venues, "", 'mode = "ws"', (tap.port,) * 2) as run,
    ):

        def told() -> bool:
            rows = Counter(row["venue"] for row in run.statuses if row["kind"] == kind)
            return all(rows[venue] >= times for venue in venues)

        run.until(told, f"{kind} of each venue")
        return Tapped(run.stop(), tap.asked)


RUNS = {
    "fallback": fall_back,
    "rest": poll,
    "http-429": lambda folder: refuse(folder, "http-429:1", "rate_limited", 8, [*VENUES]),
    "http-451": lambda folder: refuse(folder, "http-451:1", "geo_blocked", 2, ["binance"]),
    "http-403": lambda folder: refuse(folder, "http-403:1", "auth_failed", 2, ["coinbase"]),
    "tls": lambda folder: refuse(folder, "tls:1", "disconnected", 2, ["binance", "kraken"]),
}
started = side_by_side(RUNS)


def the_only(done: Tapped, venue: str, kind: str) -> Row:
    (row,) = done.recorded.statuses(venue, kind)
    return row


def data(done: Tapped, venue: str) -> list[Row]:
    """Return all quotes and trades of a venue, in order, without those that end a quote."""
    rows = [row for kind in ("quote", "trade") for row in done.recorded.rows[kind]]
    mine = [row for row in rows if row["venue"] == venue and not row["flags"] & INVALID]
    return sorted(mine, key=lambda row: row["ord"])


@judging("fallback")
def test_rest_takes_over_after_the_time_that_was_set_and_says_why(done: Tapped) -> None:
    for venue in VENUES:
        row = the_only(done, venue, "fallback")
        assert (row["state"], row["scope"]) == ("polling", "connection")
        before = [r["ts_recv"] for r in data(done, venue) if r["ord"] < row["ord"]]
        waited_s = (row["ts_recv"] - max(before)) / 1e9
        assert FALLBACK_S - SLACK_S <= waited_s <= FALLBACK_S + SLACK_S
        (state, *_) = [
            r
            for r in done.recorded.rows["status"]
            if (r["venue"], r["scope"]) == (venue, "symbol") and r["ord"] > row["ord"]
        ]
        assert (state["state"], state["detail"]) == ("polling", row["detail"])
        assert "Connection" in row["detail"]


@judging("fallback")
def test_what_is_polled_is_flagged_and_ends_when_the_stream_is_back(done: Tapped) -> None:
    for venue in VENUES:
        fallback, handback = (the_only(done, venue, kind) for kind in ("fallback", "handback"))
        flags: dict[str, list[int]] = {"before": [], "between": [], "after": []}
        for row in data(done, venue):
            when = "before" if row["ord"] < fallback["ord"] else "between"
            when = "after" if row["ord"] > handback["ord"] else when
            flags[when].append(row["flags"] & BY_REST)
        assert set(flags["before"]) == {0}
        assert flags["between"][0] == BY_REST
        # An answer may be under way when the stream takes over.
        assert 0 in flags["after"]
        *_, last = (
            row
            for row in done.recorded.rows["quote"]
            if (row["venue"], row["origin"]) == (venue, "rest") and row["ord"] < handback["ord"]
        )
        assert (last["bid"], last["ask"], last["flags"] & INVALID) == (None, None, INVALID)


@judging("fallback", "rest")
def test_no_trade_is_counted_twice_and_each_that_is_missing_is_told(done: Tapped) -> None:
    for venue in VENUES:
        rows = [row for row in done.recorded.rows["trade"] if row["venue"] == venue]
        ids = [int(row["trade_id"]) for row in rows if not row["flags"] & DUPLICATE]
        assert len(ids) == len(set(ids))
        if venue != "coinbase" and ids:
            missing = max(ids) - min(ids) + 1 - len(ids)
            told = sum(row["count"] for row in done.recorded.statuses(venue, "gap"))
            # What the stream missed may still come by REST, late.
            assert told - sum(bool(row["flags"] & LATE) for row in rows) == missing


@judging("rest")
def test_a_source_by_rest_polls_from_the_start_at_its_interval(done: Tapped) -> None:
    assert not any(asked.is_opening for asked in done.asked)
    for venue, path in (("binance", b"/trades?"), ("coinbase", b"/ticker?")):
        polls = [a.at_s for a in done.asked if f"/{venue}/".encode() in a.head and path in a.head]
        waits = [after - before for before, after in pairwise(polls)]
        assert len(waits) >= 4
        assert INTERVAL_S - 0.1 <= sorted(waits)[len(waits) // 2] <= 2 * INTERVAL_S
        assert the_only(done, venue, "fallback")["state"] == "polling"
        assert {row["flags"] & BY_REST for row in data(done, venue)} == {BY_REST}


@judging("http-429")
def test_a_venue_that_asks_for_a_second_is_left_alone_for_it_and_not_for_long(done: Tapped) -> None:
    for venue, times in done.openings.items():
        waits = [after - before for before, after in pairwise(times)]
        assert waits
        # The simulated exchange says Retry-After: 1; the back-off comes to it as tries go on.
        assert 1.0 <= min(waits) <= 3.0, venue


@judging("http-451", "http-403")
def test_a_venue_that_shuts_its_door_is_not_hammered(done: Tapped) -> None:
    assert [len(times) for times in done.openings.values()] == [1]


@judging("http-429", "http-451", "http-403")
def test_each_refusal_is_a_row(done: Tapped) -> None:
    kinds = {"http-429": "rate_limited", "http-451": "geo_blocked", "http-403": "auth_failed"}
    for venue, injected in done.recorded.injected.items():
        (fault,) = +injected
        assert len(done.recorded.statuses(venue, kinds[fault])) == injected[fault]


@judging("tls")
def test_a_wrong_certificate_is_one_clear_line_and_never_plain_text(done: Tapped) -> None:
    assert {asked.head[:1] for asked in done.asked} <= TLS_RECORDS
    tries = 0
    for venue in done.recorded.injected:
        rows = done.recorded.statuses(venue, "disconnected")
        assert all("CERTIFICATE_VERIFY_FAILED" in row["detail"] for row in rows)
        tries += len(rows) + len(done.recorded.statuses(venue, "fetch_failed"))
        line = f"{venue}: disconnected: {rows[0]['detail']}"
        assert done.recorded.stderr.splitlines().count(line) == len(rows)
        assert data(done, venue) == []
    # One of each venue may be under way when the run ends.
    assert tries <= done.recorded.tls <= tries + len(done.recorded.injected)
