"""Export a recording as one Parquet or CSV file per kind."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from monitor import recordings
from monitor.rows import KINDS, SCHEMAS, exact_text
from monitor.sql import queries

FORMATS = ("parquet", "csv")
# A row group stays in memory until it has this many rows or bytes.
GROUP_ROWS = 100_000
GROUP_BYTES = 32 << 20

# Called with the rows written so far, and the total.
OnProgress = Callable[[int, int], None]


def export(
    folder: Path, recording: str, to: Path, form: str, on_progress: OnProgress
) -> dict[str, int]:
    """Write all rows of a recording into `to`, one file per kind; return the rows by kind.

    The files get their names once all are complete. FileExistsError if one exists already,
    ValueError if no segment can be read.
    """
    name, path = recordings.find(folder, recording)
    targets = {kind: to / f"{kind}.{form}" for kind in KINDS}
    _expect_none(targets)
    counts = dict.fromkeys(KINDS, 0)
    with recordings.parts_of(folder, path) as parts, _workplace(to) as workplace:
        if not any(part.entry for part in parts):
            raise ValueError(f"expected a segment of {name} that can be read, found none")
        total = sum(sum(part.entry.rows.values()) for part in parts if part.entry)
        opened = recordings.Recording(name, parts)
        try:
            for kind in KINDS:
                for group in _write(opened, kind, workplace / targets[kind].name, form):
                    counts[kind] += group
                    on_progress(sum(counts.values()), total)
        finally:
            opened.close()
        _expect_none(targets)
        for target in targets.values():
            (workplace / target.name).rename(target)
    return counts


def _expect_none(targets: dict[str, Path]) -> None:
    for target in targets.values():
        if target.exists():
            raise FileExistsError(f"expected no {target.name} in {target.parent}, found one")


@contextmanager
def _workplace(to: Path) -> Iterator[Path]:
    """Make a folder in `to` for incomplete files; remove it in any case."""
    is_new = not to.exists()
    to.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(prefix=".export-", dir=to))
    try:
        yield workplace
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
        if is_new and not any(to.iterdir()):
            to.rmdir()


def _write(opened: recordings.Recording, kind: str, file: Path, form: str) -> Iterator[int]:
    """Write the rows of one kind; yield the row count of each group."""
    schema = SCHEMAS[kind] if form == "parquet" else _texts(SCHEMAS[kind].empty_table()).schema
    writer = (
        pq.ParquetWriter(file, schema, compression="zstd")
        if form == "parquet"
        else pa_csv.CSVWriter(file, schema)
    )
    with writer:
        for group in _groups(opened.rows(kind)):
            writer.write_table(group if form == "parquet" else _texts(group))
            yield group.num_rows


def _groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= GROUP_ROWS or size >= GROUP_BYTES:
            yield pa.Table.from_batches(held)
            held, rows, size = [], 0, 0
    if held:
        yield pa.Table.from_batches(held)


def _texts(table: pa.Table) -> pa.Table:
    """Convert lists to JSON, because CSV has no lists, and times to ISO 8601."""
    table = queries.texts(table, only_finite=False)
    for at, name in enumerate(table.column_names):
        if pa.types.is_list(table[name].type):
            lists = exact_text.values(table[name], only_finite=True)
            texts = [None if values is None else json.dumps(values) for values in lists]
            table = table.set_column(at, name, pa.array(texts, pa.string()))
    return table
