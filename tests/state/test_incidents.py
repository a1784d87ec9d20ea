"""What the hub says of trouble: losses by minute, incidents and their ends, and how it is shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from monitor.hub.hub import Hub
from monitor.page.views import trust
from monitor.page.views.grid import changed, grid_rows
from monitor.rows.batches import SCHEMAS, SYNTHETIC, Batch
from monitor.state.recent_faults import MINUTE_NS, Minute

START_NS = 1_000 * MINUTE_NS
MS = 1_000_000
EVIL = "<img src=x onerror=alert(1)>"
STATUS = {"scope": "channel", "state": "connected", "channel": "book"}
LINE = {"scope": "connection", "state": "failed", "kind": "disconnected"}


def rows(kind: str, *given: dict[str, Any]) -> Batch:
    """Make a batch of rows of one kind; times are ms after the start."""
    made = [
        {
            "ord": number,
            "venue": "mock",
            "conn": 7,
            "flags": 0,
            **row,
            "ts_recv": np.datetime64(START_NS + row["ts_recv"] * 1_000_000, "ns"),
        }
        for number, row in enumerate(given)
    ]
    columns = {name: [row.get(name) for row in made] for name in SCHEMAS[kind].names}
    return Batch({kind: pa.RecordBatch.from_pydict(columns, schema=SCHEMAS[kind])})


def test_a_lost_book_message_is_an_incident_until_the_book_is_rebuilt() -> None:
    hub = Hub()
    gap = {**STATUS, "symbol": "A-B", "kind": "gap", "expected": 5, "got": 9, "ts_recv": 0}
    hub(rows("status", gap, {**gap, "ts_recv": 10}))
    ((only,),) = [hub.quality()[1]]
    assert (only.kind, only.cause, only.times, only.ended_ns) == (
        "gap",
        "expected 5, got 9",
        2,
        None,
    )
    hub(rows("status", {**STATUS, "symbol": "A-B", "kind": "resync", "ts_recv": 70}))
    ((only,),) = [hub.quality()[1]]
    assert (only.ended_ns, only.recovery) == (START_NS + 70_000_000, "book rebuilt")


def test_one_of_two_connections_that_was_lost_is_an_incident_that_is_over() -> None:
    hub = Hub()
    why = "reset by peer; connection 2 goes on"
    hub(rows("status", {**LINE, "state": "connected", "detail": why, "ts_recv": 5}))
    ((only,),) = [hub.quality()[1]]
    assert (only.kind, only.cause, only.recovery) == (
        "disconnected",
        why,
        "the other connection went on",
    )
    assert only.began_ns == only.ended_ns == START_NS + 5_000_000


def test_a_broken_line_is_one_incident_of_its_venue_and_ends_with_data() -> None:
    hub = Hub()
    of_symbol = {"scope": "symbol", "symbol": "A-B"}
    hub(
        rows(
            "status",
            {**LINE, "detail": "reset by peer", "ts_recv": 0},
            {**LINE, **of_symbol, "ts_recv": 0},
            {**of_symbol, "state": "initialising", "kind": "initialising", "ts_recv": 100},
            {**of_symbol, "state": "connected", "kind": "connected", "ts_recv": 400},
        )
    )
    ((only,),) = [hub.quality()[1]]
    assert (only.symbol, only.cause) == (None, "reset by peer")
    assert (only.ended_ns, only.recovery) == (START_NS + 400_000_000, "data again")


GAP = {**STATUS, "channel": "trade", "symbol": "A-B", "kind": "gap"}
FILLED = {**GAP, "kind": "filled"}


def recoveries(hub: Hub) -> list[tuple[str, str]]:
    return [(one.outcome, one.recovery) for one in hub.quality()[1]]


def test_nothing_is_said_of_a_missing_trade_before_it_is_known() -> None:
    hub = Hub()
    hub(rows("status", {**GAP, "expected": 8, "got": 9, "count": 1, "ts_recv": 7}))
    assert recoveries(hub) == [("unknown", "not known yet")]
    (only,) = hub.quality()[1]
    assert only.ended_ns is None
    # Neither REST nor the stream brought it within half a minute of rows' time.
    hub(rows("clock", {"ts_recv": 29_000}))
    assert recoveries(hub) == [("unknown", "not known yet")]
    hub(rows("clock", {"ts_recv": 30_008}))
    assert recoveries(hub) == [("lost", "1 of 1 trades missing")]


def test_missing_trades_that_rest_had_are_recovered_and_the_others_lost() -> None:
    hub = Hub()
    detail = "40 of 42 missing trades (58 to 99): the venue has no more of them"
    counts = {"detail": detail, "expected": 42, "got": 40, "count": 40}
    hub(
        rows(
            "status",
            {**GAP, "expected": 8, "got": 50, "count": 42, "ts_recv": 6},
            {**GAP, "expected": 58, "got": 100, "count": 42, "ts_recv": 7},
            {**FILLED, **counts, "ts_recv": 9},
        )
    )
    assert recoveries(hub) == [
        ("unknown", "not known yet"),
        ("lost", "40 of 42 trades filled by REST, 2 of 42 trades lost"),
    ]


def test_a_missing_trade_that_comes_after_all_arrived_late() -> None:
    hub = Hub()
    late = {**GAP, "kind": "late", "expected": None, "count": 1}
    hub(
        rows(
            "status",
            {**GAP, "expected": 8, "got": 11, "count": 3, "ts_recv": 1},
            # A late number of another hole, or of another instrument, is not one of these.
            {**late, "got": 5, "ts_recv": 2},
            {**late, "got": 9, "symbol": "C-D", "ts_recv": 3},
            {**late, "got": 9, "ts_recv": 4},
        )
    )
    assert recoveries(hub) == [("unknown", "1 of 3 arrived late, not known yet")]
    detail = "2 of 2 missing trades (8 to 10)"
    counts = {"detail": detail, "expected": 2, "got": 2, "count": 2}
    hub(rows("status", {**FILLED, **counts, "ts_recv": 1_000}))
    recovery = "2 of 3 trades filled by REST, 1 of 3 arrived late"
    assert recoveries(hub) == [("over", recovery)]
    (only,) = hub.quality()[1]
    assert only.ended_ns == START_NS + 1_000 * MS


def test_a_message_of_a_connection_that_was_only_late_is_not_lost() -> None:
    hub = Hub()
    line = {**STATUS, "scope": "connection", "channel": None, "symbol": None}
    hub(
        rows(
            "status",
            {**line, "kind": "gap", "expected": 5, "got": 6, "count": 1, "ts_recv": 0},
            {**line, "kind": "late", "got": 5, "count": 1, "ts_recv": 1},
            {**STATUS, "symbol": "A-B", "kind": "resync", "ts_recv": 3},
        )
    )
    assert recoveries(hub) == [("over", "book rebuilt, arrived late")]


def test_a_refusal_lasts_until_data_come_and_is_listed_once() -> None:
    hub = Hub()
    refused = {**LINE, "kind": "geo_blocked", "detail": "HTTP 451", "ts_recv": 0}
    hub(rows("status", refused, {**refused, "scope": "symbol", "symbol": "A-B"}))
    # Neither time nor another attempt ends it.
    hub(rows("clock", {"ts_recv": 5_000}))
    hub(rows("status", {**refused, "ts_recv": 6_000}))
    (only,) = hub.quality()[1]
    assert (only.symbol, only.outcome, only.times) == (None, "lasts", 2)
    hub(rows("stat", {"symbol": "A-B", "channel": "quote", "rows": 0.0, "ts_recv": 7_000}))
    assert recoveries(hub) == [("lasts", "")]
    data = {"symbol": "A-B", "channel": "quote", "rows": 3.0, "age_ms": 100.0}
    hub(rows("stat", {**data, "ts_recv": 8_000}))
    (only,) = hub.quality()[1]
    assert (only.ended_ns, only.recovery) == (START_NS + 7_900 * MS, "data again")


def test_polling_as_configured_is_no_incident() -> None:
    hub = Hub()
    poll = {**LINE, "state": "polling", "kind": "fallback", "ts_recv": 0}
    hub(rows("status", {**poll, "detail": "REST was asked for"}))
    assert not hub.quality()[1]
    hub(rows("status", {**poll, "detail": "reset by peer"}))
    assert recoveries(hub) == [("lasts", "")]


def test_a_book_that_was_bad_when_its_connection_ended_is_bad_no_longer() -> None:
    hub = Hub()
    hub(rows("status", {**STATUS, "symbol": "A-B", "kind": "checksum", "ts_recv": 0}))
    hub(rows("status", {**LINE, "detail": "reset by peer", "ts_recv": 40, "conn": 8}))
    assert [one.kind for one in hub.quality()[1] if one.ended_ns is None] == [
        "checksum",
        "disconnected",
    ]
    hub(rows("status", {**LINE, "detail": "reset by peer", "ts_recv": 50}))
    assert recoveries(hub)[0] == ("over", "ended with its connection")


def test_stale_time_runs_from_state_to_state_and_is_split_over_the_minutes() -> None:
    hub = Hub()
    of_symbol = {"scope": "symbol", "symbol": "A-B", "kind": "disconnected"}
    hub(
        rows(
            "status",
            {**of_symbol, "state": "connected", "ts_recv": 0},
            {**of_symbol, "state": "failed", "ts_recv": 44_500},
            {**of_symbol, "state": "stale", "ts_recv": 50_000},
            {**of_symbol, "state": "quiet", "ts_recv": 60_250},
            {**of_symbol, "state": "polling", "ts_recv": 62_000},
            {**of_symbol, "state": "stale", "ts_recv": 64_000},
        )
    )
    # No row of the source comes while its line is down.
    hub(rows("clock", {"ts_recv": 64_300}))
    minutes, _ = hub.quality()
    assert minutes == {
        ("mock", "A-B"): {
            1000: Minute(stale_ns=15_500 * MS),
            1001: Minute(stale_ns=(250 + 300) * MS),
        }
    }
    assert [total.counts.stale_ns for total in hub.totals()] == [16_050 * MS]


def test_counts_fall_into_the_minute_of_their_row() -> None:
    hub = Hub()
    of_book = {**STATUS, "symbol": "A-B"}
    line = {**STATUS, "scope": "connection", "channel": None}
    hub(
        rows(
            "status",
            {**of_book, "kind": "gap", "ts_recv": 0},
            {**of_book, "kind": "checksum", "ts_recv": 59_999},
            {**of_book, "kind": "duplicate", "ts_recv": 59_999},
            {**of_book, "kind": "late", "ts_recv": 60_000},
            # A clip says again what was before its start.
            {**of_book, "kind": "gap", "ts_recv": 60_000, "flags": SYNTHETIC},
            {**line, "kind": "duplicate", "ts_recv": 60_001},
            {**line, "kind": "gap", "ts_recv": 60_001},
            {**of_book, "scope": "symbol", "kind": "connected", "ts_recv": 60_001},
        )
    )
    minutes, _ = hub.quality()
    assert minutes == {
        ("mock", "A-B"): {1000: Minute(2, 1, 0), 1001: Minute(0, 0, 1)},
        ("mock", None): {1001: Minute(1, 1, 0)},
    }
    assert {(one.symbol, *one.counts[:3]) for one in hub.totals()} == {
        ("A-B", 2, 1, 1),
        (None, 1, 1, 0),
    }
    # The watch-list has no line for a connection: its losses concern each instrument.
    assert hub.sources()[0].losses == 3


def test_an_instrument_that_was_removed_leaves_the_lists_and_comes_back_if_it_is_added() -> None:
    hub = Hub()
    state = {"scope": "symbol", "symbol": "A-B", "state": "connected", "kind": "connected"}
    stopped = {**state, "state": "stopped", "kind": "stopped"}
    quote = {"symbol": "A-B", "bid": 1.0, "ask": 2.0, "origin": "native", "ts_recv": 0}
    hub(rows("quote", quote))
    hub(rows("status", {**state, "ts_recv": 0}, {**GAP, "ts_recv": 0}))
    hub(rows("status", {**stopped, "detail": "stopped on request", "ts_recv": 1}))
    assert [source.state for source in hub.sources()] == ["stopped"]
    hub(rows("status", {**stopped, "detail": "removed on request", "ts_recv": 2}))
    assert (hub.sources(), hub.instruments(), hub.quotes(), hub.totals()) == ([], [], [], [])
    minutes, incidents = hub.quality()
    assert (len(minutes), len(incidents)) == (1, 1)
    hub(rows("status", {**state, "state": "initialising", "ts_recv": 3}))
    assert hub.instruments() == [("mock", "A-B")]


def test_a_source_whose_line_is_gone_has_no_rate_latency_or_book() -> None:
    hub = Hub()
    state = {"scope": "symbol", "symbol": "A-B", "kind": "connected"}
    stat = {"symbol": "A-B", "rows": 1.0, "latency_p50_ms": 2.0, "latency_p99_ms": 3.0}
    quote = {"symbol": "A-B", "bid": 1.0, "ask": 2.0, "origin": "native"}
    hub(rows("status", {**state, "state": "connected", "ts_recv": 0}))
    hub(rows("quote", {**quote, "ts_recv": 700}, {**quote, "ts_recv": 850}))
    hub(
        rows(
            "stat",
            {**stat, "channel": "book", "book_health": "ok", "ts_recv": 1_000},
            {**stat, "channel": "quote", "latency_p50_ms": 9.0, "ts_recv": 1_000},
        )
    )
    (one,) = hub.sources()
    assert (one.updates_s, one.latency_p50_ms, one.latency_p99_ms, one.book_health) == (
        *(2.0, 9.0, 3.0),
        "ok",
    )
    hub(rows("status", {**state, "state": "failed", "ts_recv": 1_010}))
    (one,) = hub.sources()
    assert all(map(np.isnan, (one.updates_s, one.latency_p50_ms, one.latency_p99_ms)))
    assert one.book_health == ""


def test_what_no_row_says_any_more_is_not_shown() -> None:
    hub = Hub()
    stat = {"symbol": "A-B", "channel": "book", "rows": 1.0, "book_health": "ok"}
    hub(rows("stat", {**stat, "latency_p50_ms": 2.0, "latency_p99_ms": 3.0, "ts_recv": 1_000}))
    hub(rows("quote", {"symbol": "A-B", "bid": 1.0, "origin": "native", "ts_recv": 1_000}))
    hub(rows("clock", {"ts_recv": 2_050}))
    (one,) = hub.sources()
    assert (one.updates_s, one.latency_p99_ms, one.book_health) == (1.0, 3.0, "ok")
    hub(rows("clock", {"ts_recv": 4_000}))
    (one,) = hub.sources()
    assert (one.updates_s, one.book_health) == (0.0, "")
    assert np.isnan(one.latency_p99_ms)


def test_more_incidents_than_a_page_holds_are_counted_and_can_be_asked_for() -> None:
    hub = Hub()
    crossed = {**STATUS, "channel": "quote", "symbol": "A-B", "kind": "crossed"}
    hub(rows("status", *({**crossed, "ts_recv": number} for number in range(68))))
    shown = trust.incidents(hub)
    assert shown.count("see it again") == 40
    assert "40 of 68 shown" in shown and 'data-say="more"' in shown
    shown = trust.incidents(hub, 80)
    assert shown.count("see it again") == 68
    assert "shown" not in shown and "more" not in shown


def test_what_a_venue_writes_is_text_on_the_health_page() -> None:
    hub = Hub()
    told = {"venue": EVIL, "symbol": EVIL, "kind": EVIL, "detail": EVIL, "state": EVIL}
    hub(rows("status", {**told, "scope": "symbol", "ts_recv": 0}))
    hub(rows("status", {**STATUS, **told, "kind": "checksum", "state": "connected", "ts_recv": 1}))
    shown = [view(hub) for view in (trust.sources, trust.minutes, trust.incidents)]
    assert all("&lt;img" in html and "<img" not in html for html in shown)


def test_a_grid_in_which_nothing_changed_sends_no_cell() -> None:
    hub = Hub()
    quote = {"symbol": "A-B", "bid": 1.0, "ask": 2.0, "bid_size": 1.0, "ask_size": 1.0}
    hub(rows("quote", {**quote, "origin": "native", "ts_recv": 0}))
    before = grid_rows(hub)
    assert not changed(before, grid_rows(hub))
    hub(rows("quote", {**quote, "ask": 3.0, "origin": "native", "ts_recv": 10}))
    # The offer, and the spread of 1 to 3: 10,000 basis points of their mid.
    assert changed(before, grid_rows(hub)) == {"cells": [(0, 5, 3.0), (0, 6, 10_000.0)]}
