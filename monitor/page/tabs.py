"""The tabs of a page: a layout is made when its tab is first opened, plot by plot.

Each takes its time, in which no other viewer of the process gets anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import panel as pn

from monitor.hub import Hub, Instrument
from monitor.page.layouts import Layout
from monitor.page.views import style
from monitor.page.views.plot import Plot
from monitor.processes import is_usable


def frozen(document: Any) -> AbstractContextManager[None]:
    """Let Bokeh walk a document's models once, not after each change."""
    freeze = getattr(getattr(document, "models", None), "freeze", None)
    if not is_usable(
        "Bokeh's Document.models.freeze()", callable(freeze), "pages take longer to be made"
    ):
        return nullcontext()
    found: AbstractContextManager[None] = document.models.freeze()
    return found


class Tabs:
    """The layouts by title; only the visible one is refreshed."""

    def __init__(self, makers: Mapping[str, Callable[[], Layout]], seen: str) -> None:
        """Make the layout with the slug `seen`, or the first one."""
        self._makers = makers
        self._made: dict[str, Layout] = {}
        self._nothing = Hub()
        self._titles = list(makers)
        self._slugs = [title.lower().replace(" ", "-") for title in makers]
        self.view = pn.Tabs(
            *((title, style.drawing()) for title in makers),
            active=self._slugs.index(seen) if seen in self._slugs else 0,
            sizing_mode="stretch_width",
            stylesheets=[style.TABS_CSS],
        )
        self._make()

    @property
    def slug(self) -> str:
        """The name of the visible tab in an address."""
        active: int = self.view.active
        return self._slugs[active]

    @property
    def plots(self) -> list[Plot]:
        """The plots of the visible tab."""
        layout = self._made.get(self._titles[self.view.active])
        return getattr(layout, "plots", [])

    @property
    def is_whole(self) -> bool:
        """Whether the visible tab is complete, with all its plots."""
        layout = self._made.get(self._titles[self.view.active])
        return layout is not None and all(plot.is_made for plot in self.plots)

    def wait_for(self, what: str) -> None:
        """Show what unfinished drawings wait for."""
        active = self.view.active
        if self._titles[active] not in self._made:
            style.draws_after(self.view[active], what)
        for plot in self.plots:
            if not plot.is_made:
                style.draws_after(plot.pane[0], what)

    def see(self, number: int) -> None:
        """Show a tab by number, from 0; ignore a number without a tab."""
        if 0 <= number < len(self._titles):
            self.view.active = number

    def fill(self, hub: Hub, instrument: Instrument | None) -> Layout | None:
        """Refresh the visible layout, if it is made, and return it."""
        layout = self._made.get(self._titles[self.view.active])
        if layout is not None:
            layout.refresh(hub, instrument)
        return layout

    def empty_unseen(self) -> None:
        """Empty the hidden layouts: a browser would show their old rows when it switches."""
        for title, layout in self._made.items():
            if title != self._titles[self.view.active]:
                layout.refresh(self._nothing, None)

    def refresh(self, hub: Hub, instrument: Instrument | None) -> None:
        """Refresh the visible layout, or make its next part."""
        layout = self.fill(hub, instrument)
        unmade = [plot for plot in self.plots if not plot.is_made]
        if layout is None or unmade:
            # Bokeh would walk all models again after each new one.
            with frozen(pn.state.curdoc):
                unmade[0].make() if unmade else self._make()
        if unmade:
            # It reaches the browser with its rows, and is drawn once.
            unmade[0].refresh(hub, instrument)

    def _make(self) -> None:
        active = self.view.active
        title = self._titles[active]
        layout = self._made[title] = self._makers[title]()
        # Its own height is that of its content, whatever becomes of this one when it is not seen.
        shown = pn.Column(
            layout.view, stylesheets=[style.TAB_CSS], sizing_mode="stretch_width", margin=0
        )
        self.view[active] = (title, shown)
