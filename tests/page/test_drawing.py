"""Plots as they are drawn: right before their first row, one in a beat, and with their rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import panel as pn
import pytest
from bokeh.core.validation import check_integrity
from bokeh.document import Document
from panel.io.state import set_curdoc
from support.views import HERE, WHAT_IF, fed, trades

from monitor.hub.hub import Hub, Instrument
from monitor.page.tabs import Tabs
from monitor.page.views.candle_plot import Candles
from monitor.page.views.cross_venue_spread import CrossVenue
from monitor.page.views.heatmap import HeatMap
from monitor.page.views.plot import Plot
from monitor.page.views.price import Price


@pytest.mark.parametrize(
    "make",
    [Price, Candles, HeatMap, lambda: CrossVenue(2_000, {}, WHAT_IF)],
)
def test_bokeh_finds_nothing_wrong_with_a_plot_before_its_first_row(
    make: Callable[[], Plot],
) -> None:
    view = make()
    view.make()
    assert check_integrity(view.pane.get_root().references()).error == []


def test_a_plot_is_drawn_in_a_beat_of_its_own_and_with_its_rows() -> None:
    class Two:
        title = "Two"

        def __init__(self) -> None:
            self.plots: list[Plot] = [Price(), Candles()]
            self.view = pn.Column(*(plot.pane for plot in self.plots))

        def refresh(self, hub: Hub, instrument: Instrument | None) -> None:
            for plot in self.plots:
                plot.refresh(hub, HERE)

    document, hub = Document(), next(fed(trades()))
    with set_curdoc(document):
        tabs = Tabs({"Two": Two}, "two")
        tabs.view.get_root(document)
        tabs.fill(hub, HERE)
        assert [plot.is_made for plot in tabs.plots] == [False, False]
        for made in range(2):
            tabs.refresh(hub, HERE)
            assert [plot.is_made for plot in tabs.plots] == [True, made == 1]
            sources = [renderer.data_source for renderer in tabs.plots[made].renderers]
            assert any(len(source.data["time"]) for source in sources)


@pytest.mark.parametrize("make", [Price, Candles, HeatMap])
def test_no_two_sources_of_a_plot_share_an_array(make: Callable[[], Plot]) -> None:
    """A patch of one would change the other without a word to the browser."""
    view, hub = make(), list(fed(trades()))[-1]
    view.make()
    view.pane.get_root()
    view.refresh(hub, HERE)
    arrays = [
        values
        for renderer in view.renderers
        for values in renderer.data_source.data.values()
        if isinstance(values, np.ndarray) and len(values)
    ]
    assert arrays
    shared = [(a, b) for a, b in itertools.combinations(arrays, 2) if np.shares_memory(a, b)]
    assert shared == []
