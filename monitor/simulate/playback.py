"""Play captured frames: one connection's frames, verbatim, after the first subscription."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from monitor.simulate.market.market import Event, Instrument
from monitor.simulate.venues.coinbase.texts import heartbeat
from monitor.simulate.venues.venue import Answer, answer
from monitor.simulate.wire.client import Client
from monitor.simulate.wire.wire_format import SECOND_NS, go_stamp, stamp

GZIP_MAGIC = b"\x1f\x8b"
# Frames handed to the connection at a time, when there is nothing to wait for.
FRAMES_AT_ONCE = 256
PING_EVERY_NS, HEARTBEAT_NS = 20 * SECOND_NS, SECOND_NS

_VERSION = re.compile(r"/v\d+/")


class Frame(NamedTuple):
    """A captured payload; `at_ns` is on the capture's own clock, 0 if it has none."""

    at_ns: int
    raw: str


class Body(NamedTuple):
    """A captured REST body and what it answered."""

    at_ns: int
    path: str
    query: dict[str, str]
    raw: str


class Capture:
    """What the files hold: the frames of each connection, in time order, and the REST bodies."""

    def __init__(self, files: Iterable[Path]) -> None:
        connections: dict[str, list[Frame]] = {}
        bodies: list[Body] = []
        self.venues: set[str] = set()
        for file in files:
            for at_ns, record in _records(file):
                self.venues.add(str(record.get("venue")))
                kind, raw = record.get("kind", "ws"), record["raw"]
                if kind == "ws":
                    conn = str(record.get("conn"))
                    connections.setdefault(conn, []).append(Frame(at_ns, raw))
                elif kind == "http":
                    url = urlsplit(str(record.get("url") or ""))
                    bodies.append(Body(at_ns, url.path, dict(parse_qsl(url.query)), raw))
        by_time = [sorted(frames, key=lambda frame: frame.at_ns) for frames in connections.values()]
        self.connections = by_time
        self.bodies = sorted(bodies, key=lambda body: body.at_ns)

    def body(self, path: str, query: Mapping[str, str], now_ns: int) -> str | None:
        """Return what answered such a request at `now_ns`, or else first.

        The version in a path does not matter, nor a parameter that either side leaves out.
        """
        wanted = _VERSION.sub("/v/", path)
        found = [
            body
            for body in self.bodies
            if _VERSION.sub("/v/", body.path) == wanted
            and query.get("symbol", "") in ("", body.query.get("symbol", query.get("symbol", "")))
        ]
        exact = [body for body in found if body.query == query] or found
        past = [body for body in exact if body.at_ns <= now_ns]
        chosen = past[-1] if past else exact[0] if exact else None
        return None if chosen is None else chosen.raw


class Playback:
    """A venue that plays a capture: the n-th connection that subscribes gets the file's n-th."""

    def __init__(self, capture: Capture, venue: str, speed: float | None) -> None:
        self.venue, self.speed = venue, speed
        self._capture = capture
        self._next = 0
        # How far the playback has come, on the capture's clock.
        self.position_ns = 0

    def opens(self, path: str) -> bool:
        return True

    def open(self, client: Client, path: str, query: Mapping[str, str], now_ns: int) -> PlaySession:
        session = PlaySession(self, client, now_ns)
        if "streams" in query or path.startswith("/ws/"):
            session.start()
        return session

    def next_frames(self) -> Sequence[Frame]:
        connections = self._capture.connections
        if not connections:
            return []
        self._next += 1
        return connections[(self._next - 1) % len(connections)]

    def wanted(self) -> Iterable[Instrument]:
        return []

    def publish(self, event: Event) -> None:
        """A playback has no market."""

    def tick(self, now_ns: int) -> None:
        """Each connection keeps its own time."""

    def rest(self, path: str, query: Mapping[str, str], now_ns: int) -> Answer:
        raw = self._capture.body(path, query, self.position_ns)
        if raw is None:
            return answer({"error": "NOT_FOUND", "message": f"{path} was not captured"}, 404)
        return Answer(200, raw)

    def fault(self, status: int) -> Answer:
        return answer({"code": 0, "msg": f"status {status}"}, status, {"Retry-After": "1"})


