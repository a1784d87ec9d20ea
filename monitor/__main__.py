"""The entry of `monitor` and `python -m monitor`: signals are handled before libraries load."""

from __future__ import annotations

from monitor import ending


def main() -> None:
    """Run a command.

    Libraries load for most of a second, and a container's first process, which has no default
    handlers, would miss a SIGTERM meanwhile.
    """
    ending.exit_on_signal()
    from monitor import cli

    cli.main()


if __name__ == "__main__":
    main()
