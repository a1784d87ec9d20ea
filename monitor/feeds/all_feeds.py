"""All feeds of a collector: one supervisor per connection, one buffer, one clock."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit, urlunsplit

import pyarrow as pa

from monitor._rust_feed import Feed, Session, venues
from monitor.feeds import api_key as keys
from monitor.feeds import instrument_list
from monitor.feeds.receive_clock import ReceiveClock
from monitor.feeds.rest import Rest
from monitor.feeds.supervisor import Policy, Supervisor
from monitor.rows import Batch, Source
from monitor.settings import Endpoint, VenueSettings

CAPACITY_ROWS = 1_000_000
JOIN_S = 2.0
NOWHERE = Endpoint(None, None)


class Way(NamedTuple):
    """How sources of a venue are followed; sources with equal settings share connections."""

    venue: str
    mode: str
    interval_s: float | None
    connections: int


class Feeds:
    """Start, stop and drain the connections to all sources; any thread may call."""

    def __init__(
        self,
        sources: Sequence[Source],
        endpoints: Mapping[str, Endpoint],
        settings: Mapping[str, VenueSettings],
        capacity_rows: int = CAPACITY_ROWS,
        raw: bool = False,
    ) -> None:
        # One change at a time, which may wait for a hung venue; the second lock guards what is read
        # meanwhile and is never held for long.
        self._changing, self._lock = threading.Lock(), threading.Lock()
        self._sources = list(sources)
        self._endpoints, self._settings = endpoints, settings
        self._raw = raw
        for source in self._sources:
            self._check_raw(source)
        self._feed = Feed(capacity_rows)
        self._clock = ReceiveClock()
        self._conns = itertools.count(1)
        self._rests: dict[str, Rest] = {}
        # REST sessions for checks of sources that may never be followed.
        self._checking: set[Rest] = set()
        self._supervisors: dict[tuple[Way, int], Supervisor] = {}
        # Stopped sources, until they are started again: they may be removed meanwhile.
        self._stopped: dict[tuple[Way, int], Supervisor] = {}
        # Number of further connections needed; written by the connections' threads.
        self._parts: dict[Way, int] = {}
        self._running = self._is_closed = False

    @property
    def running(self) -> bool:
        return self._running

    @property
    def sources(self) -> list[Source]:
        with self._lock:
            return list(self._sources)

    def start(self) -> None:
        """Connect to every venue of the sources."""
        with self._changing, self._lock:
            stopped, self._stopped = self._stopped, {}
            self._running = True
            for supervisor in stopped.values():
                supervisor.go_on()
            self._open_all({source.venue for source in self._sources})

    def stop(self) -> None:
        """Disconnect from every venue; the sources become `stopped`."""
        with self._changing:
            self._running = False
            self._stopped |= self._leave({way.venue for way, _ in self._supervisors})

    def ways(self) -> list[tuple[Source, Way]]:
        """Return the sources, and how each is followed."""
        with self._lock:
            return [(source, self._way(source)) for source in self._sources]

    def has_address(self, venue: str) -> bool:
        return bool(self._address(venue))

    def check(self, source: Source, among: Sequence[Source] = ()) -> str:
        """Check one of the sources to be added against its venue's list; this sends a request.

        Return a note if the list cannot be fetched, or if another source follows the same
        instruments with other settings; ValueError says what the list has instead.
        """
        if not self.has_address(source.venue):
            raise ValueError(f"expected an address of {source.venue} (--endpoint), found none")
        settings = self._settings.get(source.venue, VenueSettings())
        setup, channels = self._setup(source.venue), venues()[source.venue]["channels"]
        with self._lock:
            rest = self._rests.get(source.venue)
            yielding = self._yielding(source, among)
        if rest is not None:
            return instrument_list.check(source, yielding, channels, setup, rest)
        key = keys.find(venues()[source.venue]["key"], settings)
        rest = Rest(f"list-{source.venue}", self._address(source.venue), key)
        with self._lock:
            self._checking.add(rest)
            if self._is_closed:
                rest.stop()
        try:
            return instrument_list.check(source, yielding, channels, setup, rest)
        finally:
            with self._lock:
                self._checking.discard(rest)
            rest.stop()

    def add(self, source: Source) -> None:
        """Follow another source, or one with other settings; reconnect to its venue."""
        self._check_raw(source)
        with self._changing:
            before = self._followed(source)
            if [self._way(one) for one in before] == [self._way(source)]:
                return
            self._follow([one for one in self._sources if one not in before] + [source])
            self._reopen(source.venue)

    def remove(self, source: Source) -> None:
        """Stop following a source; reconnect to its venue for the others."""
        with self._changing:
            before = self._followed(source)
            if not before:
                followed = ", ".join(map(str, self._sources)) or "none"
                raise ValueError(f"expected one of the sources {followed}, found {source}")
            self._follow([one for one in self._sources if one not in before])
            self._reopen(source.venue)

    def drain(self, wait_ms: int, linger_ms: int) -> Batch | None:
        """Wait for rows without the GIL; None if none arrived within `wait_ms`."""
        kinds = self._feed.drain(wait_ms, linger_ms)
        if kinds is None:
            return None
        return Batch({kind: pa.record_batch(rows) for kind, rows in kinds.items()})

    def tick(self, recorder_lag_ms: float) -> None:
        """Every 100 ms: write the clock row, and open further connections that are needed."""
        self._open_parts()
        self._keep_started()
        self._clock.discipline(self._tell_step)
        self._feed.clock(self._clock.now_ns(), self._clock.offset_ns, recorder_lag_ms)

    def _tell_step(self, now_ns: int, step_ns: int, forward_ns: int) -> None:
        """Record a step of the wall clock, before any row with a time after it."""
        detail = f"the wall clock was stepped by {step_ns / 1e6:.0f} ms"
        by_ms = abs(step_ns) // 1_000_000
        self._feed.status(now_ns, "feed", "connected", "clock_jump", detail, by_ms)
        self._feed.step(forward_ns)

    def announce(self) -> None:
        """Write all instrument rows again, as at the start of a segment."""
        with self._lock:
            for supervisor in self._supervisors.values():
                supervisor.announce()

    def status(
        self, scope: str, state: str, kind: str, detail: str | None = None, count: int | None = None
    ) -> None:
        """Write a status row of scope `feed` or `recorder`."""
        self._feed.status(self._clock.now_ns(), scope, state, kind, detail, count)

    def close(self) -> None:
        """Disconnect from every venue and wake the drain; buffered rows can still be drained."""
        with self._lock:
            self._is_closed = True
            for rest in (*self._checking, *self._rests.values()):
                rest.stop()
        self.stop()
        self._feed.close()

    def _follow(self, sources: list[Source]) -> None:
        with self._lock:
            self._sources = sources

    def _followed(self, source: Source) -> list[Source]:
        return [one for one in self._sources if str(one) == str(source)]

    def _way(self, source: Source) -> Way:
        settings = self._settings.get(source.venue, VenueSettings())
        interval_s = source.interval_s or settings.interval_s
        connections = source.connections or settings.connections
        return Way(source.venue, source.mode or settings.mode, interval_s, connections)

    def _yielding(self, source: Source, among: Sequence[Source]) -> instrument_list.Yielding:
        """Return which sources leave instruments to which others once these are followed too."""
        coming = {str(one): one for one in (*among, source)}
        every = [one for one in self._sources if str(one) not in coming] + list(coming.values())
        others = [
            one.symbol
            for one in every
            if one.symbol != source.symbol and source.symbol in self._before(one, every)
        ]
        return instrument_list.Yielding(self._before(source, every), others)

    def _before(self, source: Source, sources: Sequence[Source]) -> list[str]:
        """Return the symbols whose instruments `source` leaves to another session.

        Each instrument has one session. A source that names it has priority over a pattern, and the
        earlier of two such sources over the later one.
        """
        ranked = sorted(sources, key=lambda one: "*" in one.symbol)
        before = ranked[: ranked.index(source)]
        way = self._way(source)
        return [one.symbol for one in before if one.venue == way.venue and self._way(one) != way]

    def _check_raw(self, source: Source) -> None:
        # Payloads of two connections in one recording would look like losses and repeats.
        if self._raw and (found := self._way(source).connections) > 1:
            raise ValueError(f"expected 1 connection to {source} with --raw, found {found}")

    def _address(self, venue: str) -> str:
        return str(self._endpoints.get(venue, NOWHERE).http or venues()[venue]["rest_url"])

    def _setup(self, venue: str) -> dict[str, Any]:
        settings = self._settings.get(venue, VenueSettings())
        pools = [pool.model_dump() for pool in settings.pools]
        return {"rest_path": urlsplit(self._address(venue)).path, "pools": pools}

    def _open_all(self, names: set[str]) -> None:
        for way in dict.fromkeys(map(self._way, self._sources)):
            if way.venue in names:
                self._open(way, 0)

    def _open(self, way: Way, part: int) -> None:
        mine = [source for source in self._sources if self._way(source) == way]
        if not mine or (way, part) in self._supervisors:
            return
        venue = way.venue
        wanted = [
            {
                "symbol": source.symbol,
                "channels": list(source.channels),
                "yields_to": self._before(source, self._sources),
            }
            for source in mine
        ]
        settings = self._settings.get(venue, VenueSettings())
        profile, endpoint = venues()[venue], self._endpoints.get(venue, NOWHERE)
        base, address = endpoint.ws or profile["ws_url"], self._address(venue)
        name = venue if way.mode == settings.mode else f"{venue}-{way.mode}"
        name = name if way.connections == settings.connections else f"{name}-x{way.connections}"
        name = name if part == 0 else f"{name}-{part + 1}"
        options = {
            "name": name,
            "sources": wanted,
            "live": True,
            "raw": self._raw,
            "gap_fill": settings.gap_fill,
            "part": part,
            "twice": way.connections > 1,
            "interval_ms": round((way.interval_s or 0) * 1000),
            "setup": self._setup(venue),
        }
        session = Session(self._feed, venue, json.dumps(options))
        key = keys.find(profile["key"], settings)
        if venue not in self._rests:
            self._rests[venue] = Rest(venue, address, key, profile["rest_headers"])
        supervisor = Supervisor(
            name,
            session,
            self._clock,
            base and profile["ws_url"] and _join(base, profile["ws_path"], key.parameters),
            key,
            self._rests[venue],
            lambda: next(self._conns),
            lambda parts: self._parts.__setitem__(way, parts),
            Policy(way.mode, settings.fallback_after_s, way.connections),
        )
        self._supervisors[way, part] = supervisor
        supervisor.start()

    def _open_parts(self) -> None:
        # No connection is opened while others are closed: the next tick tries again.
        if not self._parts or not self._changing.acquire(blocking=False):
            return
        try:
            with self._lock:
                parts, self._parts = self._parts, {}
                for way, count in parts.items():
                    for part in range(1, count if self._running else 0):
                        self._open(way, part)
        finally:
            self._changing.release()

    def _keep_started(self) -> None:
        if not self._changing.acquire(blocking=False):
            return
        try:
            with self._lock:
                for supervisor in self._supervisors.values():
                    supervisor.keep_started()
        finally:
            self._changing.release()

    def _reopen(self, venue: str) -> None:
        kept = [source.symbol for source in self._sources if source.venue == venue]
        if self._running:
            self._leave({venue}, kept)
            with self._lock:
                self._open_all({venue})
            return
        for (way, _), supervisor in self._stopped.items():
            if way.venue == venue:
                supervisor.remove_all_but(kept)

    def _leave(
        self, names: set[str], kept: list[str] | None = None
    ) -> dict[tuple[Way, int], Supervisor]:
        """Disconnect from the venues: all connections at once, then the REST sessions.

        Together they have `JOIN_S`, however many hang in a name look-up.
        The rows say that symbols in `kept` go on, and that others were removed.
        """
        with self._lock:
            keys = [key for key in self._supervisors if key[0].venue in names]
            leaving = {key: self._supervisors.pop(key) for key in keys}
            rests = [self._rests.pop(venue) for venue in names & self._rests.keys()]
        for supervisor in leaving.values():
            supervisor.stop(kept)
        until_s = time.monotonic() + JOIN_S
        for supervisor in leaving.values():
            supervisor.join(max(0.0, until_s - time.monotonic()))
        for rest in rests:
            rest.stop()
        for rest in rests:
            rest.join(max(0.0, until_s - time.monotonic()))
        return leaving


def _join(base: str, path: str, parameters: Mapping[str, str]) -> str:
    """Put the path of `base`, if any, before the dialect's own path and query."""
    parts, own = urlsplit(base), urlsplit(path)
    joined = parts.path.rstrip("/") + own.path
    query = "&".join(part for part in (own.query, urlencode(parameters)) if part)
    return urlunsplit((parts.scheme, parts.netloc, joined, query, ""))
