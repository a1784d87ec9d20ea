"""Draw a page in turn with other pages, and say what a slow drawing waits for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from html import escape
from typing import Any

from monitor.hub import Hub, Instrument
from monitor.page.layouts import Shared
from monitor.page.tabs import Tabs
from monitor.page.turns import waits_for
from monitor.page.views import style

# After this time the page says what it waits for; at most this many sources are named.
LONG_S, NAMED = 3.0, 4
KINDS = ("quote", "trade", "book", "depth")


class Drawing:
    """The drawings of one page; `draw` makes the next one, with the document's lock held."""

    def __init__(self, shared: Shared, document: Any, tabs: Tabs, draw: Callable[[], None]) -> None:
        self._shared, self._document, self._tabs, self._draw = shared, document, tabs, draw
        self._task: asyncio.Task[None] | None = None
        # When everything visible was last drawn and had rows.
        self._drawn_s = self._fed_s = time.monotonic()
        self.view = style.html()

    def refresh(self, hub: Hub, instrument: Instrument | None, is_opening: bool) -> None:
        """Request a turn if something is to be drawn; called at each refresh."""
        now_s = time.monotonic()
        if self._tabs.is_whole:
            self._drawn_s = now_s
        elif now_s - self._drawn_s >= LONG_S:
            ahead = waits_for(self._shared.turns.ahead(self))
            self._tabs.wait_for(f"waiting for {ahead}" if ahead else "it is being drawn now")
        if not self._tabs.is_whole and self._task is None:
            self._task = asyncio.create_task(self._draw_in_turn(), name="draw")
        # While a replay opens, the banner says what it waits for.
        has_rows = instrument is not None and any(hub.last(kind, instrument) for kind in KINDS)
        if has_rows or is_opening:
            self._fed_s = now_s
        is_late = now_s - self._fed_s >= LONG_S
        told = self._awaited(hub, instrument) if is_late else ""
        html = f'<div class="muted">{escape(told)}</div>' if told else ""
        if self.view.object != html:
            self.view.object = html

    def end(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _draw_in_turn(self) -> None:
        session = self._document.session_context
        try:
            async with self._shared.turns.turn(self):
                if not session.destroyed:
                    await session.with_locked_document(self._draw_locked)
        finally:
            self._task = None

    async def _draw_locked(self, _: Any) -> None:
        self._draw()

    def _awaited(self, hub: Hub, instrument: Instrument | None) -> str:
        """Name the rows that empty views wait for."""
        if instrument is not None:
            return f"Waiting for the first quote or trade of {' '.join(instrument)}."
        if hub is not self._shared.hub:
            return "Waiting for the first row of an instrument in the recording."
        if self._shared.standing() is not None:
            # The header says why no rows arrive.
            return ""
        followed = [str(of["source"]) for of in self._shared.about().get("followed", [])]
        if not followed:
            return "Waiting for a source: none is followed (Settings adds one)."
        more = f" and {len(followed) - NAMED} more" if len(followed) > NAMED else ""
        return f"Waiting for the first row of {', '.join(followed[:NAMED])}{more}."
