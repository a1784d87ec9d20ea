"""Open a connection on its own thread, so that a silent venue delays nothing."""

from __future__ import annotations

import threading
from contextlib import ExitStack

from monitor.feeds import transport

# The status kind of a refused handshake, and the wait if the venue names none.
REFUSALS = {
    401: ("auth_failed", 60.0),
    403: ("auth_failed", 60.0),
    418: ("rate_limited", 120.0),
    429: ("rate_limited", 10.0),
    451: ("geo_blocked", 600.0),
}


class Opening:
    """A connection that is being opened, within the transport's time limit."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._abandoned = False
        self._stack = ExitStack()
        self._line: transport.Line | None = None
        self._error: BaseException | None = None
        try:
            threading.Thread(target=self._open, name=name, daemon=True).start()
        except transport.OUT_OF_RESOURCES as error:
            self._error = error
            self._done.set()

    def wait(self, seconds: float) -> bool:
        """Return whether the opening has ended, after waiting up to a limit."""
        return self._done.wait(seconds)

    def line(self, stack: ExitStack) -> transport.Line:
        """Return the open line, closed with `stack`; raise the error of a failed opening."""
        if self._error is not None:
            raise self._error
        assert self._line is not None
        stack.push(self._stack.pop_all())
        return self._line

    def abandon(self) -> None:
        """Close the connection as soon as it is open: it is no longer needed."""
        with self._lock:
            self._abandoned = True
            if self._done.is_set():
                self._stack.close()

    def _open(self) -> None:
        try:
            self._line = self._stack.enter_context(transport.connect(self._url))
        except (*transport.LINE_ERRORS, *transport.OUT_OF_RESOURCES) as error:
            self._error = error
        with self._lock:
            self._done.set()
            if self._abandoned:
                self._stack.close()


def refusal(error: Exception) -> tuple[str, str, float]:
    """Return an error's status kind, its reason, and the wait in s before the next attempt."""
    if isinstance(error, transport.RefusedError):
        kind, pause_s = REFUSALS.get(error.status_code, ("disconnected", 0.0))
        return kind, str(error), pause_s if error.pause_s is None else error.pause_s
    return "disconnected", f"{type(error).__name__}: {error}", 0.0
