"""Act as the first process of a container (PID 1): pass signals on, reap children.

The kernel ignores its unhandled signals, and gives it orphaned processes, which stay zombies until
it reaps them. The program runs as its child; this one passes signals on.
"""

from __future__ import annotations

import os
import signal
import sys

from monitor.processes import end_signals


def stand_by() -> None:
    """Return in a child; in this process pass signals on, reap children, and end with the child."""
    asked = end_signals.signals()
    # Signals that arrive before the child is ready wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, asked)
    child = os.fork()
    if not child:
        if os.isatty(0):
            _take_terminal()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, asked)
        return
    for number in asked:
        signal.signal(number, lambda number, _: os.kill(child, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, asked)
    while True:
        ended, status = os.wait()
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            # 128 + N after signal N, as a shell says it.
            sys.exit(code if code >= 0 else 128 - code)


def _take_terminal() -> None:
    """Make Ctrl-C reach only the child: the first process must not pass it on again."""
    os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
    os.tcsetpgrp(0, os.getpid())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTTOU])
