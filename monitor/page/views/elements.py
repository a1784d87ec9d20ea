"""The empty elements of plots, and the hovers that show exact values."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
from bokeh.models import HoverTool

# Wider lines take several times as long in a browser without a GPU.
LINE_WIDTH = 1.0


def hover(tooltips: list[tuple[str, str]], time: bool = True, **options: Any) -> HoverTool:
    """Make a hover tool that shows exact values and their times."""
    told = told_at_time(tooltips) if time else tooltips
    # Always on: the toolbar has no button for it.
    options = {"formatters": {"@time": "datetime"}, "visible": False, **options}
    return HoverTool(tooltips=told, **options)


def told_at_time(tooltips: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [("time", "@time{%H:%M:%S.%3N}"), *tooltips]


def exact(name: str) -> str:
    """Show a column in a tooltip with as many decimals as the venue sent."""
    return f"@{name}{{0,0.[0000000000]}}"


def curve(
    name: str,
    label: str,
    color: str,
    extra: tuple[str, ...] = (),
    over: str = "time",
    **options: Any,
) -> Any:
    """Make an empty line; the columns `extra` are for the hover."""
    data = _empty((over,), (name, *extra), over)
    line = {"color": color, "line_width": LINE_WIDTH, **options}
    return hv.Curve(data, over, [name, *extra], label=label).opts(**line)


def points(name: str, label: str, extra: tuple[str, ...] = (), **options: Any) -> Any:
    """Make empty points over `time`."""
    data = _empty(("time",), (name, *extra))
    return hv.Scatter(data, "time", [name, *extra], label=label).opts(**options)


def quads(label: str, extra: tuple[str, ...] = (), over: str = "time", **options: Any) -> Any:
    """Make empty rectangles; their source has `left`, `right`, `bottom`, `top` and `extra`."""
    data = _empty(("x0", "x1"), ("y0", "y1", *extra), over)
    return hv.Rectangles(data, ["x0", "y0", "x1", "y1"], list(extra), label=label).opts(**options)


def segments(label: str, extra: tuple[str, ...] = (), **options: Any) -> Any:
    """Make empty lines from `time`, `from` to `until`, `to`."""
    data = _empty(("time", "until"), ("from", "to", *extra))
    ends = ["time", "from", "until", "to"]
    return hv.Segments(data, ends, list(extra), label=label).opts(**options)


def texts(extra: tuple[str, ...] = (), **options: Any) -> Any:
    """Make an empty element of `text` at `time` and `at`."""
    data = _empty(("time",), ("at", "text", *extra))
    return hv.Labels(data, ["time", "at"], ["text", *extra]).opts(**options)


def _empty(across: tuple[str, ...], others: tuple[str, ...], over: str = "time") -> Any:
    """Make a table without rows; HoloViews takes the kind of axis from its type."""
    columns: dict[str, Any] = dict.fromkeys(others, np.array([], float))
    x = pd.to_datetime([]) if over == "time" else np.array([], float)
    return pd.DataFrame({**dict.fromkeys(across, x), **columns})
