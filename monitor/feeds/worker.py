"""A thread that survives a temporary lack of threads, memory or files."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from monitor.feeds import transport
from monitor.feeds.back_off import BackOff

PASSING = (*transport.LINE_ERRORS, *transport.OUT_OF_RESOURCES)

log = logging.getLogger(__name__)


class Worker:
    """Runs `run` until it returns; after an error it runs it again, with a growing pause.

    `on_trouble` receives each error; once `stopping` is set, `on_stop` cleans up after a `run` that
    failed.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[], None],
        on_trouble: Callable[[Exception], None],
        on_stop: Callable[[], None],
        stopping: threading.Event,
    ) -> None:
        self._name, self._run = name, run
        self._on_trouble, self._on_stop, self._stopping = on_trouble, on_stop, stopping
        self._thread: threading.Thread | None = None
        self._due_s, self._back_off = 0.0, BackOff()

    def keep_started(self) -> None:
        """Start the thread if it has not started; without a free thread retry after a pause."""
        if self._thread is not None or time.monotonic() < self._due_s:
            return
        thread = threading.Thread(target=self._go_on, name=self._name, daemon=True)
        try:
            thread.start()
        except transport.OUT_OF_RESOURCES as error:
            self._due_s = time.monotonic() + self._back_off.pause_s(0.0)
            self._on_trouble(error)
        else:
            self._thread = thread

    def has_ended(self, timeout_s: float) -> bool:
        """Wait for the end, up to a limit; False if it has not ended or never started."""
        if self._thread is None:
            return False
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _go_on(self) -> None:
        back_off = BackOff()
        while True:
            began_s = time.monotonic()
            try:
                return self._run()
            except PASSING as error:
                log.warning("%s goes on after %s: %s", self._name, type(error).__name__, error)
                self._tell(error)
            if self._stopping.wait(back_off.pause_s(time.monotonic() - began_s)):
                return self._on_stop()

    def _tell(self, error: Exception) -> None:
        try:
            self._on_trouble(error)
        except PASSING as further:
            log.warning("%s could not report it: %s", self._name, further)
