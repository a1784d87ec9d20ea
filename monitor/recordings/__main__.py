"""Run `python -m monitor.recordings`: the child process that compacts a day."""

from monitor.recordings.upkeep import main

main()
