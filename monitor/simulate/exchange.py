"""The simulated exchange's server: WebSocket and HTTP on one loopback port, paced by a rate.

`GET /_simulate` tells how many of each fault were injected, per venue, `GET /_simulate/strikes`
which messages they befell, `GET /_simulate/book` and `/_simulate/trades` a venue's own book and
trades; `POST /_simulate/cue` has a venue do what it otherwise does of its own accord, and
`/_simulate/calm` ends the faults: `control.py` says how.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakSet

from aiohttp import WSMsgType, web

from monitor.simulate import control
from monitor.simulate.market.listings import VENUES
from monitor.simulate.market.market import Event, Instrument, Market
from monitor.simulate.playback import Capture, Playback
from monitor.simulate.venues.binance.rest import UNIT_HEADER
from monitor.simulate.venues.binance.stream import Binance
from monitor.simulate.venues.coinbase.stream import Coinbase
from monitor.simulate.venues.coinbase_exchange.stream import CoinbaseExchange
from monitor.simulate.venues.finnhub.stream import Finnhub
from monitor.simulate.venues.kraken.stream import Kraken
from monitor.simulate.venues.kraken_v1.stream import KrakenV1
from monitor.simulate.venues.mock.rest import Mock
from monitor.simulate.venues.uniswap.stream import Uniswap
from monitor.simulate.venues.venue import Answer, Guarded, Posting, Session, Venue
from monitor.simulate.wire import faults
from monitor.simulate.wire.client import BETWEEN, Client, Tally
from monitor.simulate.wire.faults import Dice, Fault
from monitor.simulate.wire.tls import Certificates
from monitor.simulate.wire.wire_format import SECOND_NS

__all__ = ["ADDRESS", "VENUES", "Exchange", "Options"]

ADDRESS = "127.0.0.1"
TURN_S = 0.01
# A turn takes no longer, so that requests are answered; what it could not send by then is let go.
TURN_BUSY_S = 0.03
ARREARS_S = 0.1
STEPS_BETWEEN_FLUSHES = 64
# Many a step concerns no subscriber: so many may be tried for each message allowed.
STEPS_PER_MESSAGE = 6
STOP_S, CLOSE_S = 0.5, 1.0
REQUEST_BYTES = 1 << 20


class Options(NamedTuple):
    """What to simulate; `rate` is messages per second in all, `speed` None as fast as possible."""

    venues: Sequence[str]
    rate: float
    seed: int
    faults: Sequence[Fault]
    certificates: Certificates | None = None
    capture: Capture | None = None
    capture_venue: str | None = None
    speed: float | None = 1.0


class Exchange:
    """The venues, their market, and everyone connected to them."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._last_ns = time.time_ns()
        self._faults = options.faults
        self._dice: WeakSet[Dice] = WeakSet()
        simulated = [name for name in options.venues if name != options.capture_venue]
        self._market = Market(simulated, options.seed, self._last_ns)
        self._tally = Tally(options.venues)
        self._venues: dict[str, Venue] = {name: self._venue(name) for name in options.venues}
        self._sessions: dict[Session, str] = {}
        self._wrong_certificates = 0
        self._started_s = 0.0
        self._connections = 0

    async def start(self, port: int) -> tuple[web.AppRunner, int]:
        """Listen; return what `stop` wants, and the port."""
        self._started_s = asyncio.get_running_loop().time()
        self._http_dice = {
            name: self._draws(faults.HTTP, f"http/{name}", self._started_s) for name in self._venues
        }
        self._tls_dice = self._draws(["tls"], "tls", self._started_s)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, ADDRESS, port, ssl_context=self._context()).start()
        except OSError:
            await runner.cleanup()
            raise
        self._turns = asyncio.create_task(self._run(), name="simulate-market")
        address: Any = runner.addresses[0]
        return runner, int(address[1])

    async def stop(self, runner: web.AppRunner) -> None:
        self._turns.cancel()
        await asyncio.gather(self._turns, return_exceptions=True)
        for session in list(self._sessions):
            session.client.close(1001, "going away")
        server = runner.server
        open_lines = [] if server is None else [handler.transport for handler in server.connections]
        await runner.cleanup()
        # A TLS connection would wait for its peer's goodbye, longer than the loop runs.
        for transport in filter(None, open_lines):
            transport.abort()

    def addresses(self, port: int) -> list[str]:
        """Return the line of each venue: its name, its WebSocket and its HTTP address."""
        at, s = f"{ADDRESS}:{port}", "" if self._options.certificates is None else "s"
        return [f"{name} ws{s}://{at}/{name} http{s}://{at}/{name}" for name in self._venues]

    def _venue(self, name: str) -> Venue:
        options = self._options
        if options.capture is not None and name == options.capture_venue:
            return Playback(options.capture, name, options.speed)
        if name == "uniswap":
            struck = self._tally.faults[name]
            dice = self._draws(faults.CHAIN, "uniswap", self._last_ns / SECOND_NS)
            return Uniswap(self._market.walks, options.seed, dice, struck, self._last_ns)
        if name == "mock":
            return Mock(options.seed, self._last_ns)
        return stream_venue(name, self._market.of(name), options.seed)

    def _draws(self, names: Sequence[str], seed: str, start_s: float) -> Dice:
        """Return what decides when faults of these names strike."""
        dice = Dice(faults.only(self._faults, names), f"{self._options.seed}/{seed}", start_s)
        self._dice.add(dice)
        return dice

    def _context(self) -> ssl.SSLContext | None:
        """Return a context that draws, for each handshake, which certificate it shows."""
        certificates = self._options.certificates
        if certificates is None:
            return None

        def greet(line: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
            if self._tls_dice.strikes(["tls"], asyncio.get_running_loop().time()):
                self._wrong_certificates += 1
            else:
                line.context = certificates.right

        certificates.wrong.sni_callback = greet
        return certificates.wrong

    def _control(self, request: web.Request) -> Answer:
        if request.path == control.PATH:
            return control.told(self._tally.faults, self._wrong_certificates)
        venue, symbol = (request.query.get(name, "") for name in ("venue", "symbol"))
        if request.path == control.STRIKES_PATH:
            return control.strikes(self._tally.strikes, venue)
        if request.path in control.POSTED and request.method != "POST":
            raise web.HTTPMethodNotAllowed(request.method, ["POST"])
        if request.path == control.CALM_PATH:
            self._faults = []
            for dice in self._dice:
                dice.calm()
            return control.told(self._tally.faults, self._wrong_certificates)
        if request.path == control.CUE_PATH:
            clients = [session.client for session, at in self._sessions.items() if at == venue]
            return control.cue(self._venues.get(venue), request.query.get("cue", ""), clients)
        if request.path == control.TRADES_PATH:
            return control.trades(self._market.instruments, venue, symbol)
        return control.book(self._market.instruments, venue, symbol)

    def _now_ns(self) -> int:
        """Return the exchange's clock, which never runs back."""
        self._last_ns = max(self._last_ns, time.time_ns())
        return self._last_ns

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path in control.PATHS:
            return await _response(self._control(request))
        name, _, rest = request.path.removeprefix("/").partition("/")
        path = f"/{rest}"
        if name not in self._venues:
            if len(self._venues) > 1:
                known = ", ".join(f"/{venue}/" for venue in self._venues)
                raise web.HTTPNotFound(
                    text=f"expected a path under {known}, found {request.path}\n"
                )
            name, path = next(iter(self._venues)), request.path
        venue, now_s = self._venues[name], asyncio.get_running_loop().time()
        if self._is_down(now_s):
            raise web.HTTPServiceUnavailable(text="down\n")
        fault = self._http_dice[name].strikes(faults.HTTP, now_s)
        if fault is not None:
            self._tally.faults[name][fault] += 1
            return await _response(venue.fault(int(fault.removeprefix("http-"))))
        query = dict(request.query)
        if unit := request.headers.get(UNIT_HEADER):
            # Binance takes by a header over HTTP what its streams take as a parameter.
            query["timeUnit"] = unit
        refusal = venue.refusal(query, request.headers) if isinstance(venue, Guarded) else None
        if refusal is not None:
            return await _response(refusal)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            if venue.opens(path):
                return await self._talk(name, path, request)
            raise web.HTTPNotFound(text=f"no WebSocket at {request.path}\n")
        if request.method == "POST" and isinstance(venue, Posting):
            return await _response(venue.post(path, await request.text(), self._now_ns()))
        return await _response(venue.rest(path, query, self._now_ns()))

    async def _talk(self, name: str, path: str, request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(
            autoping=False,
            autoclose=False,
            compress=False,
            timeout=CLOSE_S,
            max_msg_size=REQUEST_BYTES,
        )
        await ws.prepare(request)
        transport = request.transport
        if transport is None:
            return ws
        self._connections += 1
        now_s = asyncio.get_running_loop().time()
        seed = f"{self._connections}"
        dice = self._draws((*faults.MESSAGE, *faults.LINE), seed, now_s)
        client = Client(ws, transport, dice, self._tally, name)
        flap = self._draws(["flap"], f"{seed}/flap", now_s)
        session = self._venues[name].open(client, path, dict(request.query), self._now_ns())
        client.flush()
        self._sessions[session] = name
        is_first = True
        try:
            async for message in ws:
                if client.mute:
                    continue
                if message.type is WSMsgType.TEXT:
                    if is_first and flap.drawn(["flap"]):
                        client.strike("flap")
                        break
                    is_first = False
                    session.receive(message.data, self._now_ns())
                elif message.type is WSMsgType.PING:
                    client.pong(message.data)
                    session.control(False, message.data, self._now_ns())
                elif message.type is WSMsgType.PONG and message.data != BETWEEN:
                    session.control(True, message.data, self._now_ns())
                client.flush()
        finally:
            del self._sessions[session]
            session.closed()
            if client.mute:
                client.reset()
            await client.finish()
        return ws

    async def _run(self) -> None:
        """Turn after turn, let the market move as often as the rate wants."""
        loop, rate = asyncio.get_running_loop(), self._options.rate
        allowed, last_s, idle = 0.0, loop.time(), 0
        while True:
            await asyncio.sleep(TURN_S)
            now_s = loop.time()
            allowed = min(allowed + (now_s - last_s) * rate, 1 + rate * ARREARS_S)
            last_s = now_s
            heard = [item for venue in self._venues.values() for item in venue.wanted()]
            allowed = self._steps(self._market.pool(heard), allowed, now_s + TURN_BUSY_S)
            unheard = [item for item in self._market.instruments if item not in heard]
            if unheard:
                # They move as well, slowly: REST shows them.
                idle += 1
                self._publish(unheard[idle % len(unheard)].step(self._now_ns()))
            self._upkeep(now_s)

    def _steps(self, pool: Sequence[Instrument], allowed: float, until_s: float) -> float:
        """Move instruments until the allowance is spent; return what is left of it."""
        loop, tally = asyncio.get_running_loop(), self._tally
        tries = int(allowed * STEPS_PER_MESSAGE) if pool else 0
        while tries and allowed >= 1 and loop.time() < until_s:
            told = tally.messages
            self._publish(self._market.draw(pool).step(self._now_ns()))
            allowed -= tally.messages - told
            tries -= 1
            if tries % STEPS_BETWEEN_FLUSHES == 0:
                for session in self._sessions:
                    session.client.flush()
        return allowed if tries else min(allowed, 1.0)

    def _publish(self, event: Event) -> None:
        self._venues[event.instrument.listing.venue].publish(event)

    def _upkeep(self, now_s: float) -> None:
        """Send what is due by time, let timed faults strike, and write it all out."""
        now_ns, down = self._now_ns(), self._is_down(now_s)
        for venue in self._venues.values():
            venue.tick(now_ns)
        for session in self._sessions:
            session.tick(now_ns)
            session.client.watch(now_s)
            if down:
                session.client.strike("flap")
            session.client.flush()

    def _is_down(self, now_s: float) -> bool:
        return faults.is_down(self._faults, now_s - self._started_s)


def stream_venue(name: str, instruments: list[Instrument], seed: int) -> Venue:
    """Make a venue that speaks WebSocket; ValueError for any other."""
    match name:
        case "binance" | "binance-us":
            return Binance(instruments)
        case "kraken":
            return Kraken(instruments)
        case "kraken-v1":
            return KrakenV1(instruments)
        case "coinbase":
            return Coinbase(instruments)
        case "coinbase-exchange":
            return CoinbaseExchange(instruments)
        case "finnhub":
            return Finnhub(instruments, seed)
    raise ValueError(f"expected a venue that speaks WebSocket, found {name!r}")


async def _response(told: Answer) -> web.Response:
    kind = {} if "Content-Type" in told.headers else {"Content-Type": "application/json"}
    if told.after_s:
        await asyncio.sleep(told.after_s)
    return web.Response(
        status=told.status, body=told.body.encode(), headers={**told.headers, **kind}
    )
