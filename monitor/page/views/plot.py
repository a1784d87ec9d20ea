"""Shared by all plots: HoloViews draws a plot once, then rows are streamed into its sources."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

import holoviews as hv
import numpy as np
import panel as pn
from bokeh.models import (
    ColumnDataSource,
    CustomAction,
    CustomJS,
    DataRange1d,
)

from monitor.hub import ALERT_LEVELS, Hub, Instrument, Mark
from monitor.page.views import save, style
from monitor.page.views.elements import hover
from monitor.page.views.figure_style import dress
from monitor.page.views.legend import hold_still
from monitor.page.views.streaming import extend, fill
from monitor.page.views.thinning import thin, thin_dots
from monitor.page.views.window import Window, heights, times
from monitor.processes import is_usable
from monitor.state import Columns, is_overrun

Hook = Callable[[Any, Any], None]

ROLLOVER_ROWS = 6_000
ROLLOVER_MARKS = 200
FOLLOW_MS = 60_000
# What is in view takes at least this share of the y axis that it takes at first.
CALM = 0.9
HEIGHT, MIN_HEIGHT = 250, 120
# Told apart by people who see red and green alike, and at 3 to 1 from a dark and a light ground.
BID, ASK, MID = "#2f81f7", "#d9730d", "#8290a2"
MUTED, BEST = "#8290a2", "#a371f7"
BUY, SELL, MARK = "#159a8c", "#d6478c", "#b8860b"
# Of lines beside each other: where the colours begin again, the lines are broken too.
LINES = ("#2f81f7", "#d9730d", "#159a8c", "#d6478c", "#a371f7", "#8a8f00")

# A plot moved before it has a row would stay without axes when it has some.
FOLLOW_FIRST_ROW = """
    for (const range of [cb_obj.origin.x_range, cb_obj.origin.y_range])
        if (Number.isNaN(range.start)) range._invalidate_dataranges?.();
