"""Start and stop the simulated exchange: in the foreground, or in a thread of its own."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from monitor.processes import end_signals
from monitor.simulate.exchange import ADDRESS, Exchange, Options
from monitor.simulate.market.listings import VENUES
from monitor.simulate.playback import Capture
from monitor.simulate.wire.faults import parse, speaks_tls
from monitor.simulate.wire.tls import certificates

RATE = 200.0
SEED = 1
READY_S = 30.0


def run(
    venues: Sequence[str] = VENUES,
    port: int = 0,
    *,
    rate: float = RATE,
    seed: int = SEED,
    faults: Sequence[str] = (),
    captures: Sequence[Path] = (),
    venue: str | None = None,
    speed: float | None = 1.0,
    with_stdin: bool = False,
) -> None:
    """Serve until told to end, after a line per venue on standard output.

    Given `with_stdin` it also ends with standard input, which the program that started it holds
    open: the kernel closes that when the program is killed.
    ValueError says which argument is wrong, OSError that the port cannot be had.
    """
    chosen = options(
        venues,
        rate=rate,
        seed=seed,
        faults=faults,
        captures=captures,
        venue=venue,
        speed=speed,
    )

    async def serve() -> None:
        stop = asyncio.Event()
        for number in end_signals.signals():
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        if with_stdin:
            asyncio.get_running_loop().add_reader(sys.stdin, stop.set)
        await _serve(chosen, port, stop, _tell)

    asyncio.run(serve())


class Simulator:
    """The exchange in a thread of its own, for the length of a `with` block.

    >>> with Simulator(["binance"]) as simulator:
    ...     simulator.ws_url("binance")
    """

    def __init__(
        self,
        venues: Sequence[str] = VENUES,
        port: int = 0,
        *,
        rate: float = RATE,
        seed: int = SEED,
        faults: Sequence[str] = (),
        captures: Sequence[Path] = (),
        venue: str | None = None,
        speed: float | None = 1.0,
    ) -> None:
        self.port = port
        self._options = options(
            venues,
            rate=rate,
            seed=seed,
            faults=faults,
            captures=captures,
            venue=venue,
            speed=speed,
        )
        self._s = "" if self._options.certificates is None else "s"
        self._ready = threading.Event()
        self._error: OSError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._work, name="simulate", daemon=True)

    def ws_url(self, venue: str) -> str:
        return f"ws{self._s}://{ADDRESS}:{self.port}/{venue}"

    def http_url(self, venue: str) -> str:
        return f"http{self._s}://{ADDRESS}:{self.port}/{venue}"

    def __enter__(self) -> Simulator:
        self._thread.start()
        if not self._ready.wait(READY_S):
            raise TimeoutError(f"expected a simulator within {READY_S:g} s, found none")
        if self._error is not None:
            self._thread.join()
            raise self._error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _work(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await _serve(self._options, self.port, self._stop, self._begun)

    def _begun(self, exchange: Exchange, port: int) -> None:
        self.port = port
        self._ready.set()


def options(
    venues: Sequence[str],
    *,
    rate: float,
    seed: int,
    faults: Sequence[str],
    captures: Sequence[Path],
    venue: str | None,
    speed: float | None,
) -> Options:
    """Check the arguments and read the captures; ValueError says what is wrong."""
    if not 0 < rate < float("inf"):
        raise ValueError(f"expected a rate above 0, found {rate:g}")
    if speed is not None and not 0 < speed < float("inf"):
        raise ValueError(f"expected a speed above 0 or max, found {speed:g}")
    wanted = [parse(text) for text in faults]
    capture = Capture(captures) if captures else None
    if capture is None and venue is not None:
        raise ValueError(f"expected --capture with --venue {venue}, found none")
    if capture is not None and venue is None:
        named = set(venues) if len(venues) == 1 else capture.venues
        if len(named) != 1:
            found = ", ".join(sorted(named)) or "none"
            raise ValueError(f"expected --venue, or a capture of one venue, found {found}")
        venue = named.pop()
    played = [] if venue is None or venue in venues else [venue]
    names = [*dict.fromkeys(venues), *played]
    unknown = [name for name in names if name not in VENUES and name != venue]
    if unknown or not names:
        found = repr(unknown[0]) if unknown else "none"
        raise ValueError(f"expected venues of {', '.join(VENUES)}, found {found}")
    made = certificates(ADDRESS) if speaks_tls(wanted) else None
    return Options(names, rate, seed, wanted, made, capture, venue, speed)


async def _serve(
    chosen: Options, port: int, stop: asyncio.Event, begun: Callable[[Exchange, int], None]
) -> None:
    exchange = Exchange(chosen)
    runner, port = await exchange.start(port)
    begun(exchange, port)
    await stop.wait()
    await exchange.stop(runner)


def _tell(exchange: Exchange, port: int) -> None:
    for line in exchange.addresses(port):
        print(line, flush=True)
