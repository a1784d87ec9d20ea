"""The simulated exchange's server: WebSocket and HTTP on one loopback port, paced by a rate."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from aiohttp import WSMsgType, web

from monitor.simulate import binance, coinbase, kraken
from monitor.simulate.client import Client
from monitor.simulate.faults import HTTP, Fault, Faults
from monitor.simulate.market import Market
from monitor.simulate.playback import Capture

VENUES: dict[str, ModuleType] = {"binance": binance, "kraken": kraken, "coinbase": coinbase}
PACE_S = 0.01
STEPS_PER_TURN = 2000
STOP_S = 0.5


class Exchange:
    """The venues, their market, and everyone connected to them."""

    def __init__(
        self,
        venues: Sequence[str],
        rate: float,
        seed: int,
        faults: list[Fault],
        capture: Capture | None,
        speed: float | None,
    ) -> None:
        self._venues = tuple(venues)
        self._rate = rate
        self._market = Market(self._venues, seed)
        self._faults = Faults(faults, seed)
        self._capture, self._speed = capture, speed
        self._sessions: set[Any] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._began_s = 0.0

    async def start(self, port: int) -> tuple[web.AppRunner, int]:
        """Listen on 127.0.0.1; return what to clean up, and the port."""
        self._began_s = asyncio.get_running_loop().time()
        app = web.Application()
        for venue in self._venues:
            app.router.add_route("*", f"/{venue}", self._handler(venue, f"/{venue}"))
            app.router.add_route("*", f"/{venue}/{{path:.*}}", self._handler(venue, f"/{venue}"))
        if len(self._venues) == 1:
            app.router.add_route("*", "/{path:.*}", self._handler(self._venues[0], ""))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_S)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        self._spawn(self._beat())
        if self._capture is None:
            self._spawn(self._trade())
        addresses: Any = runner.addresses
        return runner, int(addresses[0][1])

    async def stop(self, runner: web.AppRunner) -> None:
        for task in self._tasks:
            task.cancel()
        for session in list(self._sessions):
            await session.client.close()
        await runner.cleanup()

    def _handler(self, venue: str, prefix: str) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            path = request.path.removeprefix(prefix) or "/"
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._talk(venue, path, request)
            return self._rest(venue, path, request)

        return handle

    async def _talk(self, venue: str, path: str, request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(autoping=True, compress=False, heartbeat=None)
        await ws.prepare(request)
        client = Client(ws, request, self._faults)
        session = VENUES[venue].Session(client, self._market, dict(request.query), path)
        self._sessions.add(session)
        playing = False
        try:
            async for message in ws:
                if message.type != WSMsgType.TEXT:
                    continue
                if self._capture is not None:
                    if not playing:
                        playing = True
                        self._spawn(self._capture.play(client, self._speed))
                    continue
                if (code := session.receive(message.data)) is not None:
                    await ws.close(code=code, message=b"Too many requests")
        finally:
            self._sessions.discard(session)
            await client.close()
        return ws

    def _rest(self, venue: str, path: str, request: web.Request) -> web.Response:
        fault = self._faults.strike(HTTP, asyncio.get_running_loop().time() - self._began_s)
        if fault is not None:
            status = int(fault.removeprefix("http-"))
            headers = {"Retry-After": "2"} if status in (418, 429) else {}
            return web.Response(status=status, headers=headers, text='{"code":0,"msg":"fault"}')
        if self._capture is not None:
            body = self._capture.bodies.get(path)
            found = (200, body) if body is not None else (404, '{"msg":"not captured"}')
            return web.Response(status=found[0], text=found[1], content_type="application/json")
        answer = VENUES[venue].rest(path, dict(request.query), self._market)
        status, value = answer if answer is not None else (404, {"error": "NOT_FOUND"})
        headers = {"X-MBX-USED-WEIGHT-1M": "1"} if venue == "binance" else {}
        return web.Response(
            status=status,
            text=json.dumps(value),
            content_type="application/json",
            headers=headers,
        )

    async def _trade(self) -> None:
        """Step the market as often as the rate wants: messages sent over all connections."""
        loop = asyncio.get_running_loop()
        allowed, last_s = 0.0, loop.time()
        while True:
            await asyncio.sleep(PACE_S)
            now_s = loop.time()
            allowed = min(allowed + (now_s - last_s) * self._rate, self._rate)
            last_s = now_s
            for _ in range(STEPS_PER_TURN):
                if allowed < 1:
                    break
                event = self._market.step()
                before = self._sent()
                for session in self._sessions:
                    if VENUES[event.listing.venue].Session is type(session):
                        session.publish(event)
                allowed -= max(self._sent() - before, 0 if self._sessions else 1) or 0.2

    def _sent(self) -> int:
        return sum(session.client.sent for session in self._sessions)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            if self._capture is None:
                for session in list(self._sessions):
                    session.beat()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def addresses(venues: Sequence[str], port: int) -> list[str]:
    """Return the line of each venue: its name, its WebSocket and its HTTP address."""
    return [f"{v} ws://127.0.0.1:{port}/{v} http://127.0.0.1:{port}/{v}" for v in venues]
