"""The second connection of a session: opened before the first ends, or held beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from monitor._rust_feed import Session
from monitor.feeds import transport
from monitor.feeds.connecting import Opening

# Used while there is nothing else to wait for.
WAIT_S = 0.005

CarryOut = Callable[[transport.Line | None, Sequence[tuple[str, Any]]], str | None]


class Beside:
    """A second connection: opened, subscribed and read, until it takes over or ends."""

    def __init__(self, session: Session, conn: int, url: str, name: str) -> None:
        self.conn = conn
        self.line: transport.Line | None = None
        self._session, self._url = session, url
        self._stack = ExitStack()
        self._opening = Opening(url, name)
        self._opened_s: float | None = None

    @property
    def lived_s(self) -> float:
        return time.monotonic() - self._opened_s if self._opened_s is not None else 0.0

    def step(self, now_ns: Callable[[], int], carry_out: CarryOut, wait_s: float) -> str | None:
        """Carry out what is due; return why it failed, None while it works."""
        if self.line is None:
            if not self._opening.wait(wait_s):
                return None
            self.line = self._opening.line(self._stack)
            self._opened_s = time.monotonic()
            shown = transport.address(self._url)
            return carry_out(self.line, self._session.opened_beside(self.conn, now_ns(), shown))
        data = self.line.read(wait_s)
        if data == b"":
            return "the venue closed it"
        if data is None:
            return carry_out(self.line, self._session.tick_beside(now_ns()))
        return carry_out(self.line, self._session.receive_beside(data, now_ns()))

    def take_over(self) -> tuple[transport.Line, ExitStack]:
        """Return the line, and the stack that closes it."""
        assert self.line is not None
        return self.line, self._stack.pop_all()

    def close(self) -> None:
        """Close it."""
        if self.line is None:
            self._opening.abandon()
        self._stack.close()
