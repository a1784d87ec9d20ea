"""Alert rules: what fires when, that it ends, and that batches do not matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.made_rows import batch_of, row

from monitor.hooks.builtin.alerts import Hook
from monitor.rows.batches import BACKFILL, INVALID, REST, Batch
from monitor.settings import configuration
from monitor.settings.configuration import Settings

START = 1_700_000_000_000_000_000
Rows = list[tuple[str, dict[str, Any]]]


class Stream:
    """Rows in the making, numbered as they come; times in seconds since the start."""

    def __init__(self) -> None:
        self.rows: Rows = []

    def add(self, table: str, at_s: float, /, **columns: Any) -> None:
        number = len(self.rows)
        empty = dict.fromkeys(row(table, 0, 0))
        named = {"venue": "kraken", "symbol": "BTC-USD", "conn": 1, "flags": 0}
        time = {"ord": number, "ts_recv": START + round(at_s * 1e9)}
        self.rows.append((table, empty | named | time | columns))

    def quote(self, at_s: float, bid: float | None, ask: float | None, **columns: Any) -> None:
        flags = INVALID if bid is None else 0
        self.add(
            "quote", at_s, **{"origin": "native", "bid": bid, "ask": ask, "flags": flags, **columns}
        )

    def clocks(self, start_s: float, end_s: float, lag_ms: float = 0.0) -> None:
        """The rows that a live run has in silence."""
        for tenth in range(round(start_s * 10), round(end_s * 10)):
            values = {"offset_ns": 0, "buffered_rows": 0.0, "recorder_lag_ms": lag_ms}
            self.add("clock", tenth / 10, venue=None, symbol=None, **values)

    def stat(self, at_s: float, rows: float, latency_p99_ms: float | None = None) -> None:
        self.add("stat", at_s, channel="quote", rows=rows, latency_p99_ms=latency_p99_ms)

    def status(self, at_s: float, kind: str, state: str = "connected", **columns: Any) -> None:
        self.add("status", at_s, **{"scope": "symbol", "kind": kind, "state": state, **columns})

    def batches(self, cuts: list[int]) -> list[Batch]:
        """The rows in batches of these sizes, over and over."""
        found, at = [], 0
        while at < len(self.rows):
            size = cuts[len(found) % len(cuts)]
            found.append(batch_of(self.rows[at : at + size]))
            at += size
        return found


def fold(rules: list[dict[str, Any]], batches: list[Batch]) -> list[dict[str, Any]]:
    hook = Hook(Settings(alerts=rules).alerts, "recorded")
    state, found = hook.start(), []
    for batch in batches:
        state, signals = hook.step(state, batch)
        found += signals.to_pylist() if signals is not None else []
    return found


def told(rules: dict[str, Any], stream: Stream) -> list[tuple[float, str, str]]:
    """Signals as (seconds since the start, level, text)."""
    return [
        ((signal["ts_recv"].value - START) / 1e9, signal["level"], signal["text"])
        for signal in fold([rules], stream.batches([len(stream.rows)]))
    ]


def test_silence_is_stale_until_data_comes() -> None:
    stream = Stream()
    stream.quote(0.0, 99.0, 101.0)
    stream.clocks(0.1, 6.0)
    stream.quote(6.0, 99.0, 101.0)
    stream.clocks(6.1, 7.0)
    rule = {"kind": "stale", "age_s": 5.0, "severity": "alert"}
    assert told(rule, stream) == [
        (5.0, "alert", "stale: 5 s, at or above 5"),
        (6.1, "info", "stale: over, now 0.1 s"),
    ]
    assert told({**rule, "match": "binance:*"}, stream) == []


def test_time_that_the_clock_was_set_forward_by_is_no_silence() -> None:
    stream = Stream()
    stream.quote(0.0, 99.0, 101.0)
    stream.clocks(0.1, 2.0)
    stream.add("status", 1.95, scope="feed", state="connected", kind="clock_jump")
    # A day later by the wall clock, a tenth of a second later by any other.
    stream.clocks(86_402.0, 86_404.0)
    rule = {"kind": "stale", "age_s": 3.0}
    (signal,) = told(rule, stream)
    assert signal[1:] == ("warn", "stale: 3 s, at or above 3")
    assert 86_402.9 <= signal[0] <= 86_403.1


def test_a_backfilled_trade_is_neither_a_price_of_now_nor_a_sign_of_life() -> None:
    stream = Stream()
    stream.add("trade", 0.0, price=100.0, size=1.0)
    stream.clocks(0.1, 2.0)
    stream.add("trade", 2.0, price=50.0, size=1.0, flags=BACKFILL | REST)
    stream.clocks(2.1, 4.0)
    assert told({"kind": "price_move", "move_percent": 1.0}, stream) == []
    rule = {"kind": "stale", "age_s": 3.0}
    assert told(rule, stream) == [(3.0, "warn", "stale: 3 s, at or above 3")]


def test_a_rule_waits_ends_well_below_and_rests() -> None:
    stream = Stream()
    # A spread of 100, 10, 100, 100, 60, 40 and 100 basis points of a mid of 100.
    for at_s, bps in ((0, 100), (1, 10), (2, 100), (4, 60), (5, 40), (6, 100), (8, 10), (9, 100)):
        stream.quote(at_s, 100 - bps / 200, 100 + bps / 200)
        stream.clocks(at_s + 0.1, {2: 4}.get(at_s, {6: 8}.get(at_s, at_s + 1)))
    stream.clocks(10, 14)
    rule = {"kind": "spread", "max_bps": 99.0, "hold_s": 1.5, "clear": 0.5, "cooldown_s": 10.0}
    assert told(rule, stream) == [
        # Wide from 2.0 on, seen at 2.1; not at 0.0, which lasted a second.
        (3.6, "warn", "spread: 100 bps, at or above 99 for 1.5 s"),
        # 60 is not below half of 99; 40 is, once no 60 stood in the same tenth of a second.
        (5.2, "info", "spread: over, now 40 bps"),
        # Wide again at 6.0 for 2 s and from 9.0 on: silent until ten seconds are over.
        (13.6, "warn", "spread: 100 bps, at or above 99 for 1.5 s"),
    ]


def test_each_kind_of_rule_fires_on_what_it_names() -> None:
    stream = Stream()
    stream.status(0.0, "initialising", "initialising")
    stream.status(0.05, "connected")
    stream.quote(0.1, 99.0, 101.0)
    stream.stat(1.0, 10.0, 900.0)
    stream.add("clock", 1.1, venue=None, symbol=None, recorder_lag_ms=2500.0, offset_ns=0)
    stream.clocks(1.2, 2.0)
    stream.quote(2.0, 101.0, 101.0)
    stream.quote(2.01, 99.0, 101.0)
    stream.status(2.2, "gap", scope="connection", symbol=None)
    stream.status(2.3, "checksum", scope="channel")
    stream.quote(2.4, None, None)
    stream.status(3.0, "disconnected", "stale")
    stream.status(3.1, "low_space", scope="recorder", venue=None, symbol=None)
    stream.status(3.2, "unrecorded", "failed", scope="recorder", venue=None, symbol=None)
    stream.clocks(3.3, 6.0)
    stream.status(6.0, "connected")
    stream.quote(6.01, 104.0, 106.0)
    stream.clocks(6.1, 7.0)
    kinds: list[dict[str, Any]] = [
        {"kind": "latency_p99", "latency_ms": 500.0},
        {"kind": "recorder_lag"},
        {"kind": "crossed"},
        {"kind": "gap_rate"},
        {"kind": "checksum"},
        {"kind": "disconnected", "down_s": 2.0},
        {"kind": "disk_space"},
        {"kind": "unrecorded"},
        {"kind": "price_move", "move_percent": 4.5},
        {"kind": "spread", "min_bps": 1.0},
    ]
    found = {rule["kind"]: told(rule, stream) for rule in kinds}
    firsts = {kind: signals[0] for kind, signals in found.items()}
    assert firsts == {
        "latency_p99": (1.1, "warn", "latency_p99: 900 ms, at or above 500"),
        "recorder_lag": (1.2, "warn", "recorder_lag: 2500 ms, at or above 2000"),
        "crossed": (2.2, "warn", "crossed: 0 bps, at or above 0"),
        "gap_rate": (2.3, "warn", "gap_rate: 1 gaps, at or above 1"),
        "checksum": (2.4, "warn", "checksum: 1 failures, at or above 1"),
        "disconnected": (5.0, "warn", "disconnected: 2 s, at or above 2"),
        "disk_space": (3.2, "warn", "disk_space: less is free than is to be kept in reserve"),
        "unrecorded": (3.3, "warn", "unrecorded: 1 times, at or above 1"),
        # From a mid of 100 to one of 105.
        "price_move": (6.1, "warn", "price_move: 5 %, at or above 4.5"),
        "spread": (2.2, "warn", "spread: 0 bps, at or below 1"),
    }
    assert found["recorder_lag"][1] == (1.3, "info", "recorder_lag: over, now 0 ms")
    assert found["disconnected"][1] == (6.1, "info", "disconnected: over, now 0 s")


def test_a_rate_that_drops_is_held_against_its_past() -> None:
    stream = Stream()
    for second in range(60):
        stream.stat(float(second), 100.0 if second < 50 else 1.0)
    rule = {"kind": "rate_drop", "window_s": 5.0, "baseline_s": 30.0, "rest_percent": 50.0}
    (first,) = told(rule, stream)
    # Three of the last five seconds had one message, not a hundred.
    assert (first[0], first[1]) == (53.0, "warn")


def test_a_stopped_source_is_neither_stale_nor_disconnected() -> None:
    stream = Stream()
    stream.quote(0.0, 99.0, 101.0)
    stream.status(1.0, "stopped", "stopped")
    stream.clocks(1.1, 20.0)
    assert told({"kind": "stale"}, stream) == []
    assert told({"kind": "disconnected", "down_s": 1.0}, stream) == []


EVENT = st.tuples(
    st.sampled_from(("quote", "trade", "status", "stat", "clock", "end", "told")),
    st.sampled_from(("kraken", "binance")),
    st.sampled_from(("BTC-USD", "ETH-USD")),
    st.integers(0, 400),
    st.integers(0, 4),
)
ALL: list[dict[str, Any]] = [
    {"kind": "stale", "age_s": 0.5, "cooldown_s": 0},
    {"kind": "disconnected", "down_s": 0.3, "cooldown_s": 0},
    {"kind": "gap_rate", "window_s": 1.0, "per_window": 2, "cooldown_s": 0},
    {"kind": "checksum", "window_s": 2.0, "cooldown_s": 1.0},
    {"kind": "unrecorded", "window_s": 1.0},
    {"kind": "latency_p99", "latency_ms": 2.0, "clear": 0.5, "cooldown_s": 0.5},
    {"kind": "crossed", "cooldown_s": 0},
    {"kind": "spread", "max_bps": 250.0, "min_bps": 50.0, "hold_s": 0.3, "match": "*:BTC-*"},
    {"kind": "price_move", "move_percent": 1.5, "window_s": 1.0, "cooldown_s": 0},
    {"kind": "rate_drop", "window_s": 5.0, "baseline_s": 30.0, "cooldown_s": 0},
    {"kind": "recorder_lag", "lag_ms": 2.0, "cooldown_s": 0},
    {"kind": "disk_space"},
]


def made(events: list[tuple[str, str, str, int, int]]) -> Stream:
    stream, at_s = Stream(), 0.0
    for kind, venue, symbol, pause_ms, value in events:
        at_s += pause_ms / 1e3
        where = {"venue": venue, "symbol": symbol}
        if kind == "quote":
            stream.quote(at_s, 99.0 + value / 2, 101.0, **where)
        elif kind == "end":
            stream.quote(at_s, None, None, **where)
        elif kind == "trade":
            stream.add("trade", at_s, price=100.0 + value, size=1.0, **where)
        elif kind == "stat":
            stream.add("stat", at_s, channel="quote", rows=value, latency_p99_ms=value, **where)
        elif kind == "clock":
            stream.clocks(at_s, at_s + 0.1, lag_ms=value)
        elif kind == "status":
            state = ("connected", "stale", "failed", "quiet", "stopped")[value]
            stream.status(at_s, state, state, **where)
        else:
            told_of = ("gap", "checksum", "crossed", "unrecorded", "low_space")[value]
            of_line = (
                {"symbol": None, "scope": "connection"} if value == 0 else {"scope": "channel"}
            )
            stream.status(at_s, told_of, **{**where, **of_line})
    return stream


@settings(max_examples=40)
@given(st.lists(EVENT, min_size=1, max_size=80), st.lists(st.integers(1, 12), min_size=1))
def test_signals_do_not_depend_on_where_batches_are_cut(
    events: list[tuple[str, str, str, int, int]], cuts: list[int]
) -> None:
    stream = made(events)
    whole = fold(ALL, stream.batches([len(stream.rows)]))
    assert fold(ALL, stream.batches(cuts)) == whole
    assert fold(ALL, stream.batches([1])) == whole


def test_a_batch_of_many_seconds_is_folded_in_pieces() -> None:
    stream = Stream()
    for number in range(900):
        stream.quote(number / 4, 99.0, 101.0 if number % 300 else 99.0)
    whole = fold(ALL, stream.batches([len(stream.rows)]))
    assert [signal["text"] for signal in whole].count("crossed: 0 bps, at or above 0") == 3
    assert fold(ALL, stream.batches([7])) == whole


def test_without_rules_nothing_is_told() -> None:
    stream = Stream()
    stream.quote(0.0, 101.0, 99.0)
    stream.clocks(0.1, 60.0)
    assert fold([], stream.batches([100])) == []


def test_the_default_rules_are_of_the_lines_and_the_disk(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('alerts = "default"\n')
    kinds = [rule.kind for rule in configuration.load(file).alerts]
    assert kinds[:3] == ["stale", "disconnected", "gap_rate"]
    assert {"crossed", "spread", "price_move"}.isdisjoint(kinds)
    file.write_text('alerts = "all"\n')
    with pytest.raises(ValueError, match="alerts: Input should be a valid list, found 'all'"):
        configuration.load(file)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('kind = "slow"', "alerts.0: Input tag 'slow' found using 'kind' does not match any of"),
        ('kind = "stale"\nage_ms = 5', "alerts.0.stale.age_ms: Extra inputs are not permitted"),
        ('kind = "stale"\nage_s = -1', "alerts.0.stale.age_s: Input should be greater than 0"),
        ('kind = "crossed"\nseverity = "x"', "alerts.0.crossed.severity: Input should be 'info'"),
        (
            'kind = "rate_drop"\nwindow_s = 60\nbaseline_s = 60',
            "alerts.0.rate_drop: Value error, expected baseline_s above window_s, found 60",
        ),
        ('kind = "spread"', "alerts.0.spread: Value error, expected max_bps or min_bps"),
    ],
)
def test_a_wrong_rule_is_one_line(tmp_path: Path, written: str, expected: str) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(f"[[alerts]]\n{written}\n")
    with pytest.raises(ValueError, match=f"^{file}: ") as raised:
        configuration.load(file)
    assert expected in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
