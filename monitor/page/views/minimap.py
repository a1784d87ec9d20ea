"""The mini-map: the whole replayed time at a glance; a click seeks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from panel.custom import JSComponent

from monitor.page.views.style import FONT
from monitor.recordings import Overview

CSS = f"""
:host {{ font-family: {FONT}; color: var(--muted); font-size: 11px; }}
canvas {{ display: block; width: 100%; height: 46px; cursor: pointer; border-radius: 4px;
         outline: 1px solid var(--edge); }}
canvas:focus-visible {{ outline: 2px solid var(--accent); }}
.told {{ padding-top: 2px; color: var(--muted); }}
"""


class MiniMap(JSComponent):  # type: ignore[misc]  # Panel tells no types.
    """Positions are shares of the whole, 0 to 1; a click calls `on_seek` with one."""

    _esm = Path(__file__).with_suffix(".js")
    _stylesheets: ClassVar[list[str]] = [CSS]

    def __init__(self, on_seek: Callable[[float], None]) -> None:
        super().__init__(sizing_mode="stretch_width", min_width=260, margin=(5, 10))
        self._on_seek = on_seek
        self._told: dict[str, Any] = {}

    def show(self, overview: Overview | None, trouble: str = "") -> None:
        """Show the counts (None while unknown), or why there are none."""
        counts = overview._asdict() if overview else None
        self._tell({"overview": counts, "trouble": trouble})

    def move(self, at: float, loop: tuple[float, float] | None) -> None:
        self._tell({"at": round(at, 4), "loop": loop})

    def _tell(self, told: dict[str, Any]) -> None:
        fresh = {name: value for name, value in told.items() if self._told.get(name, "") != value}
        if fresh:
            self._told |= fresh
            self._send_msg(fresh)

    def _handle_msg(self, data: Any) -> None:
        if data.get("ready"):
            self._send_msg(self._told)
        elif "seek" in data:
            self._on_seek(float(data["seek"]))
