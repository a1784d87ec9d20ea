"""A second connection of a session, opened before the first one ends, so that nothing is missed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from monitor._rust_feed import Session
from monitor.feeds import transport
from monitor.feeds.opening import Opening

READ_S = 0.005

CarryOut = Callable[[transport.Line | None, Sequence[tuple[str, Any]]], str | None]


class Beside:
    """Is opened, subscribed and read, until the session says that it may take over."""

    def __init__(self, session: Session, conn: int, url: str, name: str) -> None:
        self.conn = conn
        self.line: transport.Line | None = None
        self._session, self._url = session, url
        self._stack = ExitStack()
        self._opening = Opening(url, name)

    def step(self, now_ns: Callable[[], int], carry_out: CarryOut) -> str | None:
        """Do what is due; return why it came to nothing, None while all is well."""
        if self.line is None:
            if not self._opening.wait(READ_S):
                return None
            self.line = self._opening.line(self._stack)
            shown = transport.address(self._url)
            return carry_out(self.line, self._session.opened_beside(self.conn, now_ns(), shown))
        data = self.line.read(READ_S)
        if data == b"":
            return "the venue closed it"
        if data is None:
            return carry_out(self.line, self._session.tick_beside(now_ns()))
        return carry_out(self.line, self._session.receive_beside(data, now_ns()))

    def take_over(self, stack: ExitStack) -> transport.Line:
        """Return the line, closed with `stack` from now on."""
        assert self.line is not None
        stack.push(self._stack.pop_all())
        return self.line

    def close(self) -> None:
        """Give it up."""
        self._session.forget_beside()
        if self.line is None:
            self._opening.abandon()
        self._stack.close()
