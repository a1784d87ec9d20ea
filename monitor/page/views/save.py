"""Save what a plot shows: toolbar buttons, and the rows in view."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from bokeh.models import CustomAction, CustomJS, SaveTool, WheelZoomTool

from monitor.hub import Hub, Instrument
from monitor.sql import queries
from monitor.state import BOUNDS

FORMS = {"csv": "CSV", "parquet": "Parquet"}
# `habits.js` handles the event and saves the file on the viewer's disk.
_ASK = """
    const {start, end} = figure.x_range;
    const detail = {figure: figure.id, form, start, end};
    window.dispatchEvent(new CustomEvent("monitor-save", {detail}));
"""
_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><g fill="none" stroke="#8290a2" '
    'stroke-width="1.6"><path d="M12 2v8m-4-3.5L12 10l4-3.5"/></g><text x="12" y="21" '
    'font-family="sans-serif" font-weight="700" font-size="9.5" text-anchor="middle" '
    'fill="#8290a2">{}</text></svg>'
)
_COLUMN = re.compile(r"@(\w+)")


def offer(figure: Any, title: str) -> None:
    """Give a figure tools that save what it shows: its rows in each form, beside the picture."""
    for tool in figure.tools:
        if isinstance(tool, WheelZoomTool):
            # Wheel zoom is always on: its button makes room for these.
            tool.visible = False
        elif isinstance(tool, SaveTool):
            tool.update(filename=slug(title), description="Save the picture as PNG")
    figure.add_tools(
        *(
            CustomAction(
                description=f"Save the rows in view as {name}",
                icon=_icon(name[:3].upper()),
                callback=CustomJS(args={"figure": figure, "form": form}, code=_ASK),
            )
            for form, name in FORMS.items()
        )
    )


def file(
    plot: Any, form: str, start: float, end: float, hub: Hub, instrument: Instrument
) -> tuple[str, bytes]:
    """Return the name and the bytes of a file of the rows in view."""
    out = io.BytesIO()
    queries.write(rows(plot, start, end, hub, instrument), form, out)
    at = np.datetime64(hub.now_ns, "ns").astype("datetime64[s]").item()
    where = "-".join(re.sub(r"[^A-Za-z0-9]+", "-", part) for part in instrument)
    return f"{slug(plot.title)}-{where}-{at:%Y%m%dT%H%M%SZ}.{form}", out.getvalue()


def rows(plot: Any, start: float, end: float, hub: Hub, instrument: Instrument) -> pa.Table:
    """Return the hover values within a range of the x axis, under their hover names.

    Elements that share their times are side by side, others below each other in order of time.
    """
    known = _times(hub, getattr(plot, "owners", []) or [instrument])
    parts: list[dict[str, Any]] = []
    for renderer, hover in zip(plot.renderers, plot.hovers, strict=True):
        data = {name: np.asarray(values) for name, values in renderer.data_source.data.items()}
        if hover is None or not len(next(iter(data.values()))):
            continue
        left, right = (data[side if side in data else "time"] for side in ("left", "right"))
        seen = (right >= start) & (left <= end)
        count = int(seen.sum())
        part: dict[str, Any] = {}
        for name, told in hover.tooltips:
            column = _COLUMN.match(told)
            if column is None:
                part[name or "source"] = [told] * count
            elif name == "time":
                part[name] = _exact(data["time"][seen], known)
            else:
                part[name] = data[column[1]][seen]
        if parts and _go_together(parts[-1], part):
            parts[-1] |= part
        elif count:
            parts.append(part)
    if not parts:
        return pa.table({"time": pa.array([], pa.timestamp("ns", "UTC"))})
    tables = [pa.table({name: _array(name, v) for name, v in part.items()}) for part in parts]
    whole = pa.concat_tables(tables, promote_options="permissive")
    return whole.sort_by("time") if "time" in whole.column_names else whole


def slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _icon(text: str) -> str:
    svg = base64.b64encode(_ICON.format(text).encode()).decode()
    return f"data:image/svg+xml;base64,{svg}"


def _go_together(before: dict[str, Any], part: dict[str, Any]) -> bool:
    return before.keys() & part.keys() == {"time"} and np.array_equal(before["time"], part["time"])


def _array(name: str, values: Any) -> pa.Array:
    if name == "time":
        return pa.array(values).cast(pa.timestamp("ns", "UTC"))
    return pa.array(values, from_pandas=True)


def _times(hub: Hub, instruments: list[Instrument]) -> npt.NDArray[np.int64]:
    """Return the times of all rows of the instruments that the hub still has, in order."""
    found = [np.empty(0, np.int64)]
    for instrument in instruments:
        for kind in BOUNDS:
            _, columns = hub.since(kind, instrument, 0)
            found += [columns["ts_recv"]] if columns else []
    return np.unique(np.concatenate(found))


def _exact(ms: npt.NDArray[np.float64], known: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return times in ns, from the hub's rows: a plot's times in ms are precise to about 250 ns."""
    ns = np.rint(ms * 1e6).astype(np.int64)
    if not len(known):
        return ns
    as_drawn = known / 1e6
    at = np.searchsorted(as_drawn, ms).clip(max=len(known) - 1)
    return np.where(as_drawn[at] == ms, known[at], ns)
