"""Turn the signals of a user's hook into rows."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from monitor.rows import SCHEMAS
from monitor.settings import Severity


def signals(
    causes: pa.RecordBatch,
    level: Severity,
    texts: Sequence[str],
    values: Sequence[float | None] | None = None,
) -> pa.RecordBatch:
    """Make rows of kind `signal`, one for each row of `causes`, for a user's hook."""
    count = causes.num_rows
    columns = {
        **{name: causes[name] for name in ("ts_recv", "venue", "symbol")},
        "cause_ord": causes["ord"],
        "conn": pa.array([0] * count, pa.uint32()),
        "flags": pa.array([0] * count, pa.uint32()),
        "level": pa.array([level] * count, pa.string()),
        "text": pa.array(texts, pa.string()),
        "value": pa.array([None] * count if values is None else values, pa.float64()),
    }
    schema = SCHEMAS["signal"]
    arrays = [columns.get(field.name, pa.nulls(count, field.type)) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
