"""The tab Health: losses, latencies and incidents of every source."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import panel as pn

from monitor.hub import Hub, Instrument
from monitor.page.layouts import Shared, stages
from monitor.page.views import style, tables, trust
from monitor.page.views.clickable import Clickable
from monitor.state import Stage

EVERY_S = 1.0


class Health:
    """Tables over all sources, from counts of rows; live, the recorder's too."""

    title = "Health"

    def __init__(self, shared: Shared, drawn: Stage, on_see: Callable[[int], None]) -> None:
        self._shared, self._stages = shared, stages(shared, drawn)
        self._refreshed_s = 0.0
        self._shown: Hub | None = None
        views: list[Callable[[Hub], str]] = [
            *(trust.sources, trust.minutes, trust.latencies, self._recorder)
        ]
        self._panes: list[tuple[Any, Callable[[Hub], str]]] = [
            (style.html(css=style.HEAT_CSS), view) for view in views
        ]
        self._on_see, self._most = on_see, trust.INCIDENTS_A_PAGE
        self._incidents = Clickable(self._take)
        *wide, recorder = (pane for pane, _ in self._panes)
        self.view = pn.Column(
            *wide, style.side_by_side(self._incidents, recorder), sizing_mode="stretch_width"
        )

    def refresh(self, hub: Hub, instrument: Instrument | None) -> None:
        if hub is not self._shown:
            self._most = trust.INCIDENTS_A_PAGE
        if hub is self._shown and time.monotonic() - self._refreshed_s < EVERY_S:
            return
        self._shown, self._refreshed_s = hub, time.monotonic()
        for pane, view in self._panes:
            html = view(hub)
            if pane.object != html:
                pane.object = html
        self._incidents.show(trust.incidents(hub, self._most))

    def _take(self, said: str) -> None:
        """Replay the incident whose time was clicked, or list more."""
        if said.isdecimal():
            self._on_see(int(said))
        elif said == "more" and self._shown:
            self._most += trust.INCIDENTS_A_PAGE
            self._incidents.show(trust.incidents(self._shown, self._most))

    def _recorder(self, hub: Hub) -> str:
        if hub is not self._shared.hub:
            return tables.table("Recorder", ["state"], [], "a replay records nothing")
        standing = self._shared.standing()
        why = standing.advice if standing else "not known yet"
        return trust.stages(self._stages) + trust.recorder(self._shared.about(), why)
