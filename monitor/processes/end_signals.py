"""The signals that ask this program to end."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ASKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Commands that nothing else ends: to be told to end is no failure of theirs.
ENDLESS = ("serve", "record", "tail", "simulate")

_heard: list[signal.Signals] = []


class Interrupted(KeyboardInterrupt):
    """A Ctrl-C. After a plain one that fell into `exec` Python kills itself, long after."""


def signals() -> tuple[signal.Signals, ...]:
    """Return them; SIGHUP, the end of the terminal, is not one where `nohup` has it ignored."""
    return tuple(
        number
        for number in ASKED
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
    )


def heard() -> signal.Signals | None:
    """Return the first signal that ended the program by `exit_on_signal`."""
    return _heard[0] if _heard else None


def code(number: int) -> int:
    """Return what the program ends with that a signal told to end."""
    return 0 if sys.argv[1:2] and sys.argv[1] in ENDLESS else 128 + number


def exit_on_signal() -> None:
    """Have them end the program by an exception: what is half done is put away."""
    for number in signals():
        signal.signal(number, _exit)


def on_signal(action: Callable[[], None]) -> None:
    """Do this whenever the program is asked to end."""
    for number in signals():
        signal.signal(number, lambda *_: action())


@contextmanager
def later() -> Iterator[None]:
    """Hold signals back where an exception would lose a process that is being started."""
    if threading.current_thread() is not threading.main_thread():
        # No signal raises in another thread.
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
