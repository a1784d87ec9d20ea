"""What every plot shares: HoloViews draws it once, then its sources are streamed into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
import panel as pn
from bokeh.models import ColumnDataSource, CustomJSTickFormatter, DataRange1d, DatetimeAxis

from monitor.hub import Columns, Hub, Instrument
from monitor.views import style

ROLLOVER_ROWS = 6_000
ROLLOVER_MARKS = 200
# More new rows than this per refresh are thinned; the extremes of every bucket stay.
BUCKETS = 40
FOLLOW_MS = 60_000
HEIGHT = 250
# Told apart by people who see red and green alike, and at 3 to 1 from a dark and a light ground.
BID, ASK, MID = "#2f81f7", "#d9730d", "#8290a2"
BUY, SELL, MARK = "#159a8c", "#d6478c", "#b8860b"
# Writes a time in a zone other than UTC, as finely as the ticks stand.
ZONED_TICK = """
    const step = ticks.length > 1 ? ticks[1] - ticks[0] : 1000;
    const time = {hour12: false, hour: "2-digit", minute: "2-digit", timeZone: zone};
    if (step < 60000) time.second = "2-digit";
    if (step < 1000) time.fractionalSecondDigits = 3;
    if (index == 0) { time.month = "short"; time.day = "numeric"; }
    return new Intl.DateTimeFormat("en-GB", time).format(new Date(tick));
