"""One WebSocket connection of the simulated exchange: an outbox, its writer, and the faults."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import deque
from collections.abc import Iterable

from aiohttp import web

from monitor.simulate.faults import WIRE, Faults

# A reader this many messages behind is cut off, as the venues do.
OUTBOX_MESSAGES = 200_000
WRITE_BYTES = 1 << 16


class Client:
    """Frames a venue's texts for one connection; texts leave in the order they were put."""

    def __init__(self, ws: web.WebSocketResponse, request: web.Request, faults: Faults) -> None:
        self.sent = 0
        self._ws, self._faults = ws, faults
        self._transport = request.transport
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()
        self._outbox: deque[tuple[str, bool]] = deque()
        self._filled = asyncio.Event()
        self._held: str | None = None
        self._mute = False
        self._writer = asyncio.create_task(self._write())

    def put(self, text: str, data: bool = True) -> None:
        """Send a text soon; only `data` is subject to faults."""
        self.sent += 1
        self._outbox.append((text, data))
        self._filled.set()

    async def drained(self) -> None:
        """Wait until the outbox is all but empty."""
        while len(self._outbox) > 1000 and not self._writer.done():
            await asyncio.sleep(0.005)

    async def close(self) -> None:
        self._writer.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await self._writer

    async def _write(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            if len(self._outbox) > OUTBOX_MESSAGES:
                await self._ws.close(code=1008, message=b"slow reader")
                return
            while self._outbox:
                parts: list[bytes] = []
                size = 0
                while self._outbox and size < WRITE_BYTES:
                    text, data = self._outbox.popleft()
                    for part in self._framed(text, data):
                        parts.append(part)
                        size += len(part)
                if self._mute or self._transport is None or self._transport.is_closing():
                    return
                self._transport.write(b"".join(parts))
                await self._room()

    async def _room(self) -> None:
        """Wait while the reader is behind by more than the transport buffers."""
        transport = self._transport
        while transport is not None and transport.get_write_buffer_size() > 4 * WRITE_BYTES:
            if transport.is_closing():
                return
            await asyncio.sleep(0.002)
        await asyncio.sleep(0)

    def _framed(self, text: str, data: bool) -> Iterable[bytes]:
        """Frame a text, or what a fault makes of it."""
        since_s = self._loop.time() - self._began_s
        fault = self._faults.strike(WIRE, since_s) if data else None
        payload = text.encode()
        held, self._held = self._held, None
        behind = [frame(held.encode())] if held is not None else []
        match fault:
            case None:
                return [frame(payload), *behind]
            case "gap":
                return behind
            case "duplicate":
                return [frame(payload), frame(payload), *behind]
            case "reorder":
                self._held = text
                return behind
            case "corrupt":
                return [frame(payload[: len(payload) // 2] + b"\x00}"), *behind]
            case "fragment":
                half = len(payload) // 2
                first = frame(payload[:half], fin=False)
                return [first, frame(payload[half:], opcode=0), *behind]
            case "slice":
                whole = frame(payload)
                return [whole[:3], whole[3:], *behind]
            case "half-open":
                self._mute = True
                return []
            case "reset":
                if self._transport is not None:
                    self._transport.abort()
                return []
            case _:
                self._loop.create_task(self._ws.close(code=1001, message=b"flap"))
                return []


def frame(payload: bytes, opcode: int = 1, fin: bool = True) -> bytes:
    """Frame a payload as a server does (RFC 6455, 5.2): unmasked."""
    first = (0x80 if fin else 0) | opcode
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", first, size) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload
