"""Colours, fonts and time zone of a figure, by the viewer's choice."""

from __future__ import annotations

from typing import Any

from bokeh.models import CustomJSTickFormatter, DatetimeAxis, DatetimeTickFormatter

from monitor.page.views import style

# Formats a time in a zone other than UTC, as precise as the tick distance.
ZONED_TICK = """
    const step = ticks.length > 1 ? ticks[1] - ticks[0] : 1000;
    const time = {hour12: false, hour: "2-digit", minute: "2-digit", timeZone: zone};
    if (step < 60000) time.second = "2-digit";
    if (step < 1000) time.fractionalSecondDigits = 3;
    if (index == 0) { time.month = "short"; time.day = "numeric"; }
    return new Intl.DateTimeFormat("en-GB", time).format(new Date(tick));
"""


def dress(plot: Any, element: Any) -> None:
    """Apply the viewer's colours and time zone to a figure."""
    look, figure = style.look(), plot.state
    panel, line, muted = (look.color(name) for name in ("panel", "line", "muted"))
    figure.background_fill_color = figure.border_fill_color = panel
    figure.outline_line_color = line
    figure.title.text_color, figure.title.text_font_size = look.color("text"), "13px"
    figure.toolbar.autohide = True
    # A legend beside one plot must not make its neighbours narrower.
    figure.frame_align = False
    figure.toolbar.logo = None
    for axis in figure.axis:
        axis.axis_label_text_color = axis.major_label_text_color = muted
        axis.major_label_text_font_size = axis.axis_label_text_font_size = "11px"
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = line
        if isinstance(axis, DatetimeAxis):
            # As many as fit on a phone.
            axis.ticker.desired_num_ticks = 4
        if isinstance(axis, DatetimeAxis) and look.zone.key != style.UTC:
            axis.formatter = CustomJSTickFormatter(args={"zone": look.zone.key}, code=ZONED_TICK)
        elif isinstance(axis.formatter, DatetimeTickFormatter):
            # The header shows the date; here it would take another line.
            axis.formatter.context = None
    for grid in figure.grid:
        grid.grid_line_color = line
    for legend in figure.legend:
        legend.background_fill_color, legend.background_fill_alpha = panel, 0.7
        legend.border_line_color = None
        legend.label_text_color, legend.label_text_font_size = muted, "11px"
        inside = isinstance(legend.location, str) and "_" in legend.location
        legend.orientation = "horizontal" if inside else "vertical"
        legend.padding, legend.margin = 0, 2
        legend.spacing = 10 if inside else 0
        if not inside:
            # A dozen sources below each other beside a low plot.
            legend.glyph_height = legend.label_height = 13
