"""Run `python -m monitor.sql`: the child process of one statement."""

from monitor.sql.query_worker import main

main()
