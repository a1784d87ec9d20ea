"""Captured frames for the simulated exchange: one connection's frames go out as they came in."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from monitor.simulate.client import Client


class Sent(NamedTuple):
    """A frame of a capture and when it came, in ns on the capture's own clock."""

    at_ns: int
    raw: str


class Capture:
    """The frames of a capture by connection, and its REST bodies by path."""

    def __init__(self, files: Sequence[Path]) -> None:
        frames: dict[str, list[Sent]] = {}
        self.bodies: dict[str, str] = {}
        for file in files:
            opened = gzip.open if file.suffix == ".gz" else open
            last_ns = 0
            with opened(file, "rt", encoding="utf-8") as lines:
                for line in lines:
                    record = json.loads(line)
                    last_ns = _time_ns(record, last_ns)
                    kind = record.get("kind", "ws")
                    if kind == "ws":
                        frames.setdefault(str(record.get("conn")), []).append(
                            Sent(last_ns, record["raw"])
                        )
                    elif kind == "http":
                        path = urlsplit(record.get("url") or "").path
                        self.bodies.setdefault(path, record["raw"])
        self._connections = [sorted(sent, key=lambda s: s.at_ns) for sent in frames.values()]
        self._next = 0

    async def play(self, client: Client, speed: float | None) -> None:
        """Send the next connection's frames, verbatim, `speed` times as fast as they came."""
        if not self._connections:
            return
        frames = self._connections[self._next % len(self._connections)]
        self._next += 1
        loop = asyncio.get_running_loop()
        began_s, began_ns = loop.time(), frames[0].at_ns
        for sent in frames:
            if speed is not None:
                due_s = began_s + (sent.at_ns - began_ns) / 1e9 / speed
                if due_s > loop.time():
                    await asyncio.sleep(due_s - loop.time())
            client.put(sent.raw)
            await client.drained()


def _time_ns(record: dict[str, object], last_ns: int) -> int:
    for name, unit in (("recv_ns", 1), ("recv_ts", 1_000_000_000), ("rx_ns", 1)):
        value = record.get(name)
        if isinstance(value, int | float):
            return round(value * unit)
    return last_ns
