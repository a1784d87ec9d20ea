"""Open a connection on its own thread, so that a silent venue delays nothing."""

from __future__ import annotations

import threading
from contextlib import ExitStack

from monitor.feeds import transport

# What a refused handshake is told as, and how long to leave a venue in peace that does not say it.
REFUSALS = {
    401: ("auth_failed", 60.0),
    403: ("auth_failed", 60.0),
    418: ("rate_limited", 120.0),
    429: ("rate_limited", 10.0),
    451: ("geo_blocked", 600.0),
}


class Opening:
    """A connection that is being opened; ends by itself within the transport's time limit."""

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
        """Tell whether it has come to an end, after waiting at most so long."""
        return self._done.wait(seconds)

    def line(self, stack: ExitStack) -> transport.Line:
        """Return the open line, closed with `stack`; raise what it failed with."""
        if self._error is not None:
            raise self._error
        assert self._line is not None
        stack.push(self._stack.pop_all())
        return self._line

    def abandon(self) -> None:
        """Close the connection as soon as it is open: nobody wants it any more."""
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
    """Tell an error of the line as kind of status, reason, and seconds to leave the venue alone."""
    if isinstance(error, transport.RefusedError):
        kind, pause_s = REFUSALS.get(error.status_code, ("disconnected", 0.0))
        return kind, str(error), pause_s if error.pause_s is None else error.pause_s
    return "disconnected", f"{type(error).__name__}: {error}", 0.0
