"""Signals as text for people and as JSON for programs."""

from __future__ import annotations

from math import isfinite
from typing import Any

import pyarrow as pa

from monitor.rows.batches import column
from monitor.rows.times import iso

TEXT_CHARS = 1000


def documents(rows: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return signals in JSON types."""
    names = ["venue", "symbol", "hook", "level", "value", "text", "cause_ord"]
    found = rows.select(names).to_pylist()
    for row in found:
        row["text"] = (row["text"] or "")[:TEXT_CHARS]
        if row["value"] is not None and not isfinite(row["value"]):
            row["value"] = None
    times = column(rows, "ts_recv").tolist()
    return [{"time": iso(at), **row} for at, row in zip(times, found, strict=True)]


def line(document: dict[str, Any]) -> str:
    """Return a signal as one line, whatever characters a venue sends."""
    where = ":".join(part for part in (document["venue"], document["symbol"]) if part)
    told = f"{document['time']} {document['level']} {where} {document['text']}"
    return "".join(char if char.isprintable() else "�" for char in told)
