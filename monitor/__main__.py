"""The entry of `monitor` and `python -m monitor`: signals are handled before libraries load."""

from __future__ import annotations

import os
import signal
import sys

from monitor import ending, output


def main() -> None:
    """Run a command; libraries, which load for most of a second, come after this."""
    try:
        ending.exit_on_signal()
        if os.getpid() == 1:
            from monitor import first_process

            first_process.stand_by()
        # It starts a thread, which a fork would lose.
        output.prepare()
        from monitor import cli
    except KeyboardInterrupt:
        sys.exit(ending.code(signal.SIGINT))
    cli.main()


if __name__ == "__main__":
    main()
