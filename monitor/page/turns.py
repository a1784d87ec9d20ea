"""Turns: long work in the page process is done piece by piece, by all pages in turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

# After each piece those that are open already are refreshed, and answers go out.
PAUSE_S = 0.02
# Pages that wait to be opened; a process has not the memory for more.
MOST = 200


class Turns:
    """Two queues of the event loop's, of pages to be made and of drawings, served alternately.

    So a page that is made is drawn while others are still to be made. Who wants to do more asks
    again, and stands at the end.
    """

    def __init__(self) -> None:
        self._openings: dict[Hashable, asyncio.Future[None]] = {}
        self._drawings: dict[Hashable, asyncio.Future[None]] = {}
        self._works = self._opened_last = False

    @property
    def is_full(self) -> bool:
        return len(self._openings) >= MOST

    def ahead(self, who: Hashable) -> int | None:
        """Return how many come before; None of somebody who does not wait."""
        for mine, others in (
            (self._openings, self._drawings),
            (self._drawings, self._openings),
        ):
            if who in mine:
                place = list(mine).index(who)
                return place + min(place + 1, len(others)) + self._works
        return None

    async def begin(self, who: Hashable, is_opening: bool = False) -> None:
        """Wait for the turn; `end` must follow."""
        queue = self._openings if is_opening else self._drawings
        turn = queue[who] = asyncio.get_running_loop().create_future()
        if not self._works:
            self._give()
        try:
            await turn
        except asyncio.CancelledError:
            if queue.pop(who, None) is None:
                # It had the turn already.
                self.end()
            raise

    def end(self) -> None:
        asyncio.get_running_loop().call_later(PAUSE_S, self._give)

    @asynccontextmanager
    async def turn(self, who: Hashable) -> AsyncIterator[None]:
        await self.begin(who)
        try:
            yield
        finally:
            self.end()

    def _give(self) -> None:
        """Give the turn to the next, if there is one."""
        both = [self._openings, self._drawings]
        if self._opened_last:
            both.reverse()
        queue = next(filter(None, both), None)
        self._works = queue is not None
        if queue is None:
            return
        self._opened_last = queue is self._openings
        turn = queue.pop(next(iter(queue)))
        if turn.done():
            # Whose it was has gone away in this very moment.
            self._give()
        else:
            turn.set_result(None)


def waits_for(ahead: int | None) -> str:
    """Say what somebody with so many before them waits for; nothing if it is their turn."""
    if not ahead:
        return ""
    return f"{ahead} other page{'s' if ahead > 1 else ''} of this server that are being opened"
