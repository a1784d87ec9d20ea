"""The signals that ask this program to end."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

ASKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def signals() -> tuple[signal.Signals, ...]:
    """Return them; SIGHUP, the end of the terminal, is not one where `nohup` has it ignored."""
    return tuple(
        number
        for number in ASKED
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
    )


def exit_on_signal() -> None:
    """Have them end the program as Ctrl-C does: what is half done is put away."""
    for number in signals():
        if number != signal.SIGINT:
            signal.signal(number, lambda number, _: sys.exit(128 + number))


def on_signal(action: Callable[[], None]) -> None:
    """Do this whenever the program is asked to end."""
    for number in signals():
        signal.signal(number, lambda *_: action())
