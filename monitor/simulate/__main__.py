"""The command `monitor simulate`, also `python -m monitor.simulate`."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer

from monitor.simulate import faults
from monitor.simulate.playback import Capture
from monitor.simulate.server import VENUES, Exchange, addresses


def simulate(
    venues: Annotated[list[str] | None, typer.Argument(metavar="[VENUE]...")] = None,
    port: Annotated[int, typer.Option(help="0 takes any free one.")] = 0,
    rate: Annotated[float, typer.Option(help="Messages per second in all.")] = 100.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same market.")] = 1,
    fault: Annotated[list[str] | None, typer.Option(help="NAME:probability or @seconds.")] = None,
    capture: Annotated[list[Path] | None, typer.Option(help="Captured frames to play.")] = None,
    venue: Annotated[str | None, typer.Option(help="The venue of the capture.")] = None,
    speed: Annotated[str, typer.Option(help="Of a capture: a number, or max.")] = "1",
) -> None:
    """Run the local exchange until SIGTERM or SIGINT."""
    chosen = [venue] if venue else list(venues or VENUES)
    unknown = [name for name in chosen if name not in VENUES]
    if unknown:
        raise typer.BadParameter(f"expected venues of {', '.join(VENUES)}, found {unknown[0]!r}")
    try:
        wanted = [faults.parse(text) for text in fault or []]
        pace = None if speed == "max" else float(speed)
        captured = Capture(capture) if capture else None
    except (ValueError, KeyError, OSError, EOFError) as error:
        raise typer.BadParameter(f"{error}") from error
    if pace is not None and pace <= 0:
        raise typer.BadParameter(f"expected a speed above 0 or max, found {speed}")
    asyncio.run(_serve(Exchange(chosen, rate, seed, wanted, captured, pace), chosen, port))


async def _serve(exchange: Exchange, venues: list[str], port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        runner, port = await exchange.start(port)
    except OSError as error:
        raise typer.BadParameter(
            f"expected a free port, found {error.strerror} ({port})"
        ) from error
    for line in addresses(venues, port):
        print(line, flush=True)
    await stop.wait()
    await exchange.stop(runner)


if __name__ == "__main__":
    typer.run(simulate)
