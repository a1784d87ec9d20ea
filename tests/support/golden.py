"""Documented frames decoded one by one."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from monitor._rust_feed import Feed, Session
from monitor.rows.batches import SCHEMAS

MS, US = 1_000_000, 1_000


def decode(venue: str, *frames: str) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of all kinds that frames received at 1 ns, 2 ns … become."""
    feed = Feed(1000)
    session = Session(feed, venue, "{}")
    for at, frame in enumerate(frames, 1):
        session.frame(1, frame, at, 0)
    return rows_of(feed)


def rows_of(feed: Feed) -> dict[str, list[dict[str, Any]]]:
    """Return all rows that a feed holds, by kind; times are ns since 1970."""
    drained = feed.drain(0, 0) or {}
    rows = {kind: pa.record_batch(batch) for kind, batch in drained.items()}
    for kind, batch in rows.items():
        assert batch.schema.equals(SCHEMAS[kind])
    plain = {kind: batch.cast(_plain(batch.schema)) for kind, batch in rows.items()}
    return {kind: batch.to_pylist() for kind, batch in plain.items()}


def _plain(schema: pa.Schema) -> pa.Schema:
    number = pa.int64()
    times = [pa.types.is_timestamp(field.type) for field in schema]
    return pa.schema([f.with_type(number) if t else f for f, t in zip(schema, times, strict=True)])


def picked(row: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in expected}
