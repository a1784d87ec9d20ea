"""Run `python -m monitor.simulate`."""

import typer

from monitor.processes import standard_streams
from monitor.simulate.command import simulate

standard_streams.prepare()
typer.run(simulate)
