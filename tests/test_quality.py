"""What the hub says of trouble: losses by minute, incidents and their ends, and how it is shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from monitor.batches import SCHEMAS, Batch
from monitor.hub import Hub
from monitor.quality import MINUTE_NS, Minute
from monitor.views import trust
from monitor.views.grid import changed, grid_rows

START_NS = 1_000 * MINUTE_NS
EVIL = "<img src=x onerror=alert(1)>"
STATUS = {"scope": "channel", "state": "connected", "channel": "book"}
LINE = {"scope": "connection", "state": "failed", "kind": "disconnected"}


def rows(kind: str, *given: dict[str, Any]) -> Batch:
    """Make a batch of rows of one kind; times are ms after the start."""
    made = [
        {
            "ord": number,
            "venue": "mock",
            "flags": 0,
            **row,
            "ts_recv": np.datetime64(START_NS + row["ts_recv"] * 1_000_000, "ns"),
        }
        for number, row in enumerate(given)
    ]
    columns = {name: [row.get(name) for row in made] for name in SCHEMAS[kind].names}
    return Batch({kind: pa.RecordBatch.from_pydict(columns, schema=SCHEMAS[kind])})


def test_a_lost_book_message_is_an_incident_until_the_book_is_made_anew() -> None:
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
    assert (only.ended_ns, only.recovery) == (START_NS + 70_000_000, "book made anew")


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


def test_a_lost_trade_stays_lost() -> None:
    hub = Hub()
    hub(
        rows("status", {**STATUS, "channel": "trade", "symbol": "A-B", "kind": "gap", "ts_recv": 7})
    )
    ((only,),) = [hub.quality()[1]]
    assert (only.ended_ns, only.recovery) == (only.began_ns, "lost for good")


def test_a_lost_trade_that_rest_still_had_is_recovered() -> None:
    hub = Hub()
    lost = {**STATUS, "channel": "trade", "symbol": "A-B", "kind": "gap", "count": 42}
    detail = "40 of 42 missing trades (58 to 99): the venue has no more of them"
    filled = {**lost, "kind": "filled", "detail": detail, "expected": 42, "got": 40, "count": 40}
    hub(
        rows(
            "status",
            {**lost, "expected": 8, "got": 50, "ts_recv": 6},
            {**lost, "expected": 58, "got": 100, "ts_recv": 7},
            {**filled, "ts_recv": 9},
        )
    )
    _, incidents = hub.quality()
    assert [one.recovery for one in incidents] == ["lost for good", "40 of 42 trades by REST"]


def test_counts_fall_into_the_minute_of_their_row() -> None:
    hub = Hub()
    of_book = {"symbol": "A-B", "channel": "book", "rows": 9.0}
    hub(
        rows(
            "stat",
            {**of_book, "gaps": 1.0, "duplicates": 2.0, "late": 0.0, "ts_recv": 0},
            {**of_book, "gaps": 2.0, "duplicates": 0.0, "late": 0.0, "ts_recv": 59_000},
            {**of_book, "gaps": 0.0, "duplicates": 0.0, "late": 4.0, "ts_recv": 60_000},
        )
    )
    minutes, _ = hub.quality()
    assert minutes == {("mock", "A-B"): {1000: Minute(3, 2, 0, 0), 1001: Minute(0, 0, 4, 0)}}
    assert hub.sources()[0].gaps == 3


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
