"""Quotes that cross, and the onsets that a graph must find."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from monitor.hooks.builtin.cross_venue import Hook
from monitor.rows.batches import SCHEMAS, Batch

Row = tuple[int, str, float, float] | tuple[int, str, float, float, str]


def quotes(*rows: Row) -> Batch:
    """Quotes as (ord, venue, bid, ask[, symbol]), a millisecond per `ord`; BTC-USD by default."""
    made = [
        {
            "ord": number,
            "ts_recv": number * 1_000_000,
            "venue": venue,
            "symbol": symbol[0] if symbol else "BTC-USD",
            "conn": 1,
            "flags": 0,
            "bid": bid,
            "ask": ask,
            "origin": "native",
        }
        for number, venue, bid, ask, *symbol in rows
    ]
    return Batch({"quote": pa.RecordBatch.from_pylist(made, schema=SCHEMAS["quote"])})


def expected_onsets(rows: list[tuple[int, str, float, float, str]], fresh_ms: int) -> list[Any]:
    """Fold the rows one by one, as the rule is worded."""
    last: dict[str, dict[str, tuple[int, float, float]]] = {}
    crossed: set[tuple[str, str, str]] = set()
    onsets = []
    for number, venue, bid, ask, symbol in rows:
        legs = last.setdefault(symbol, {})
        legs[venue] = (number, bid, ask)
        for a, (a_at, a_bid, _) in legs.items():
            for b, (b_at, _, b_ask) in legs.items():
                fresh = number - a_at <= fresh_ms and number - b_at <= fresh_ms
                if a == b:
                    continue
                if fresh and (a_bid - b_ask) / b_ask * 1e4 >= 1.0:
                    if (symbol, a, b) not in crossed:
                        onsets.append((number, a, symbol))
                    crossed.add((symbol, a, b))
                else:
                    crossed.discard((symbol, a, b))
    return sorted(onsets)


def numbered(
    made: list[tuple[str, int, int, int, str]],
) -> list[tuple[int, str, float, float, str]]:
    """Make quotes of venue, bid, width, pause before it and symbol."""
    rows, number = [], 0
    for venue, bid, width, pause, symbol in made:
        number += pause
        rows.append((number, venue, float(bid), float(bid + width), symbol))
    return rows


def onsets(
    hook: Hook, rows: list[tuple[int, str, float, float, str]], cuts: list[int]
) -> list[tuple[int, str, str]]:
    """Return `cause_ord`, venue and symbol of what a hook finds in batches cut anywhere."""
    state, found, at = hook.start(), [], 0
    while at < len(rows):
        size = cuts[at % len(cuts)]
        state, signals = hook.step(state, quotes(*rows[at : at + size]))
        found += signals.to_pylist() if signals is not None else []
        at += size
    return sorted((s["cause_ord"], s["venue"], s["symbol"]) for s in found)
