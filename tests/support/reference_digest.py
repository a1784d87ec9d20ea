"""The digest of recorded rows, worked out row by row from its definition alone."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from monitor.rows.batches import KINDS, SCHEMAS, Batch


def digest(batches: Iterable[Batch]) -> str:
    """SHA-256 over each row's kind and values in `ord` order, signals apart."""
    rows = []
    for batch in batches:
        for kind, table in batch.kinds.items():
            if kind != "signal":
                plain = [
                    c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c
                    for c in table.columns
                ]
                columns = [column.to_pylist() for column in plain]
                rows += [(v[0], kind, v) for v in zip(*columns, strict=True)]
    rows.sort(key=lambda row: row[0])
    sha = hashlib.sha256()
    for _, kind, values in rows:
        sha.update(bytes([KINDS.index(kind)]))
        for value, field in zip(values, SCHEMAS[kind], strict=True):
            sha.update(_bytes(value, field.type))
    return sha.hexdigest()


def _bytes(value: Any, kind: pa.DataType) -> bytes:
    if value is None:
        return b"\0"
    if pa.types.is_list(kind):
        items = b"".join(_bytes(item, kind.value_type) for item in value)
        return b"\1" + struct.pack("<I", len(value)) + items
    if pa.types.is_string(kind):
        text = value.encode()
        return b"\1" + struct.pack("<I", len(text)) + text
    form = {"double": "<d", "uint32": "<I", "uint64": "<Q"}.get(str(kind), "<q")
    return b"\1" + struct.pack(form, value)
