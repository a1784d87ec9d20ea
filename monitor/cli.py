"""The command line's entry: it runs a command, and turns every error into one line.

The commands and their libraries are imported within `main`, so that Ctrl-C is heeded meanwhile.
"""

from __future__ import annotations

import _thread
import errno
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType

FAILURE, USAGE, INTERRUPTED = 1, 2, 128 + signal.SIGINT


def main() -> NoReturn:
    """Run a command and exit: 1 if its work failed, 2 on wrong usage, 130 after Ctrl-C."""
    interrupts: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    sys.unraisablehook = _interrupt_again
    try:
        code = _run()
    except BaseException:
        # Libraries raise errors of their own for an interrupt: DuckDB a RuntimeError.
        if not interrupts:
            raise
        code = INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(INTERRUPTED if interrupts and code else code)


def _run() -> int:
    """Run a command and write out all that it printed; return the exit code."""
    import typer

    from monitor.cli_commands import app
    from monitor.cli_support import leave_output

    try:
        try:
            code: object = app(standalone_mode=False)
        except SystemExit as done:
            code = done.code
        if sys.stdout is not None:
            sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except typer.TyperException as error:
        # Without a command the help says it all.
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


def _interrupt_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Interrupt once more where the first time fell into code that cannot raise."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        _thread.interrupt_main()
    else:
        sys.__unraisablehook__(unraisable)


if __name__ == "__main__":
    main()
