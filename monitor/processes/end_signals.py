"""The signals that ask this program to end."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ASKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Commands that only a signal ends: it is no failure.
ENDLESS = ("serve", "record", "tail", "simulate")

_heard: list[signal.Signals] = []


class Interrupted(KeyboardInterrupt):
    """A Ctrl-C. A plain KeyboardInterrupt during `exec` makes Python kill itself much later."""


def signals() -> tuple[signal.Signals, ...]:
    """Return the end signals; without SIGHUP (the terminal's end) if `nohup` ignores it."""
    return tuple(
        number
        for number in ASKED
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
    )


def heard() -> signal.Signals | None:
    """Return the first signal that ended the program by `exit_on_signal`."""
    return _heard[0] if _heard else None


def code(number: int) -> int:
    """Return the exit code after a signal."""
    return 0 if sys.argv[1:2] and sys.argv[1] in ENDLESS else 128 + number


def exit_on_signal() -> None:
    """Make the end signals raise an exception, so that cleanup runs."""
    for number in signals():
        signal.signal(number, _exit)


def on_signal(action: Callable[[], None]) -> None:
    """Call a function at each end signal."""
    for number in signals():
        signal.signal(number, lambda *_: action())


@contextmanager
def later() -> Iterator[None]:
    """Delay signals while an exception would lose a starting child process."""
    if threading.current_thread() is not threading.main_thread():
        # Signals raise only in the main thread.
        yield
        return
    held: list[int] = []
    before = {number: signal.getsignal(number) for number in signals()}
    for number in before:
        signal.signal(number, lambda number, _: held.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for told in held:
            signal.raise_signal(told)


def _exit(number: int, _frame: object) -> None:
    _heard.append(signal.Signals(number))
    if number == signal.SIGINT:
        raise Interrupted
    sys.exit(code(number))
