"""The tabs of a page: each layout is made when it is first looked at, for it takes its time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import panel as pn

from monitor.hub import Hub, Instrument
from monitor.layouts import Layout
from monitor.views import style
from monitor.views.plot import Plot


class Tabs:
    """The layouts by their titles, of which one is seen; only that one is refreshed."""

    def __init__(self, makers: Mapping[str, Callable[[], Layout]], seen: str) -> None:
        """Make the layout that is `seen` at first, by its slug; else the first one."""
        self._makers = makers
        self._made: dict[str, Layout] = {}
        self._titles = list(makers)
        self._slugs = [title.lower().replace(" ", "-") for title in makers]
        self.view = pn.Tabs(
            *((title, pn.Spacer()) for title in makers),
            active=self._slugs.index(seen) if seen in self._slugs else 0,
            sizing_mode="stretch_width",
            stylesheets=[style.TABS_CSS],
        )
        self._make()

    @property
    def slug(self) -> str:
        """What the tab that is seen is called in an address."""
        active: int = self.view.active
        return self._slugs[active]

    @property
    def plots(self) -> list[Plot]:
        """What is drawn in the tab that is seen."""
        layout = self._made.get(self._titles[self.view.active])
        return getattr(layout, "plots", [])

    def see(self, number: int) -> None:
        """Turn to a tab, counted from 0; there may be none of that number."""
        if 0 <= number < len(self._titles):
            self.view.active = number

    def refresh(self, hub: Hub, instrument: Instrument | None) -> None:
        """Refresh what is seen; what was not seen before is made, and refreshed next time."""
        layout = self._made.get(self._titles[self.view.active])
        if layout is None:
            self._make()
        else:
            layout.refresh(hub, instrument)

    def _make(self) -> None:
        active = self.view.active
        title = self._titles[active]
        layout = self._made[title] = self._makers[title]()
        self.view[active] = (title, layout.view)
