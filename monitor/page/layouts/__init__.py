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
    """Shared by all viewers of a process: the live hub and the link to the collector."""

    folder: Path
    archive: Archive
    findings: list[Finding]
    # Why nobody may act on these pages; None or empty if they may.
    restricted: str | None
    arrivals: Arrivals
    turns: Turns
    # From receipt to this process.
    carried: Stage

    # Replaced at each attachment to a collector.
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
    """One tab; only the visible one is refreshed."""

    title: str
    view: Any

    def refresh(self, hub: Hub, instrument: Instrument | None) -> None:
        """Update the view; called at each refresh."""


def stages(shared: Shared, drawn: Stage) -> dict[str, Stage]:
    """Name the stages of a row's way inside this program, for viewers."""
    return {"to the page": shared.carried, "to the browser": drawn}
