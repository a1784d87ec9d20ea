"""One WebSocket connection of the simulated exchange: texts in, frames out, faults in between."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import time
from collections import Counter, deque
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

from aiohttp import web

from monitor.simulate.wire import wire_format
from monitor.simulate.wire.faults import LINE, MESSAGE, Dice

# A reader this far behind is cut off, as the venues do.
BEHIND_BYTES = 32 << 20
# Played frames wait while so much lies unsent.
ROOM_BYTES = 1 << 20
ROOM_POLL_S = 0.002
# Between the pieces of a sliced message, so that they arrive as separate reads.
SLICE_PAUSE_S = 0.005
PAUSE = b""
# With so many messages behind, pieces go out without a pause.
SLICE_BACKLOG = 256
# Sent between the fragments of a message, where a control frame may stand.
BETWEEN = b"between"

# So many strikes are told of each venue.
STRIKES_TOLD = 1000

# Of WebSocket v2, and of v1.
_CHECKSUM = re.compile(r'("checksum":|"c":")(\d+)')


class Strike(NamedTuple):
    """A fault that befell a message at `at_ns`.

    Of one cut short, `sent` is what was left; where two changed places, `overtaken_by` the other.
    """

    fault: str
    at_ns: int
    message: str
    overtaken_by: str | None = None
    sent: str | None = None


class Tally:
    """Counts messages sent over all connections, and the faults that befell each venue's."""

    def __init__(self, venues: Iterable[str]) -> None:
        self.messages = 0
        self.faults: dict[str, Counter[str]] = {}
        self.strikes: dict[str, deque[Strike]] = {}
        for venue in venues:
            self.faults[venue], self.strikes[venue] = Counter(), deque(maxlen=STRIKES_TOLD)


