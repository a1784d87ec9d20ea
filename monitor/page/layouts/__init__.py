"""The layouts: each arranges views for one task and is a tab of the page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

from monitor.access import Finding
from monitor.hub import Hub, Instrument
from monitor.jobs import Archive
from monitor.page.collector_link import Standing
from monitor.page.refresh_timing import Arrivals
from monitor.page.turns import Turns
from monitor.settings import HookSettings
from monitor.state import Stage


class Shared(Protocol):
    """What all viewers of a process share: the live hub and the way to the collector."""

    folder: Path
    archive: Archive
    findings: list[Finding]
    # Why nobody may act on these pages; None and empty if it is not so.
    restricted: str | None
    arrivals: Arrivals
    turns: Turns
    # From receipt to this process.
    carried: Stage

    # Another one after each attachment to a collector.
    @property
    def hub(self) -> Hub: ...
    @property
    def documents(self) -> Collection[Any]: ...
    @property
    def settings(self) -> HookSettings: ...
    def standing(self) -> Standing | None: ...
    def about(self) -> dict[str, Any]: ...
    def control(self, action: str, sources: Sequence[dict[str, Any]] = ()) -> str: ...
    def alert(self, wanted: dict[str, Any]) -> str: ...


class Layout(Protocol):
    """One tab; only the one that a viewer has before them is refreshed."""

    title: str
    view: Any

    def refresh(self, hub: Hub, instrument: Instrument | None) -> None:
        """Bring what is shown up to date; called by the page's beat."""


def stages(shared: Shared, drawn: Stage) -> dict[str, Stage]:
    """Name the stages of a row's way within this program, as a viewer is told of them."""
    return {"to the page": shared.carried, "to the browser": drawn}
