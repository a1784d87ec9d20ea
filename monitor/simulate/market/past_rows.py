"""Hours of the simulated market in seconds: venues and sessions run on simulated time.

No socket and no clock: a step of the market moves the time by what the rate allows, so that hours
can be made in advance. What comes is what a collector would have received, in the same order.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from monitor._rust_feed import Feed, Session, venues
from monitor.rows import Source
from monitor.simulate.exchange import STEPS_PER_MESSAGE, stream_venue
from monitor.simulate.market.listings import listings
from monitor.simulate.market.market import Market
from monitor.simulate.venues.binance.rest import UNIT_HEADER
from monitor.simulate.wire import wire_format
from monitor.simulate.wire.client import Client
from monitor.simulate.wire.wire_format import SECOND_NS

TICK_NS = SECOND_NS // 10
# From a venue to us, without and with the delay that differs from message to message.
WAY_NS = (2_000_000, 6_000_000)
# Every answer to a request may lead to further ones, but not to so many.
ANSWERS = 1_000


class Said(NamedTuple):
    """A frame of a venue (`ws`), an answer by REST (`http`), or what was sent to it (`sent`)."""

    ts_recv: int
    venue: str
    kind: str
    raw: str
    url: str = ""


def write(file: Path, venue: str, past_s: float, *, rate: float, seed: int, now_ns: int) -> int:
    """Write a capture of all instruments of a venue up to `now_ns`; return how many lines it has.

    ValueError for a venue without a stream.
    """
    sources = [Source(venue, f"{one.base}-{one.quote_asset}") for one in listings(venue)]
    if not sources:
        raise ValueError(f"expected a venue that speaks WebSocket, found {venue!r}")
    start_ns = now_ns - int(past_s * SECOND_NS)
    # Nobody asks for the rows: the frames alone are wanted.
    feed = Feed(0)
    talk = Talk(sources, feed, rate=rate, seed=seed, start_ns=start_ns)
    opened = gzip.open if file.suffix == ".gz" else open
    lines = 0
    with opened(file, "wt", encoding="utf-8") as out:
        for said in talk.until(now_ns):
            line = {"recv_ns": said.ts_recv, "kind": said.kind, "conn": venue, "venue": venue}
            line |= {"url": said.url} if said.url else {}
            out.write(json.dumps({**line, "raw": said.raw}, separators=(",", ":")) + "\n")
            lines += 1
    return lines


class _Kept(Client):
    """A connection whose frames are kept until they are handed over."""

    def __init__(self) -> None:
        self.sent, self.mute = 0, False
        self.frames: list[bytes] = []
        self.texts: list[str] = []

    @property
    def gone(self) -> bool:
        return False

    def send(self, text: str) -> None:
        self.sent += 1
        self.texts.append(text)
        self.frames.append(wire_format.frame(text.encode()))

    reply = send

    def ping(self, payload: bytes) -> None:
        self.frames.append(wire_format.frame(payload, wire_format.PING))

    def pong(self, payload: bytes) -> None:
        self.frames.append(wire_format.frame(payload, wire_format.PONG))

    def flush(self) -> None:
        """What is sent is handed over by the talk."""

    def takes_notice(self) -> bool:
        return False

    def close(self, code: int, reason: str) -> None:
        raise RuntimeError(f"expected a connection that stands, found it closed: {code} {reason}")


class Talk:
    """The simulated venues of some sources, each with a session of ours that fills `feed`."""

    def __init__(
        self, sources: Sequence[Source], feed: Feed, *, rate: float, seed: int, start_ns: int
    ) -> None:
        """Begin at `start_ns`; `rate` is messages per second in all."""
        names = list(dict.fromkeys(source.venue for source in sources))
        self._market = Market(names, seed, start_ns)
        self._gap_ns = SECOND_NS / rate
        self._now_ns = float(start_ns)
        self._tick_ns = start_ns
        self._way = random.Random(f"{seed}/way")
        self._lines = [
            _Line(name, [s for s in sources if s.venue == name], feed, self._market, seed)
            for name in names
        ]
        self._pool: list[Any] = []
        self._is_open = False

    def until(self, until_ns: int) -> Iterator[Said]:
        """Let the market move until a moment; yield what was said."""
        if not self._is_open:
            self._is_open = True
            for line in self._lines:
                yield from line.open(int(self._now_ns))
        while self._now_ns < until_ns:
            now_ns = int(self._now_ns)
            before = sum(line.client.sent for line in self._lines)
            if now_ns >= self._tick_ns:
                self._tick_ns = now_ns + TICK_NS
                for line in self._lines:
                    yield from line.tick(now_ns)
                wanted = [item for line in self._lines for item in line.venue.wanted()]
                self._pool = self._market.pool(wanted)
            if self._pool:
                event = self._market.draw(self._pool).step(now_ns)
                for line in self._lines:
                    if line.name == event.instrument.listing.venue:
                        line.venue.publish(event)
            came_ns = now_ns + self._way.randrange(*WAY_NS)
            for line in self._lines:
                yield from line.hand_over(came_ns)
            sent = sum(line.client.sent for line in self._lines) - before
            self._now_ns += self._gap_ns * max(sent, 1 / STEPS_PER_MESSAGE)

    def skip(self, until_ns: int) -> None:
        """Let time pass in which nothing was said."""
        self._now_ns = max(self._now_ns, until_ns)

    def close(self, now_ns: int, why: str) -> None:
        """End all connections; the next `until` opens new ones."""
        for line in self._lines:
            line.close(now_ns, "stopped", why)
        self._is_open = False


class _Line:
    """One venue's connection: the venue at its one end, a session of ours at the other."""

    def __init__(
        self, name: str, sources: Sequence[Source], feed: Feed, market: Market, seed: int
    ) -> None:
        self.name, self.venue = name, stream_venue(name, market.of(name), seed)
        self.client = _Kept()
        options = {
            "name": name,
            "sources": [{"symbol": s.symbol, "channels": list(s.channels)} for s in sources],
            "live": True,
            "raw": False,
            "gap_fill": False,
            "part": 0,
            "twice": False,
            "interval_ms": 0,
            "setup": {"rest_path": "", "pools": []},
        }
        self._session = Session(feed, name, json.dumps(options))
        self._profile: Mapping[str, Any] = venues()[name]
        self._peer: Any = None
        self._conn, self._last_ns = 0, 0

    def open(self, now_ns: int) -> Iterator[Said]:
        self._conn += 1
        yield from self._do(self._session.prepare(), now_ns)
        parts = urlsplit(str(self._profile["ws_path"]))
        self._peer = self.venue.open(self.client, parts.path, dict(parse_qsl(parts.query)), now_ns)
        address = f"simulated://{self.name}{parts.path}"
        yield from self._do(self._session.opened(self._conn, self._after(now_ns), address), now_ns)
        yield from self.hand_over(now_ns)

    def tick(self, now_ns: int) -> Iterator[Said]:
        self.venue.tick(now_ns)
        self._peer.tick(now_ns)
        yield from self.hand_over(now_ns + WAY_NS[0])
        yield from self._do(self._session.tick(self._after(now_ns)), now_ns)

    def hand_over(self, now_ns: int) -> Iterator[Said]:
        """Have our session read what the venue sent, and the venue what that leads to."""
        for _ in range(ANSWERS):
            frames, texts = self.client.frames, self.client.texts
            if not frames:
                return
            self.client.frames, self.client.texts = [], []
            came_ns = self._after(now_ns)
            for text in texts:
                yield Said(came_ns, self.name, "ws", text)
            yield from self._do(self._session.receive(b"".join(frames), came_ns), now_ns)
        raise RuntimeError(f"expected {self.name} to come to an end, found {ANSWERS} answers")

    def close(self, now_ns: int, kind: str, why: str) -> None:
        self._session.closed(self._conn, self._after(now_ns), kind, why)
        self._peer.closed()
        self.client.frames, self.client.texts = [], []

    def _after(self, now_ns: int) -> int:
        """Return a time of receipt that is not before the last one."""
        self._last_ns = max(self._last_ns, now_ns)
        return self._last_ns

    def _do(self, actions: Sequence[tuple[str, Any]], now_ns: int) -> Iterator[Said]:
        for act, argument in actions:
            if act == "fetch":
                path, _ = argument
                yield from self._fetch(str(path), now_ns)
            elif act == "send":
                yield Said(self._last_ns, self.name, "sent", str(argument))
                self._peer.receive(str(argument), now_ns)
            elif act == "ping":
                self.client.pong(b"")
                self._peer.control(False, b"", now_ns)
            elif act == "pong":
                self._peer.control(True, bytes(argument), now_ns)
            elif act in ("reconnect", "close"):
                why = str(argument[1] if act == "close" else argument)
                self.close(now_ns, "disconnected", why)
                yield from self.open(now_ns)

    def _fetch(self, path: str, now_ns: int) -> Iterator[Said]:
        parts = urlsplit(path)
        query = dict(parse_qsl(parts.query))
        if unit := dict(self._profile["rest_headers"]).get(UNIT_HEADER):
            query["timeUnit"] = unit
        answer = self.venue.rest(parts.path, query, now_ns)
        came_ns = self._after(now_ns)
        yield Said(came_ns, self.name, "http", answer.body, path)
        self._session.fetched(self._conn, path, answer.body, came_ns, 0)
