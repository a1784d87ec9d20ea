"""Turns: long work in the page process is done piece by piece, by all pages in turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

# Pause after each piece, in which open pages are refreshed and answers are sent.
PAUSE_S = 0.02
# Most pages that may wait to open: memory is limited.
MOST = 200


class Turns:
    """Two queues on the event loop, one of pages to open and one of drawings, served alternately.

    So an opened page is drawn while others still wait to open. Each turn does one piece; for the
    next piece the page queues again at the end.
    """

    def __init__(self) -> None:
        self._openings: dict[Hashable, asyncio.Future[None]] = {}
        self._drawings: dict[Hashable, asyncio.Future[None]] = {}
        self._works = self._opened_last = False

    @property
    def is_full(self) -> bool:
        return len(self._openings) >= MOST

    def ahead(self, who: Hashable) -> int | None:
        """Return how many are ahead; None for one who does not wait."""
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
        """Give the turn to the next one, if any."""
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
            # Its owner has just left.
            self._give()
        else:
            turn.set_result(None)


def waits_for(ahead: int | None) -> str:
    """Describe the wait with this many others ahead; empty if it is one's turn."""
    if not ahead:
        return ""
    return f"{ahead} other page{'s' if ahead > 1 else ''} of this server that are being opened"
