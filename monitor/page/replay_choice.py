"""The replay of one viewer: opened and closed on threads, so that other viewers do not wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from monitor.hub import Hub
from monitor.page.viewer_replay import Replaying, Start
from monitor.recordings import FILE_ERRORS, Player

# A hung collector keeps each of these threads while it waits for the copy.
OPENERS = ThreadPoolExecutor(8, thread_name_prefix="open-replay")


class Asked(NamedTuple):
    """A replay that is being opened; compared by identity."""

    names: tuple[str, ...]
    start: Start


class ReplayChoice:
    """The replay that a viewer chose last, from its opening until it is closed."""

    def __init__(self, document: Any) -> None:
        self._document = document
        self._task: asyncio.Task[None] | None = None
        self.opening: Asked | None = None
        self.current: Replaying | None = None
        self._nothing = Hub()

    @property
    def is_live(self) -> bool:
        return self.current is None and self.opening is None

    @property
    def source(self) -> object:
        """The replay that is shown; None for live rows."""
        return self.current or self.opening

    @property
    def hub(self) -> Hub:
        """The hub that is shown: an empty one until the replay is open."""
        return self.current.hub if self.current else self._nothing

    @property
    def player(self) -> Player | None:
        return self.current.player if self.current else None

    @property
    def start(self) -> Start | None:
        """Where another replay continues; None if there is none."""
        if self.current:
            return self.current.start
        return self.opening.start if self.opening else None

    def open(
        self,
        names: Sequence[str],
        start: Start,
        make: Callable[[], Replaying],
        on_opened: Callable[[str], None],
    ) -> None:
        """Close the present replay and open the one of `make` on a thread.

        `on_opened` is called with the document's lock held and an error text, if any; it is not
        called if another replay was chosen meanwhile.
        """
        self.close()
        asked = self.opening = Asked(tuple(names), start)
        coming = self._open(asked, make, on_opened)
        self._task = asyncio.get_running_loop().create_task(coming, name="open a replay")

    def close(self) -> None:
        """Close the replay, and open none any more."""
        replaying, self.current, self.opening = self.current, None, None
        if replaying:
            _close(replaying)

    async def _open(
        self, asked: Asked, make: Callable[[], Replaying], on_opened: Callable[[str], None]
    ) -> None:
        made: Replaying | None = None
        trouble, is_taken = "", False
        try:
            made = await asyncio.get_running_loop().run_in_executor(OPENERS, make)
        except (ValueError, *FILE_ERRORS) as error:
            trouble = str(error).splitlines()[0]

        async def take(_: Any) -> None:
            nonlocal is_taken
            if self.opening is not asked:
                return
            is_taken = True
            self.opening, self.current = None, made
            on_opened(trouble)

        if self.opening is asked:
            await self._document.session_context.with_locked_document(take)
        if made and not is_taken:
            # Another replay was chosen while this one was opened.
            _close(made)


def _close(replaying: Replaying) -> None:
    """Close it on a thread: its player first ends its current step."""
    threading.Thread(target=replaying.close, name="close-replay").start()
