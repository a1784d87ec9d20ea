"""The values of a query's result as texts that keep every digit, as nobody rounded them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pyarrow as pa


def shown(table: pa.Table) -> list[tuple[str | None, ...]]:
    """Return each row's values for people, None where there is none; times are texts already.

    A number is the shortest that reads back as the same, without an exponent.
    """
    return _rows(table, "-")


def written(table: pa.Table) -> list[tuple[str | None, ...]]:
    """Return the same for files, where a whole double keeps its point: readers go by it."""
    return _rows(table, "0")


def text(value: Any) -> str:
    """Return one value; what is nested is written as JSON."""
    if isinstance(value, float):
        # Not every one of them is a number.
        return np.format_float_positional(value, trim="0") if np.isfinite(value) else repr(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    return _nested(value) if isinstance(value, list | dict) else str(value)


def _rows(table: pa.Table, trim: Literal["-", "0"]) -> list[tuple[str | None, ...]]:
    return list(zip(*(_texts(column, trim) for column in table.columns), strict=True))


def _texts(column: pa.ChunkedArray, trim: Literal["-", "0"]) -> list[str | None]:
    values = column.to_pylist()
    if not pa.types.is_floating(column.type):
        return [None if value is None else text(value) for value in values]
    # A single as Python's own number would have digits that nobody gave it.
    kind = column.type.to_pandas_dtype()
    return [
        None
        if value is None
        else np.format_float_positional(kind(value), trim=trim)
        if np.isfinite(value)
        else repr(value)
        for value in values
    ]


def _nested(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_nested, value))}]"
    if isinstance(value, dict):
        items = (f"{json.dumps(str(name))}: {_nested(of)}" for name, of in value.items())
        return f"{{{', '.join(items)}}}"
    if value is None or isinstance(value, bool | int):
        return json.dumps(value)
    if isinstance(value, float | Decimal) and np.isfinite(float(value)):
        return text(value)
    return json.dumps(str(value), ensure_ascii=False)
