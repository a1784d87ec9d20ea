"""The chart of a query result: one line per number column over its time column."""

from __future__ import annotations

from typing import Any, NamedTuple

import holoviews as hv
import numpy as np
import pandas as pd
import panel as pn
import pyarrow as pa
import pyarrow.compute as pc

from monitor.page.views import plot
from monitor.page.views.figure_style import dress

MAX_LINES = 8
MAX_POINTS = 4_000
HEIGHT = 320
# Lines differ by their dashes too.
DASHES = ("solid", "dashed", "dotted", "dashdot")


class Axes(NamedTuple):
    """The drawable columns of a result: times, numbers, and texts that separate lines."""

    times: list[str]
    numbers: list[str]
    texts: list[str]


def axes(table: pa.Table) -> Axes:
    """Sort the columns of a result by their possible role in a chart."""
    found = Axes([], [], [])
    for field in table.schema:
        if pa.types.is_timestamp(field.type) or pa.types.is_date(field.type):
            found.times.append(field.name)
        elif (
            pa.types.is_integer(field.type)
            or pa.types.is_floating(field.type)
            or pa.types.is_decimal(field.type)
        ):
            found.numbers.append(field.name)
        elif pa.types.is_string(field.type):
            distinct = pc.count_distinct(table[field.name]).as_py()
            if 1 < distinct <= MAX_LINES:
                found.texts.append(field.name)
    return found


def chart(table: pa.Table, time: str, number: str, by: list[str]) -> Any:
    """Draw one column over another, with a line for each combination of `by`."""
    columns = {name: table[name] for name in by}
    frame = pd.DataFrame(
        {
            "time": table[time].cast(pa.timestamp("us"), safe=False).to_numpy(),
            "value": table[number].cast(pa.float64(), safe=False).to_numpy(),
            **{name: column.to_pandas() for name, column in columns.items()},
        }
    ).sort_values("time", kind="stable")
    # pandas expects a single key without a list.
    groups = frame.groupby(by if len(by) > 1 else by[0], dropna=False) if by else [("", frame)]
    lines: list[Any] = []
    for key, rows in list(groups)[:MAX_LINES]:
        label = " ".join(map(str, key)) if isinstance(key, tuple) else str(key)
        at = len(lines)
        lines.append(
            hv.Curve(_thin(rows), "time", "value", label=label or number).opts(
                color=plot.LINES[at % len(plot.LINES)],
                line_dash=DASHES[at // 2 % len(DASHES)],
                line_width=1.5,
                tools=["hover"],
            )
        )
    title = f"{number} by {', '.join(by)}" if by else number
    return pn.pane.HoloViews(
        hv.Overlay(lines).opts(
            hv.opts.Overlay(
                responsive=True,
                height=HEIGHT,
                title=title,
                xlabel="",
                ylabel=number,
                legend_position="top_left",
                shared_axes=False,
                active_tools=["pan", "wheel_zoom"],
                hooks=[dress],
            )
        ),
        linked_axes=False,
        sizing_mode="stretch_width",
    )


def _thin(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the lowest and highest value of each of many stretches, in order."""
    if len(rows) <= MAX_POINTS:
        return rows
    stretch = np.arange(len(rows)) * (MAX_POINTS // 2) // len(rows)
    numbered = rows["value"].reset_index(drop=True).groupby(stretch)
    kept = pd.concat([numbered.idxmin(), numbered.idxmax()]).dropna().astype(int)
    return rows.iloc[np.unique(kept)]
