"""The source of a plot in the browser: bounded, and ordered by time.

BokehJS neither shortens a source that is longer than its rollover nor keeps its order, and a row
that belongs before the last one would be drawn at the end. So sources are filled with at most
their rollover, and a source that receives older rows is sent again, in order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.state import Columns

# Shorter columns are streamed as lists: these are part of the message, while an array takes two
# more.
LIGHT_ROWS = 64


def fill(source: Any, columns: Columns | None, rollover: int, by: str | None) -> None:
    """Replace the rows of a source by the last ones of these, in the order of the column `by`."""
    if columns:
        # A patch changes arrays in place: two sources that share one would take each other's
        # new values for what the browser has, and not send them.
        source.data = {name: v.copy() for name, v in _last(columns, rollover, by).items()}
    else:
        source.data = {name: [] for name in source.data}


def extend(source: Any, columns: Columns, rollover: int, by: str | None) -> None:
    """Add rows to a source; rows older than its last one are sorted in."""
    columns = _last(columns, rollover, by)
    if by and _is_older(columns[by], source.data[by]):
        whole = {name: np.append(_array(source.data[name], v), v) for name, v in columns.items()}
        source.data = _last(whole, rollover, by)
    else:
        light = {n: v.tolist() if len(v) <= LIGHT_ROWS else v for n, v in columns.items()}
        source.stream(light, rollover=rollover)


def _is_older(times: npt.NDArray[Any], before: Any) -> bool:
    return bool(len(times) and len(before)) and bool(times[0] < before[-1])


def _last(columns: Columns, rollover: int, by: str | None) -> Columns:
    if by and (np.diff(columns[by]) < 0).any():
        order = np.argsort(columns[by], kind="stable")
        columns = {name: values[order] for name, values in columns.items()}
    return {name: values[-rollover:] for name, values in columns.items()}


def _array(values: Any, like: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.asarray(values, object if like.dtype == object else None)