"""


class Plot:
    """A plot of one instrument; a subclass names its elements and the rows of the hub it needs.

    `draw` gives the elements, each with a column `time`; `series` turns columns of the hub into
    one dictionary per element, in the same order. Times are int64 ns. A plot that does more than
    append rows overrides `update` and calls `append` and `patch` itself.
    """

    title = ""
    unit = ""
    kinds: tuple[str, ...] = ("quote",)
    # None to be as high as there is room.
    height: int | None = HEIGHT
    follow_ms = FOLLOW_MS
    has_time_axis = True
    legend = "top_left"
    # Columns of sources that hold times.
    times = frozenset(("time", "until"))

    def __init__(self) -> None:
        self._sources: list[ColumnDataSource] = []
        self.renderers: list[Any] = []
        self._heights: list[list[str]] = []
        self.hovers: list[Any] = []
        self._cursors = dict.fromkeys(self.kinds, 0)
        self._shown: tuple[Any, ...] | None = None
        self.figure: Any = None
        # Rows were lost between what is drawn and what came: a line would join them by a ramp.
        self.has_hole = False
        self._mark_cursor = 0
        self._marks = ColumnDataSource({"time": [], "text": []})
        self._window = Window()
        # The y axis fits what these two points lie between.
        self._ends = ColumnDataSource({"time": [math.nan] * 2, "y": [math.nan] * 2})
        sizing: dict[str, Any] = {"sizing_mode": "stretch_both", "min_height": MIN_HEIGHT}
        if self.height:
            sizing = {"sizing_mode": "stretch_width", "min_height": self.height}
        self.pane = pn.Column(style.drawing(), **sizing)
        self.is_made = False

    def make(self) -> None:
        """Draw the plot into its pane, which shows a text until then; this is slow."""
        self.is_made = True
        keep = _weak(self._keep_source)
        overlay = hv.Overlay([element.opts(hooks=[keep]) for element in self.draw()])
        hooks = (self._let_follow, self._add_marks, self._offer, self._finish)
        drawn = pn.pane.HoloViews(
            overlay.opts(
                hv.opts.Overlay(
                    responsive=True,
                    **({"height": self.height} if self.height else {"min_height": MIN_HEIGHT}),
                    title=self.title,
                    show_legend=True,
                    legend_position=self.legend,
                    xlabel="",
                    ylabel=self.unit,
                    apply_ranges=False,
                    shared_axes=False,
                    active_tools=["pan", "wheel_zoom"],
                    hooks=[dress, *map(_weak, hooks)],
                )
            ),
            linked_axes=False,
            sizing_mode="stretch_width" if self.height else "stretch_both",
        )
        self.pane[:] = [drawn]

    def draw(self) -> list[Any]:
        raise NotImplementedError

    def series(self, kind: str, rows: Columns) -> dict[int, Columns]:
        """Return, by the index of the element, the columns to append to its source."""
        raise NotImplementedError

    def refresh(self, hub: Hub, instrument: Instrument | None) -> None:
        """Update the plot: increments, or everything for another instrument or time.

        Without an instrument the plot is empty.
        """
        if not self._sources:
            return
        scope = None if instrument is None else self.scope(hub, instrument)
        shown = (id(hub), hub.epoch, scope)
        anew = shown != self._shown or self.has_hole
        if anew:
            if self._shown not in (None, shown) and self.figure is not None:
                # Where a viewer had panned to means nothing for another instrument or time.
                self.figure.x_range, self.figure.y_range = self.ranges()
                self.finish(None, None)
            self._shown, self._cursors = shown, dict.fromkeys(self.kinds, 0)
            self._mark_cursor, self.has_hole = 0, False
            self._window.clear()
        if instrument is None:
            if anew:
                self._empty()
            return
        self.update(hub, instrument, anew)
        if self.has_time_axis:
            self._refresh_marks(hub, instrument, anew)
            self._fit()

    def _empty(self) -> None:
        for source in (*self._sources, self._marks):
            fill(source, None, 0, None)
        # Their time would hold the axis of what is shown next where it was.
        self._ends.data = {"time": [math.nan] * 2, "y": [math.nan] * 2}

    def scope(self, hub: Hub, instrument: Instrument) -> object:
        """Return the key of what is shown: when it changes, everything is sent again."""
        return instrument

    def update(self, hub: Hub, instrument: Instrument, anew: bool) -> None:
        """Update the elements; with `anew` replace everything they show."""
        new = self.collect(hub, instrument, anew)
        for at in range(len(self._sources)):
            self.append(at, new.get(at), anew)

    def collect(self, hub: Hub, instrument: Instrument, anew: bool) -> dict[int, Columns]:
        """Return the rows to append to each element."""
        new: dict[int, Columns] = {}
        for kind in self.kinds:
            before = self._cursors[kind]
            self._cursors[kind], rows = hub.since(kind, instrument, before)
            self.has_hole |= is_overrun(before, self._cursors[kind], rows)
            if rows and len(rows["ts_recv"]):
                new |= self.series(kind, self.thinned(rows))
        return new

    def thinned(self, rows: Columns) -> Columns:
        """Return the rows to show when too many arrive: for trades, which are dots,
        the highest, the lowest and the largest of a moment."""
        if "side" in rows:
            return thin_dots(rows, (rows["price"], -rows["price"], -rows["size"]))
        return thin(rows, self.telling(rows))

    def telling(self, rows: Columns) -> list[Any]:
        """Return the columns whose extremes survive the thinning of lines."""
        return [rows[name] for name in ("bid", "ask") if name in rows]

    def append(
        self, at: int, columns: Columns | None, anew: bool, rollover: int = ROLLOVER_ROWS
    ) -> None:
        """Append rows to an element's source; with `anew` replace them."""
        source = self._sources[at]
        self._note(at, columns)
        columns = self._bokeh(columns) if columns else None
        by = self._time_of(columns) if columns else None
        if anew:
            fill(source, columns, rollover, by)
        elif columns:
            extend(source, columns, rollover, by)

    def _time_of(self, columns: Columns) -> str | None:
        """Return the column whose times are in order."""
        if not self.has_time_axis:
            return None
        return "time" if "time" in columns else "left"

    def patch(self, at: int, columns: Columns, anew: bool) -> None:
        """Patch the changed values of an element with a fixed, small number of rows."""
        self._note(at, columns)
        source, columns = self._sources[at], self._bokeh(columns)
        if anew:
            fill(source, columns, ROLLOVER_ROWS, None)
            return
        changed = {
            name: [(slice(0, len(values)), values)]
            for name, values in columns.items()
            if not _equal(source.data[name], values)
        }
        if changed:
            source.patch(changed)

    def patch_rows(self, at: int, places: list[int], columns: Columns) -> None:
        """Patch some rows of an element, by their positions in its source."""
        self._note(at, columns)
        self._sources[at].patch(
            {
                name: list(zip(places, values.tolist(), strict=True))
                for name, values in self._bokeh(columns).items()
            }
        )

    def _note(self, at: int, columns: Columns | None) -> None:
        """Record the lowest and highest values and their times, for the value axis."""
        renderer, columns = self.renderers[at], columns or {}
        until = times(columns)
        if until is not None and renderer.y_range_name == "default":
            for name in self._heights[at]:
                self._window.add(until, columns[name])

    def _fit(self) -> None:
        """Fit the y axis to the visible rows; browsers would fit it to all rows they have."""
        ends = self._window.ends(self.follow_ms / 1e3)
        if ends is None:
            return
        newest, low, high = ends
        bottom, top = self._ends.data["y"]
        # It grows at once, and does not tremble with every row that leaves.
        if not (bottom <= low and high <= top and (high - low) >= CALM * (top - bottom)):
            both = slice(0, 2)
            self._ends.patch({"time": [(both, [newest * 1e3] * 2)], "y": [(both, [low, high])]})

    def ranges(self) -> tuple[Any, Any]:
        """Make the ranges of a plot whose time axis follows its newest row.

        The server never reads them, and browsers would report them with every repaint.
        """
        across: dict[str, Any] = {"range_padding": 0.01}
        fitted: dict[str, Any] = {"only_visible": True}
        if self.has_time_axis:
            # A share would be one of all rows that there are: an hour of them leaves half a minute.
            padding = {"range_padding": 0.01 * self.follow_ms, "range_padding_units": "absolute"}
            across = {"follow": "end", "follow_interval": self.follow_ms, **padding}
            fitted = {"renderers": [_named(self.figure, "ends")]}
        return (
            DataRange1d(syncable=False, **across),
            DataRange1d(range_padding=0.08, syncable=False, **fitted),
        )

    def begin_anew(self) -> None:
        """Make the next refresh send everything again, as for another instrument."""
        self._shown = ()

    def finish(self, plot: Any, element: Any) -> None:
        """Adjust what HoloViews has drawn; called again when the ranges are replaced."""

    def _finish(self, plot: Any, element: Any) -> None:
        self.finish(plot, element)
        hold_still(plot.state)

    def concerns(self, mark: Mark, instrument: Instrument) -> bool:
        """Return whether a mark belongs on this plot."""
        venue, symbol = instrument
        if mark.kind in ALERT_LEVELS:
            return mark.symbol in (None, symbol)
        return mark.venue in (venue, "monitor") and mark.symbol in (None, symbol)

    def _refresh_marks(self, hub: Hub, instrument: Instrument, anew: bool) -> None:
        self._mark_cursor, marks = hub.marks(self._mark_cursor)
        mine = [mark for mark in marks if self.concerns(mark, instrument)][-ROLLOVER_MARKS:]
        columns = {
            "time": np.array([mark.ts_recv for mark in mine], np.int64) / 1e6,
            "text": np.array([_told(mark) for mark in mine], object),
        }
        if anew:
            fill(self._marks, columns, ROLLOVER_MARKS, "time")
        elif mine:
            extend(self._marks, columns, ROLLOVER_MARKS, "time")

    def _add_marks(self, plot: Any, element: Any) -> None:
        """Draw marks as lines across the time axis, with a hover text."""
        if not self.has_time_axis or _named(plot.state, "marks"):
            return
        marks = plot.state.vspan(
            x="time",
            source=self._marks,
            name="marks",
            line_color=MARK,
            line_dash="dashed",
            line_alpha=0.45,
        )
        plot.state.add_tools(hover([("", "@text")], renderers=[marks]))

    def is_drawn_by(self, figure_id: str) -> bool:
        return self.figure is not None and self.figure.id == figure_id

    def _offer(self, plot: Any, element: Any) -> None:
        if not any(isinstance(tool, CustomAction) for tool in plot.state.tools):
            save.offer(plot.state, self.title)
            plot.state.js_on_event("rangesupdate", CustomJS(code=FOLLOW_FIRST_ROW))

    def _let_follow(self, plot: Any, element: Any) -> None:
        """Let the time axis follow the rows, and a panned one stay.

        HoloViews would stop repainting a plot once it was panned: its two callbacks for that go.
        """
        figure = self.figure = plot.state
        if self.has_time_axis and not _named(figure, "ends"):
            figure.line("time", "y", source=self._ends, name="ends", line_alpha=0)
        if not isinstance(figure.x_range, DataRange1d) or (
            self.has_time_axis and figure.x_range.follow is None
        ):
            figure.x_range, figure.y_range = self.ranges()
        if not is_usable(
            "Bokeh's Model._event_callbacks, and HoloViews' ElementPlot._disable_follow in it",
            hasattr(figure, "_event_callbacks") and hasattr(plot, "_disable_follow"),
            "a plot that was panned is not repainted before it is reset",
        ):
            return
        callbacks: dict[str, list[Callable[..., Any]]] = figure._event_callbacks
        for event, functions in callbacks.items():
            callbacks[event] = [
                function
                for function in functions
                if getattr(function, "__name__", "") not in ("_disable_follow", "_reset_follow")
            ]

    def _keep_source(self, plot: Any, element: Any) -> None:
        source = plot.handles["source"]
        if source not in self._sources:
            self._sources.append(source)
            self.renderers.append(plot.handles["glyph_renderer"])
            self._heights.append(heights(self.renderers[-1].glyph))
            self.hovers.append(plot.handles.get("hover"))
            if isinstance(element, hv.Rectangles):
                # Its corners are there under the names of the glyph too.
                corners = {dimension.name for dimension in element.kdims}
                source.data = {n: v for n, v in source.data.items() if n not in corners}

    def _bokeh(self, columns: Columns) -> Columns:
        """Return columns with times as a browser has them: ms since 1970."""
        return {n: values / 1e6 if n in self.times else values for n, values in columns.items()}


def _named(figure: Any, name: str) -> Any:
    """Find a renderer by name; Bokeh's `select` would walk all models."""
    return next((renderer for renderer in figure.renderers if renderer.name == name), None)


def _weak(hook: Hook) -> Hook:
    """Make a hook without a strong reference.

    HoloViews keeps an element's options and hooks as long as the element: for ever, if a hook
    refers to the plot that refers to the element.
    """
    found = WeakMethod(hook)

    def call(plot: Any, element: Any) -> None:
        if (there := found()) is not None:
            there(plot, element)

    return call


def _equal(old: Any, new: Any) -> bool:
    old, new = np.asarray(old), np.asarray(new)
    return np.array_equal(old, new, equal_nan=new.dtype.kind == "f" and old.dtype.kind == "f")


def _told(mark: Mark) -> str:
    where = " ".join(part for part in (mark.venue, mark.symbol) if part)
    return f"{mark.kind} {where} {mark.text}"
