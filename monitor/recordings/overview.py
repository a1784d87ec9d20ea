"""Counts per slice of whole recordings, for the mini-map, without reading ticks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from monitor.recordings.reading import open_recording
from monitor.rows import column
from monitor.state import MARK_KINDS

SLICES = 300

ROWS = "SELECT ts_recv, rows FROM stat WHERE ts_recv IS NOT NULL"
# A recording of captured frames has no `stat` rows.
TICKS = (
    "SELECT make_timestamp_ns(second * 1000000000) AS ts_recv, count(*) AS rows FROM ("
    + " UNION ALL ".join(
        f"SELECT epoch_ns(ts_recv) // 1000000000 AS second FROM {kind}"
        for kind in ("quote", "trade", "book")
    )
    + ") WHERE second IS NOT NULL GROUP BY second"
)
MARKS = "SELECT ts_recv, kind FROM status WHERE ts_recv IS NOT NULL"
SIGNALS = "SELECT ts_recv FROM signal WHERE ts_recv IS NOT NULL"


class Overview(NamedTuple):
    """Counts in `SLICES` equal slices of time: rows received, faults, and signals."""

    rows: list[int]
    marks: list[int]
    signals: list[int]


def survey(folder: Path, names: Sequence[str], span_ns: tuple[int, int]) -> Overview:
    """Count over recordings; opens them itself, so that it can run while a player reads them."""
    rows, marks, signals = (np.zeros(SLICES) for _ in range(3))
    for name in names:
        with open_recording(folder, name) as recording:
            has_stats = any(table.num_rows for table in recording.select(f"{ROWS} LIMIT 1"))
            for table in recording.select(ROWS if has_stats else TICKS):
                _count(rows, table, span_ns, "rows")
            for table in recording.select(MARKS):
                wrong = pa.compute.is_in(table["kind"], pa.array(sorted(MARK_KINDS)))
                _count(marks, table.filter(wrong), span_ns)
            for table in recording.select(SIGNALS):
                _count(signals, table, span_ns)
    return Overview(*(counted.astype(int).tolist() for counted in (rows, marks, signals)))


def _count(
    counted: np.ndarray, table: pa.Table, span_ns: tuple[int, int], weight: str | None = None
) -> None:
    found = table.combine_chunks().to_batches()
    if not found:
        return
    first, last = span_ns
    times = column(found[0], "ts_recv").astype(np.float64)
    at = ((times - first) / max(last - first, 1) * SLICES).astype(int).clip(0, SLICES - 1)
    weights = np.nan_to_num(column(found[0], weight)) if weight else None
    counted += np.bincount(at, weights, SLICES)