"""


class Plot:
    """A plot of one instrument; a subclass says what it draws and which rows of the hub it wants.

    `draw` gives the elements, each with a column `time`; `series` turns columns of the hub into
    one dictionary per element, in the same order.
    """

    title = ""
    unit = ""
    kinds: tuple[str, ...] = ("quote",)

    def __init__(self) -> None:
        self._sources: list[ColumnDataSource] = []
        self._cursors = dict.fromkeys(self.kinds, 0)
        self._shown: tuple[Any, ...] | None = None
        self._figure: Any = None
        self._mark_cursor = 0
        self._marks = ColumnDataSource({"time": [], "text": []})
        overlay = hv.Overlay([element.opts(hooks=[self._keep_source]) for element in self.draw()])
        self.pane = pn.pane.HoloViews(
            overlay.opts(
                hv.opts.Overlay(
                    responsive=True,
                    height=HEIGHT,
                    title=self.title,
                    show_legend=True,
                    legend_position="top_left",
                    xlabel="",
                    ylabel=self.unit,
                    apply_ranges=False,
                    shared_axes=False,
                    active_tools=["pan", "wheel_zoom"],
                    hooks=[_dress, _let_follow, self._add_marks],
                )
            ),
            linked_axes=False,
            sizing_mode="stretch_width",
        )

    def draw(self) -> list[Any]:
        raise NotImplementedError

    def series(self, kind: str, rows: Columns) -> dict[int, Columns]:
        """Return, by the index of the element, the columns to append to its source."""
        raise NotImplementedError

    def refresh(self, hub: Hub, instrument: Instrument) -> None:
        """Bring the plot up to date: increments, or all there is for another instrument or time."""
        if not self._sources:
            return
        shown = (id(hub), hub.epoch, instrument)
        anew = shown != self._shown
        if anew:
            if self._shown is not None and self._figure is not None:
                # Where a viewer had panned to means nothing for another instrument or time.
                self._figure.x_range, self._figure.y_range = _ranges()
            self._shown, self._cursors = shown, dict.fromkeys(self.kinds, 0)
            self._mark_cursor = 0
        new: dict[int, Columns] = {}
        for kind in self.kinds:
            self._cursors[kind], rows = hub.since(kind, instrument, self._cursors[kind])
            if rows and len(rows["ts_recv"]):
                new |= self.series(kind, rows if anew else thin(rows))
        for at, source in enumerate(self._sources):
            if anew:
                empty: dict[str, Any] = {name: [] for name in source.data}
                source.data = {**empty, **_bokeh(new.get(at, {}))}
            elif at in new:
                source.stream(_bokeh(new[at]), rollover=ROLLOVER_ROWS)
        self._refresh_marks(hub, instrument, anew)

    def _refresh_marks(self, hub: Hub, instrument: Instrument, anew: bool) -> None:
        self._mark_cursor, marks = hub.marks(self._mark_cursor)
        venue, symbol = instrument
        mine = [m for m in marks if m.venue in (venue, "monitor") and m.symbol in (None, symbol)]
        columns = {
            "time": np.array([m.ts_recv for m in mine], "datetime64[ns]").astype("datetime64[us]"),
            "text": [f"{m.kind} {m.text}" for m in mine],
        }
        if anew:
            self._marks.data = columns
        elif mine:
            self._marks.stream(columns, rollover=ROLLOVER_MARKS)

    def _add_marks(self, plot: Any, element: Any) -> None:
        """Draw what went wrong as lines across the time axis."""
        self._figure = plot.state
        if not plot.state.select({"name": "marks"}):
            plot.state.vspan(
                x="time",
                source=self._marks,
                name="marks",
                line_color=MARK,
                line_dash="dashed",
                line_alpha=0.8,
            )

    def _keep_source(self, plot: Any, element: Any) -> None:
        source = plot.handles["source"]
        if source not in self._sources:
            self._sources.append(source)


def curve(name: str, label: str, color: str, **options: Any) -> Any:
    """Make an empty line over `time`."""
    data = pd.DataFrame({"time": pd.to_datetime([]), name: np.array([], float)})
    return hv.Curve(data, "time", name, label=label).opts(color=color, line_width=1.5, **options)


def points(name: str, label: str, extra: tuple[str, ...] = (), **options: Any) -> Any:
    """Make empty points over `time`."""
    columns = {key: np.array([], float) for key in (name, *extra)}
    data = pd.DataFrame({"time": pd.to_datetime([]), **columns})
    return hv.Scatter(data, "time", [name, *extra], label=label).opts(**options)


def thin(rows: Columns) -> Columns:
    """Keep at most a few rows per bucket: the first, the last, and those with an extreme value."""
    count = len(rows["ts_recv"])
    if count <= BUCKETS * 4:
        return rows
    starts = np.linspace(0, count, BUCKETS, endpoint=False).astype(int)
    ends = np.append(starts[1:], count)
    keep = {0, count - 1, *(int(end) - 1 for end in ends)}
    for name in ("bid", "ask", "price", "latency_ms"):
        if name in rows:
            values = rows[name]
            for start, end in zip(starts, ends, strict=True):
                part = values[start:end]
                if np.isfinite(part).any():
                    keep |= {int(start + np.nanargmin(part)), int(start + np.nanargmax(part))}
                if np.isnan(part).any():
                    keep.add(int(start + np.flatnonzero(np.isnan(part))[0]))
    at = np.array(sorted(keep))
    return {name: values[at] for name, values in rows.items()}


def _bokeh(columns: Columns) -> Columns:
    return {
        name: values.astype("datetime64[ns]").astype("datetime64[us]") if name == "time" else values
        for name, values in columns.items()
    }


def _dress(plot: Any, element: Any) -> None:
    """Give a figure the colours and the time zone that its viewer chose."""
    look, figure = style.look(), plot.state
    panel, line, muted = (look.color(name) for name in ("panel", "line", "muted"))
    figure.background_fill_color = figure.border_fill_color = panel
    figure.outline_line_color = line
    figure.title.text_color, figure.title.text_font_size = look.color("text"), "13px"
    figure.toolbar.autohide = True
    figure.toolbar.logo = None
    for axis in figure.axis:
        axis.axis_label_text_color = axis.major_label_text_color = muted
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = line
        if isinstance(axis, DatetimeAxis) and look.zone.key != style.UTC:
            axis.formatter = CustomJSTickFormatter(args={"zone": look.zone.key}, code=ZONED_TICK)
    for grid in figure.grid:
        grid.grid_line_color = line
    for legend in figure.legend:
        legend.background_fill_alpha, legend.border_line_color = 0.0, None
        legend.label_text_color, legend.label_text_font_size = muted, "11px"
        legend.orientation, legend.padding, legend.margin = "horizontal", 0, 2


def _ranges() -> tuple[DataRange1d, DataRange1d]:
    x_range = DataRange1d(follow="end", follow_interval=FOLLOW_MS, range_padding=0.01)
    return x_range, DataRange1d(range_padding=0.08, only_visible=True)


def _let_follow(plot: Any, element: Any) -> None:
    """Let the time axis follow the data, and a panned one stay where it was put.

    HoloViews would stop repainting a plot once it was panned: its two callbacks for that go.
    """
    figure = plot.state
    if not isinstance(figure.x_range, DataRange1d) or figure.x_range.follow is None:
        figure.x_range, figure.y_range = _ranges()
    callbacks: dict[str, list[Callable[..., Any]]] = figure._event_callbacks
    for event, functions in callbacks.items():
        callbacks[event] = [
            function
            for function in functions
            if getattr(function, "__name__", "") not in ("_disable_follow", "_reset_follow")
        ]
