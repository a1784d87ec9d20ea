"""Act as the first process of a container (PID 1): pass signals on, reap children.

It ignores signals that it does not handle, and inherits the processes of parents that died, which
stay zombies until it asks for their end. The program runs as its child; this one passes signals on.
"""

from __future__ import annotations

import os
import signal
import sys

from monitor.processes import end_signals


def stand_by() -> None:
    """Return in a child; in this process pass signals on, reap children, and end as it ends."""
    asked = end_signals.signals()
    # What comes before the child can be told waits.
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
    """Have Ctrl-C reach this process alone: it is not to come a second time from the first."""
    os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
    os.tcsetpgrp(0, os.getpid())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTTOU])
