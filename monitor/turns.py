"""Turns: work that holds up the page's process is done piece by piece, by all pages in turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

# After each piece those that are open already are refreshed, and answers go out.
PAUSE_S = 0.02
# Pages that wait to be opened; a process has not the memory for more.
MOST = 200


class Turns:
    """A queue of the event loop's; who wants to do more asks again and stands at its end."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        # In order of asking, the one whose turn it is included.
        self._asked: dict[Hashable, None] = {}

    @property
    def is_full(self) -> bool:
        return len(self._asked) >= MOST

    def ahead(self, who: Hashable) -> int | None:
        """Return how many come before; None of somebody who does not wait."""
        return list(self._asked).index(who) if who in self._asked else None

    async def begin(self, who: Hashable) -> None:
        """Wait for the turn; `end` must follow."""
        self._asked[who] = None
        try:
            await self._lock.acquire()
        except BaseException:
            del self._asked[who]
            raise

    def end(self, who: Hashable) -> None:
        del self._asked[who]
        asyncio.get_running_loop().call_later(PAUSE_S, self._lock.release)

    @asynccontextmanager
    async def turn(self, who: Hashable) -> AsyncIterator[None]:
        await self.begin(who)
        try:
            yield
        finally:
            self.end(who)


def waits_for(ahead: int | None) -> str:
    """Say what somebody with so many before them waits for; nothing if it is their turn."""
    if not ahead:
        return ""
    return f"{ahead} other page{'s' if ahead > 1 else ''} of this server that are being opened"
