"""The entry of the command line: run a command and turn every error into one line.

The commands and their libraries are imported within `main`, so that Ctrl-C works meanwhile.
"""

from __future__ import annotations

import _thread
import errno
import signal
import sys
from typing import NoReturn

from monitor.processes import end_signals, standard_streams

FAILURE, USAGE = 1, 2


def main() -> NoReturn:
    """Run a command and exit: 1 if its work failed, 2 on wrong usage, 128 + N after signal N.

    A command that runs until a signal ends it exits with 0 then.
    """
    end_signals.exit_on_signal()
    standard_streams.prepare()
    sys.unraisablehook = _end_again
    try:
        code = _run()
    except BaseException:
        # Libraries turn an interrupt into errors of their own: DuckDB into a RuntimeError.
        if end_signals.heard() is None:
            raise
        code = FAILURE
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    heard = end_signals.heard()
    sys.exit(end_signals.code(heard) if heard and code else code)


def _run() -> int:
    """Run a command and flush its output; return the exit code."""
    import typer

    from monitor.cli.commands import app
    from monitor.cli.support import leave_output

    try:
        try:
            code: object = app(standalone_mode=False)
        except SystemExit as done:
            code = done.code
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except typer.TyperException as error:
        # Without a command the help is printed and there is no message.
        if message := error.format_message():
            _say(message)
        return USAGE
    except typer.Abort:
        _say("expected an answer, found the end of standard input")
        return FAILURE
    except OSError as error:
        leave_output()
        if error.errno != errno.EPIPE:
            _say(str(error))
        return FAILURE


def _say(message: str) -> None:
    print(f"monitor: {message}", file=sys.stderr, flush=True)


def _end_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Repeat an interrupt that was raised in code where Python ignores exceptions."""
    heard = end_signals.heard()
    if heard and issubclass(unraisable.exc_type, KeyboardInterrupt | SystemExit):
        _thread.interrupt_main(heard)
    else:
        sys.__unraisablehook__(unraisable)
