"""The command `monitor simulate`, also `python -m monitor.simulate`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from monitor.simulate.listings import VENUES
from monitor.simulate.simulator import RATE, SEED, run


def simulate(
    venues: Annotated[
        list[str] | None, typer.Argument(metavar="[VENUE]...", help=f"Of {', '.join(VENUES)}.")
    ] = None,
    port: Annotated[int, typer.Option(help="0 takes any free one.", min=0, max=65535)] = 0,
    rate: Annotated[float, typer.Option(help="Messages per second in all.")] = RATE,
    seed: Annotated[int, typer.Option(help="The same seed gives the same market.")] = SEED,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="NAME:probability, or NAME@seconds for one every so many seconds."),
    ] = None,
    capture: Annotated[list[Path] | None, typer.Option(help="Captured frames to play.")] = None,
    venue: Annotated[str | None, typer.Option(help="The venue of the captured frames.")] = None,
    speed: Annotated[str, typer.Option(help="Of the playback: a number, or max.")] = "1",
) -> None:
    """Run the local exchange until SIGTERM or SIGINT: WebSocket and HTTP on one port."""
    # A capture alone brings its own venue.
    chosen = venues or ([] if capture else list(VENUES))
    try:
        pace = None if speed == "max" else _number(speed)
        run(
            chosen,
            port,
            rate=rate,
            seed=seed,
            faults=fault or [],
            captures=capture or [],
            venue=venue,
            speed=pace,
        )
    except ValueError as error:
        typer.echo(f"monitor simulate: {error}", err=True)
        raise typer.Exit(2) from error
    except OSError as error:
        found = f"{os.strerror(error.errno or 0)}: {port}"
        typer.echo(f"monitor simulate: expected a free port, found {found}", err=True)
        raise typer.Exit(1) from error


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"expected a speed above 0 or max, found {text!r}") from None


if __name__ == "__main__":
    typer.run(simulate)
