"""Rows of any kind with every column filled, and recordings of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from monitor.recordings.recorder import Recorder
from monitor.rows.batches import KINDS, SCHEMAS, Batch

MS = 1_000_000


def row(kind: str, number: int, ts_recv: int, value: float | None = 1.0) -> dict[str, Any]:
    """A row of `kind` with `ord` number; every other column is filled by its type."""
    by_type = {"string": "x", "double": value, "uint64": number, "uint32": 0, "int64": -number}
    made: dict[str, Any] = {f.name: by_type.get(str(f.type)) for f in SCHEMAS[kind]}
    return made | {"ord": number, "ts_recv": ts_recv}


def batch_of(rows: list[tuple[str, dict[str, Any]]]) -> Batch:
    kinds = {}
    for kind in KINDS:
        mine = [made for name, made in rows if name == kind]
        if mine:
            kinds[kind] = pa.RecordBatch.from_pylist(mine, schema=SCHEMAS[kind])
    return Batch(kinds)


def ignore(*_: object) -> None:
    """Nobody listens to the recorder here."""


def record(folder: Path, batches: list[Batch], **options: Any) -> Recorder:
    recorder = Recorder(folder, ["test:X"], ignore, **options)
    recorder.start()
    for batch in batches:
        recorder(batch)
    recorder.close()
    return recorder
