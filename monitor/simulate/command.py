"""The command `monitor simulate`, also `python -m monitor.simulate`."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Annotated

import typer

from monitor.simulate.market.listings import VENUES
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
    past: Annotated[
        str | None, typer.Option(help="Write so much of a venue's past (30m, 3h) with --to.")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="The capture file of --past (.gz too).")] = None,
    with_stdin: Annotated[bool, typer.Option("--with-stdin", hidden=True)] = False,
) -> None:
    """Run the local exchange until told to end: WebSocket and HTTP on one port.

    With --past nothing is served: the frames of so much time up to now are written at once, as a
    capture for `monitor ingest`.
    """
    # A capture alone brings its own venue.
    chosen = venues or ([] if capture else list(VENUES))
    if past is not None or to is not None:
        _write_past(venues or [], past, to, rate, seed)
        return
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
            with_stdin=with_stdin,
        )
    except ValueError as error:
        typer.echo(f"monitor simulate: {error}", err=True)
        raise typer.Exit(2) from error
    except BrokenPipeError:
        # Whoever asked for the addresses is gone.
        raise
    except OSError as error:
        found = f"{os.strerror(error.errno or 0)}: {port}"
        typer.echo(f"monitor simulate: expected a free port, found {found}", err=True)
        raise typer.Exit(1) from error


def _write_past(
    venues: list[str], past: str | None, to: Path | None, rate: float, seed: int
) -> None:
    from monitor.simulate.market.past_rows import write

    try:
        if past is None or to is None:
            raise ValueError("expected --past and --to together, found only one")
        if len(venues) != 1:
            raise ValueError(f"expected one venue with --past, found {len(venues)}")
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", past)
        if found is None:
            raise ValueError(f"expected a time such as 30s, 10m or 3h, found {past!r}")
        if not 0 < rate < float("inf"):
            raise ValueError(f"expected a rate above 0, found {rate:g}")
        past_s = float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]
        lines = write(to, venues[0], past_s, rate=rate, seed=seed, now_ns=time.time_ns())
    except ValueError as error:
        typer.echo(f"monitor simulate: {error}", err=True)
        raise typer.Exit(2) from error
    except OSError as error:
        typer.echo(f"monitor simulate: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{lines} lines of {past} written to {to}", err=True)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"expected a speed above 0 or max, found {text!r}") from None
