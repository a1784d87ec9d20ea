"""Values of a query result as text with every digit."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from itertools import islice, pairwise
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def shown(table: pa.Table) -> list[tuple[str | None, ...]]:
    """Return each row's values for display, None where there is none; times are texts already.

    A number is the shortest that reads back as the same, without an exponent.
    """
    columns = (_texts(column, "-", only_finite=False) for column in table.columns)
    return list(zip(*columns, strict=True))


def written(column: pa.Array) -> list[str | None]:
    """Return a column's values for files, where a whole double keeps its point.

    Inside nested values NaN and infinities are null.
    """
    return _texts(column, "0", only_finite=True)


def text(value: Any) -> str:
    """Return one value as text; a nested one as JSON."""
    if isinstance(value, float):
        # NaN and infinities have no positional form.
        return np.format_float_positional(value, trim="0") if np.isfinite(value) else repr(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    return _nested(value) if isinstance(value, list | dict) else str(value)


def flat(column: Any, *, only_finite: bool) -> Any:
    """Turn times into ISO 8601 texts in UTC, decimals into texts, bytes into hexadecimal digits.

    Nested values stay. With `only_finite`, NaN and infinities become null.
    """
    kind = column.type
    if pa.types.is_timestamp(kind):
        # `strftime` gives the same, and takes five times as long.
        spaced = column.cast(pa.timestamp(kind.unit)).cast(pa.string())
        whole = pc.replace_substring(spaced, " ", "T", max_replacements=1)
        return pc.binary_join_element_wise(whole, "Z", "")
    if pa.types.is_interval(kind):
        return pa.array(map(_interval, column.to_pylist()), pa.string())
    if pa.types.is_temporal(kind):
        return column.cast(pa.string())
    if pa.types.is_decimal(kind):
        texts = (None if value is None else text(value) for value in column.to_pylist())
        return pa.array(texts, pa.string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        texts = (None if value is None else value.hex() for value in column.to_pylist())
        return pa.array(texts, pa.string())
    if pa.types.is_floating(kind) and only_finite:
        return pc.if_else(pc.is_finite(column), column, None)
    return column


def values(
    column: pa.Array | pa.ChunkedArray, *, only_finite: bool, keeps_decimals: bool = False
) -> list[Any]:
    """Return the values in JSON types, nested ones converted as by `flat`.

    A map becomes an object, a single the double with the same digits. Decimals are texts, or stay
    what they are.
    """

    def within(part: Any) -> list[Any]:
        return values(part, only_finite=only_finite, keeps_decimals=keeps_decimals)

    if isinstance(column, pa.ChunkedArray):
        return [value for chunk in column.chunks for value in within(chunk)]
    kind = column.type
    if pa.types.is_map(kind):
        return _maps(column, within)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        items = iter(within(column.flatten()))
        lengths = pc.list_value_length(column).to_pylist()
        return [None if length is None else list(islice(items, length)) for length in lengths]
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        rows = zip(*map(within, column.flatten()), strict=True)
        has = column.is_valid().to_pylist()
        return [
            dict(zip(names, row, strict=True)) if is_there else None
            for row, is_there in zip(rows, has, strict=True)
        ]
    if pa.types.is_union(kind):
        kept = [within(column.field(number)) for number in range(kind.num_fields)]
        # Arrow's own `type_codes` are those of the first rows, of a slice too.
        codes = np.frombuffer(column.buffers()[1], np.int8)[column.offset :]
        return [kept[code][at] for at, code in enumerate(codes[: len(column)])]
    if pa.types.is_decimal(kind) and keeps_decimals:
        return list(column.to_pylist())
    found = flat(column, only_finite=only_finite)
    if pa.types.is_floating(kind) and not pa.types.is_float64(kind):
        # A float32 as a Python float would show digits that it does not have.
        single = kind.to_pandas_dtype()
        return [None if v is None else float(str(single(v))) for v in found.to_pylist()]
    return list(found.to_pylist())


def _maps(column: Any, within: Callable[[Any], list[Any]]) -> list[dict[str, Any] | None]:
    offsets = column.offsets.to_pylist()
    first, count = offsets[0], offsets[-1] - offsets[0]
    names = map(_name, within(column.keys.slice(first, count)))
    pairs = list(zip(names, within(column.items.slice(first, count)), strict=True))
    return [
        dict(pairs[start - first : end - first]) if is_there else None
        for (start, end), is_there in zip(
            pairwise(offsets), column.is_valid().to_pylist(), strict=True
        )
    ]


def _name(key: Any) -> str:
    return key if isinstance(key, str) else _nested(key)


def _texts(
    column: pa.Array | pa.ChunkedArray, trim: Literal["-", "0"], *, only_finite: bool
) -> list[str | None]:
    if not pa.types.is_floating(column.type):
        found = values(column, only_finite=only_finite, keeps_decimals=True)
        return [None if value is None else text(value) for value in found]
    # A float32 as a Python float would show digits that it does not have.
    kind = column.type.to_pandas_dtype()
    return [
        None
        if value is None
        else np.format_float_positional(kind(value), trim=trim)
        if np.isfinite(value)
        else repr(value)
        for value in column.to_pylist()
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


def _interval(value: pa.MonthDayNano | None) -> str | None:
    """Return an interval as DuckDB writes it, to the ns."""
    if value is None:
        return None
    seconds, ns = divmod(abs(value.nanoseconds), 1_000_000_000)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{ns:09d}"
    sign = "-" if value.nanoseconds < 0 else ""
    counts = ((value.months, "months"), (value.days, "days"))
    return " ".join([*(f"{count} {unit}" for count, unit in counts if count), sign + clock])
