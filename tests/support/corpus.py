"""A captured file ingested, and the rows that the independent decoder finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import reference

from monitor import recordings
from monitor.rows.batches import SNAPSHOT

COMPARED = {
    "quote": ("bid", "bid_size", "ask", "ask_size"),
    "trade": ("price", "size", "side", "trade_id"),
}


def recorded(folder: Path, name: str, with_recv: bool = True) -> list[tuple[Any, ...]]:
    """Return the quotes and trades of a recording in `ord` order, as comparable tuples."""
    found = []
    with recordings.open_recording(folder, name) as recording:
        for batch in recording.batches():
            for kind, names in COMPARED.items():
                rows = batch[kind]
                rows = rows.set_column(1, "ts_recv", rows["ts_recv"].cast("int64"))
                rows = rows.set_column(2, "ts_event", rows["ts_event"].cast("int64"))
                rows = rows.set_column(3, "ts_sent", rows["ts_sent"].cast("int64"))
                for row in rows.to_pylist():
                    if kind == "quote" and (row["bid"] is None or row["origin"] == "book"):
                        continue
                    found.append((row["ord"], kind, _tuple(row, names, with_recv)))
    return [(kind, *values) for _, kind, values in sorted(found)]


def expected(file: Path, venue: str, with_recv: bool = True) -> list[tuple[Any, ...]]:
    found = []
    for row in reference.rows(file, venue):
        if row["kind"] not in COMPARED:
            continue
        names = COMPARED[row["kind"]]
        as_double = {n: float(row[n]) for n in names if n not in ("side", "trade_id")}
        found.append((row["kind"], *_tuple({**row, **as_double}, names, with_recv)))
    return found


def _tuple(row: dict[str, Any], names: tuple[str, ...], with_recv: bool) -> tuple[Any, ...]:
    common = ("venue", "symbol", "ts_event", "ts_sent", "seq")
    recv = (row["ts_recv"],) if with_recv else ()
    return (*recv, row["flags"] & SNAPSHOT, *(row[name] for name in (*common, *names)))
