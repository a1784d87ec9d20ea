"""Run `python -m monitor.jobs`: the child process of one job."""

from monitor.jobs.job_worker import main

main()
