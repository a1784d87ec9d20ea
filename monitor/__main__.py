"""The program `monitor`, also `python -m monitor`: can be told to end before anything is loaded."""

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
