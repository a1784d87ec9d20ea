"""Books of a captured file as recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monitor import recordings
from monitor.rows.batches import INVALID, KEYFRAME
from support.running import with_ns

COLUMNS = {
    "quote": ("bid", "bid_size", "ask", "ask_size", "origin"),
    "trade": ("price", "size", "side", "trade_id", "conditions"),
    "book": ("side", "price", "size", "seq_first"),
}


def recorded(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows that frames gave rise to, in `ord` order."""
    found: list[dict[str, Any]] = []
    with recordings.open_recording(folder, name) as recording:
        for batch in recording.batches():
            for kind in COLUMNS:
                found += [{"kind": kind, **row} for row in with_ns(batch[kind]) if of_a_frame(row)]
    return sorted(found, key=lambda row: row["ord"])


def statuses(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the status rows of a recording, but for the one that a quote's origin changed."""
    with recordings.open_recording(folder, name) as recording:
        rows = [row for batch in recording.batches() for row in batch["status"].to_pylist()]
    return [row for row in sorted(rows, key=lambda row: row["ord"]) if row["kind"] != "origin"]


def of_a_frame(row: dict[str, Any]) -> bool:
    return not row["flags"] & (INVALID | KEYFRAME) and row.get("origin") != "book"
