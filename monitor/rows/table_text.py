"""A table as CSV or JSON: whole columns at a time, no Python object per value.

Numbers have all their digits. In CSV a missing value is an empty cell, an empty text is `""`; a
double that is not finite is `nan`, `inf` or `-inf`. In JSON these are null.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.rows import exact_text

# Rows held as text at one time.
BATCH_ROWS = 50_000
TEXT = pa.large_string()
NEEDS_QUOTES = '[",\r\n]'
NEEDS_ESCAPES = r'["\\\x00-\x1f]'


def write_csv(table: pa.Table, out: BinaryIO) -> None:
    """Write a header and a line for each row; lines end in LF."""
    out.write(_lines([_quoted(pa.array([name], TEXT)) for name in table.column_names]))
    for batch in table.to_batches(max_chunksize=BATCH_ROWS):
        out.write(_lines([_csv_cells(column) for column in batch.columns]))


def _lines(cells: Sequence[pa.Array]) -> memoryview:
    if len(cells) == 1:
        # Readers would skip a line without any character.
        cells = [pc.fill_null(cells[0], '""')]
    parts = [part for column in cells for part in (_text(","), column)]
    return _joined(parts[1:], _text("\n"))


def write_json(table: pa.Table, out: BinaryIO) -> None:
    """Write one array of objects; among columns with the same name the last counts."""
    places = {name: at for at, name in enumerate(table.column_names)}
    out.write(b"[")
    is_first = True
    for batch in table.to_batches(max_chunksize=BATCH_ROWS):
        parts: list[Any] = []
        for name, at in places.items():
            lead = ", " if parts else ", {"
            parts += [_text(f"{lead}{json.dumps(name, ensure_ascii=False)}: ")]
            parts += [pc.fill_null(_json_cells(batch.column(at)), "null")]
        text = _joined(parts, _text("}"))
        out.write(text[2:] if is_first else text)
        is_first = is_first and not batch.num_rows
    out.write(b"]\n")


def _joined(parts: Sequence[Any], end: pa.Scalar) -> memoryview:
    """Return the rows' texts concatenated, without a copy."""
    rows = pc.binary_join_element_wise(
        *parts, end, _text(""), null_handling="replace", null_replacement=""
    )
    _, offsets, data = rows.buffers()
    if not len(rows) or data is None:
        return memoryview(b"")
    ends = np.frombuffer(offsets, np.int64)[rows.offset : rows.offset + len(rows) + 1]
    return memoryview(data)[ends[0] : ends[-1]]


def _text(text: str) -> pa.Scalar:
    return pa.scalar(text, TEXT)


def _csv_cells(column: pa.Array) -> pa.Array:
    column = _plain(column)
    kind = column.type
    if pa.types.is_boolean(kind):
        return pc.if_else(column, _text("True"), _text("False"))
    if pa.types.is_integer(kind):
        return column.cast(TEXT)
    if pa.types.is_float32(kind) or pa.types.is_float64(kind):
        return _numbers(column, partial(np.format_float_positional, trim="0"))
    if pa.types.is_temporal(kind):
        return exact_text.flat(column, only_finite=False).cast(TEXT)
    if kind == TEXT:
        return _quoted(column)
    return _quoted(pa.array(exact_text.written(column), TEXT))


def _json_cells(column: pa.Array) -> pa.Array:
    column = _plain(column)
    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return column.cast(TEXT)
    if pa.types.is_float32(kind) or pa.types.is_float64(kind):
        finite = pc.if_else(pc.is_finite(column), column, None)
        # A float32 is written as the double with the same digits.
        return _numbers(finite, lambda value: repr(float(str(value))))
    if pa.types.is_temporal(kind):
        return _between_quotes(exact_text.flat(column, only_finite=True).cast(TEXT))
    if kind == TEXT:
        is_odd = pc.match_substring_regex(column, NEEDS_ESCAPES)
        return _between_quotes(_replaced(column, is_odd, column, _escaped))
    values = exact_text.values(column, only_finite=True)
    texts = (None if v is None else json.dumps(v, ensure_ascii=False, default=str) for v in values)
    return pa.array(texts, TEXT)


def _plain(column: pa.Array) -> pa.Array:
    """Return the column as it is, its texts as one type of text."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(TEXT) if pa.types.is_string(column.type) else column


def _numbers(column: pa.Array, write: Callable[[Any], str]) -> pa.Array:
    """Write numbers in decimal notation; `write` formats those for which Arrow uses an exponent."""
    texts = column.cast(TEXT)
    texts = _replaced(texts, pc.match_substring(texts, "e"), column, write)
    is_whole = pc.match_substring_regex(texts, r"^-?\d+$")
    pointed = pc.binary_join_element_wise(texts, _text(".0"), _text(""))
    return pc.if_else(is_whole, pointed, texts)


def _replaced(
    texts: pa.Array, mask: pa.Array, values: pa.Array, write: Callable[[Any], str]
) -> pa.Array:
    """Replace the marked values."""
    mask = pc.fill_null(mask, False)
    marked = values.filter(mask)
    if not len(marked):
        return texts
    is_text = marked.type == TEXT
    found = marked.to_pylist() if is_text else marked.to_numpy(zero_copy_only=False)
    return pc.replace_with_mask(texts, mask, pa.array(map(write, found), TEXT))


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _quoted(column: pa.Array) -> pa.Array:
    """Quote cells that need it; quotes also distinguish an empty text from NULL."""
    needs = pc.or_(pc.match_substring_regex(column, NEEDS_QUOTES), pc.equal(column, ""))
    doubled = pc.replace_substring(column, '"', '""')
    return pc.if_else(needs, _between_quotes(doubled), column)


def _between_quotes(column: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(_text('"'), column, _text('"'), _text(""))