class Client:
    """Sends texts in the order they were given, at the next `flush`.

    `send` is for data, which faults befall; `reply` for answers, which they spare.
    """

    def __init__(
        self,
        ws: web.WebSocketResponse,
        transport: asyncio.Transport,
        dice: Dice,
        tally: Tally,
        venue: str,
    ) -> None:
        self.sent = 0
        self.mute = False
        self._ws, self._transport, self._tally = ws, transport, tally
        self._struck, self._strikes = tally.faults[venue], tally.strikes[venue]
        self._gave_notice = False
        self._dice = dice if dice else None
        self._pending: list[bytes] = []
        self._held: Strike | None = None
        self._slow: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def gone(self) -> bool:
        return self._closing is not None or self._transport.is_closing()

    def send(self, text: str) -> None:
        self._count()
        if self._dice is None or self.mute or self.gone:
            self._pending.append(wire_format.frame(text.encode()))
        else:
            self._send_faulty(text, self._dice)

    def reply(self, text: str) -> None:
        self._count()
        self._pending.append(wire_format.frame(text.encode()))

    def ping(self, payload: bytes) -> None:
        self._pending.append(wire_format.frame(payload, wire_format.PING))

    def pong(self, payload: bytes) -> None:
        self._pending.append(wire_format.frame(payload, wire_format.PONG))

    def flush(self) -> None:
        """Write what was sent, without waiting for the reader."""
        if not self._pending or self._slow is not None:
            return
        if self.mute or self.gone:
            self._pending.clear()
        elif PAUSE in self._pending:
            self._slow = asyncio.create_task(self._write_slowly(), name="simulate-slice")
        else:
            self._transport.write(b"".join(self._pending))
            self._pending.clear()
            if self._transport.get_write_buffer_size() > BEHIND_BYTES:
                # A closing frame would wait behind all that: cut it, as venues do.
                self.reset()

    async def room(self) -> None:
        """Wait until the reader has taken most of what was written."""
        while not self.gone and (
            self._slow is not None or self._transport.get_write_buffer_size() > ROOM_BYTES
        ):
            await asyncio.sleep(ROOM_POLL_S)

    def watch(self, now_s: float) -> None:
        """Let timed line faults strike."""
        if self._dice is not None and (fault := self._dice.due(LINE, now_s)):
            self.strike(fault)

    def strike(self, fault: str) -> None:
        """Break the connection, unless it is broken in that way already."""
        if self.gone or (self.mute and fault == "half-open"):
            return
        # An end that was announced counts from then on: who left in time was not broken off.
        self._struck[fault] += not (fault == "life" and self._gave_notice)
        match fault:
            case "reset" | "flap":
                self.reset()
            case "half-open":
                self.mute = True
            case _:
                self.close(1001, "end of life")

    def takes_notice(self) -> bool:
        """Tell, once, that the end of a timed life is near."""
        now_s = asyncio.get_running_loop().time()
        if self._dice is None or self._gave_notice or not self._dice.is_near("life", now_s):
            return False
        self._gave_notice = True
        self._struck["life"] += 1
        return True

    def close(self, code: int, reason: str) -> None:
        """Send what is pending, then a closing frame; the handler's loop ends with it."""
        self.flush()
        if not self.gone:
            work = self._say_goodbye(code, reason.encode())
            self._closing = asyncio.create_task(work, name="simulate-close")

    def reset(self) -> None:
        """Cut the connection with a TCP reset."""
        sock: Any = self._transport.get_extra_info("socket")
        if sock is not None and not self._transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    async def finish(self) -> None:
        """Wait for what is under way when the connection ends."""
        tasks = [task for task in (self._slow, self._closing) if task is not None]
        if self._slow is not None:
            self._slow.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _count(self) -> None:
        self.sent += 1
        self._tally.messages += 1

    def _send_faulty(self, text: str, dice: Dice) -> None:
        now_s = asyncio.get_running_loop().time()
        if (line := dice.drawn(LINE)) is not None:
            self.strike(line)
            return
        held, self._held = self._held, None
        names = MESSAGE if _CHECKSUM.search(text) else _WITHOUT_CRC
        # What overtakes a held message is spared: else nothing might have been overtaken.
        fault = dice.strikes(names, now_s) if held is None else None
        payload = text.encode()
        if fault is not None:
            self._struck[fault] += 1
            # JSON cut short is never valid, whatever the venue.
            left = text[: 1 + dice.below(len(text) - 1)] if fault == "corrupt" else None
            strike = Strike(fault, time.time_ns(), text, sent=left)
            if fault == "reorder":
                self._held = strike
            else:
                self._strikes.append(strike)
        match fault:
            case "gap" | "reorder":
                pass
            case "duplicate":
                self._pending += [wire_format.frame(payload), wire_format.frame(payload)]
            case "corrupt" if left:
                self._pending.append(wire_format.frame(left.encode()))
            case "crc":
                self._pending.append(wire_format.frame(_CHECKSUM.sub(_off_by_one, text).encode()))
            case "slice":
                whole = wire_format.frame(payload)
                cut = 1 + dice.below(len(whole) - 1)
                self._pending += [PAUSE, whole[:cut], PAUSE, whole[cut:]]
            case "fragment":
                self._pending += _fragments(payload, dice)
            case _:
                self._pending.append(wire_format.frame(payload))
        if held is not None:
            self._pending.append(wire_format.frame(held.message.encode()))
            self._strikes.append(held._replace(overtaken_by=text))

    async def _say_goodbye(self, code: int, reason: bytes) -> None:
        # A closing frame inside a message's pieces would be taken for a piece.
        if self._slow is not None:
            await self._slow
        await self._ws.close(code=code, message=reason)

    async def _write_slowly(self) -> None:
        while self._pending:
            parts, self._pending = self._pending, []
            for part in parts:
                if self.mute or self._transport.is_closing():
                    break
                if part:
                    self._transport.write(part)
                elif len(self._pending) < SLICE_BACKLOG:
                    await asyncio.sleep(SLICE_PAUSE_S)
        self._slow = None


_WITHOUT_CRC = tuple(name for name in MESSAGE if name != "crc")


def _off_by_one(found: re.Match[str]) -> str:
    return f"{found[1]}{(int(found[2]) + 1) % (1 << 32)}"


def _fragments(payload: bytes, dice: Dice) -> list[bytes]:
    """Split a message into two or three frames, with a ping between the first two."""
    cuts = sorted({1 + dice.below(len(payload) - 1), 1 + dice.below(len(payload) - 1)})
    edges = [0, *cuts, len(payload)]
    last = len(edges) - 2
    frames = [
        wire_format.frame(payload[a:b], wire_format.TEXT if at == 0 else 0, fin=at == last)
        for at, (a, b) in enumerate(pairwise(edges))
    ]
    return [frames[0], wire_format.frame(BETWEEN, wire_format.PING), *frames[1:]]
