"""When a page is refreshed: after rows have arrived, at most at a set rate."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

# Rows do not arrive to the millisecond: this share of the period counts as the whole period.
EARLY = 0.8


class Arrivals:
    """Wakes the pages of a process, on their event loop, when rows have arrived."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._came = asyncio.Event()

    def tell(self) -> None:
        """Wake the waiting pages; called by the thread that receives rows."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake)

    async def wait(self, seconds: float) -> None:
        """Return when rows arrive, or after a time without any."""
        self._loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(self._came.wait(), seconds)
        except TimeoutError:
            return

    def _wake(self) -> None:
        self._came.set()
        self._came.clear()


class Beat:
    """Calls `refresh` with the document's lock held, until `end`, one call after the other.

    So nothing piles up on a slow page.
    """

    def __init__(self, arrivals: Arrivals, refresh: Callable[[], None], period_ms: int) -> None:
        self.period_ms = period_ms
        self._arrivals, self._refresh = arrivals, refresh
        self._task: asyncio.Task[None] | None = None

    def start(self, document: Any) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(document), name="beat")

    def end(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self, document: Any) -> None:
        loop, last_s = asyncio.get_running_loop(), 0.0
        # A document loses its session when that ends.
        session = document.session_context
        while not session.destroyed:
            wait_s = self.period_ms / 1e3
            await self._arrivals.wait(wait_s)
            if loop.time() - last_s >= wait_s * EARLY:
                last_s = loop.time()
                await session.with_locked_document(self._refresh_guarded)

    async def _refresh_guarded(self, document: Any) -> None:
        try:
            self._refresh()
        except Exception:  # One bad refresh must not end the page; it is logged.
            logging.getLogger(__name__).exception("a page could not be refreshed")