class PlaySession:
    """One connection: silent before its first subscribe, alive after its last frame."""

    def __init__(self, venue: Playback, client: Client, now_ns: int) -> None:
        self.client = client
        self._venue = venue
        self._task: asyncio.Task[None] | None = None
        self._last: Frame | None = None
        self._ended = False
        self._beats = 0
        self._sequence = 0
        self._pinged_ns = self._beat_ns = now_ns

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._play(), name="simulate-playback")

    def receive(self, text: str, now_ns: int) -> None:
        if '"ping"' in text and self._venue.venue == "kraken":
            request = json.loads(text)
            times = {"time_in": stamp(now_ns), "time_out": stamp(now_ns)}
            self.client.reply(json.dumps({**request, "method": "pong", **times}))
        elif '"ping"' in text and self._venue.venue == "kraken-v1":
            self.client.reply(json.dumps({**json.loads(text), "event": "pong"}))
        elif "subscribe" in text.lower():
            self.start()

    def control(self, is_pong: bool, payload: bytes, now_ns: int) -> None:
        """Pings are answered by the server."""

    def tick(self, now_ns: int) -> None:
        if now_ns - self._pinged_ns >= PING_EVERY_NS:
            self._pinged_ns = now_ns
            self.client.ping(str(now_ns // SECOND_NS).encode())
        if self._ended and now_ns - self._beat_ns >= HEARTBEAT_NS:
            self._beat_ns = now_ns
            self._beat(now_ns)

    def closed(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _play(self) -> None:
        venue, client, loop = self._venue, self.client, asyncio.get_running_loop()
        frames = venue.next_frames()
        speed = venue.speed if frames and frames[-1].at_ns > frames[0].at_ns else None
        start_s = loop.time()
        for at, frame in enumerate(frames):
            if speed is not None:
                due_s = start_s + (frame.at_ns - frames[0].at_ns) / SECOND_NS / speed
                if due_s > loop.time():
                    client.flush()
                    await asyncio.sleep(due_s - loop.time())
            client.send(frame.raw)
            venue.position_ns = frame.at_ns
            if at % FRAMES_AT_ONCE == FRAMES_AT_ONCE - 1:
                client.flush()
                await client.room()
            if client.gone:
                return
        client.flush()
        self._sequence = _next_sequence(frames) if venue.venue == "coinbase" else -1
        self._ended = True

    def _beat(self, now_ns: int) -> None:
        """Prove the line alive as the venue does when no data is due."""
        if self._venue.venue == "kraken":
            self.client.send('{"channel":"heartbeat"}')
        elif self._venue.venue == "kraken-v1":
            self.client.send('{"event":"heartbeat"}')
        elif self._sequence >= 0 and self._venue.venue == "coinbase":
            self._beats += 1
            events = heartbeat(now_ns, now_ns % (86_400 * SECOND_NS), self._beats)
            self.client.send(
                f'{{"channel":"heartbeats","timestamp":"{go_stamp(now_ns)}",'
                f'"sequence_num":{self._sequence},"events":{events}}}'
            )
            self._sequence += 1


def _next_sequence(frames: Sequence[Frame]) -> int:
    """Return the sequence number after the last one, -1 if the frames have none."""
    for frame in reversed(frames):
        found = re.search(r'"sequence_num":\s*(\d+)', frame.raw)
        if found:
            return int(found[1]) + 1
    return -1


def _records(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each record of a capture with its time; ValueError says which line is wrong."""
    try:
        data = file.read_bytes()
        text = (gzip.decompress(data) if data.startswith(GZIP_MAGIC) else data).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"expected a readable capture, found {file}: {error}") from error
    last_ns = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict) or not isinstance(record.get("raw"), str):
            found = f"{line[:60]!r} in line {number} of {file}"
            raise ValueError(f'expected a JSON object with a text "raw", found {found}')
        last_ns = _time_ns(record, last_ns)
        yield last_ns, record


def _time_ns(record: Mapping[str, Any], last_ns: int) -> int:
    for name, unit_ns in (("recv_ns", 1), ("recv_ts", SECOND_NS), ("rx_ns", 1)):
        value = record.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return round(value * unit_ns)
    return last_ns
