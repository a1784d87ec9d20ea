"""Run `python -m monitor.cli`."""

from monitor.cli.entry import main

main()
