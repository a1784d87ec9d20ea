"""The entry of `monitor` and `python -m monitor`: handle signals before the libraries load."""

from __future__ import annotations

import os
import signal
import sys

from monitor.processes import end_signals, standard_streams


def main() -> None:
    """Run a command; libraries, which load for most of a second, come after this."""
    try:
        end_signals.exit_on_signal()
        if os.getpid() == 1:
            from monitor.processes import first_process

            first_process.stand_by()
        # It starts a thread, which a fork would lose.
        standard_streams.prepare()
        from monitor.cli import entry
    except KeyboardInterrupt:
        sys.exit(end_signals.code(signal.SIGINT))
    entry.main()


if __name__ == "__main__":
    main()
