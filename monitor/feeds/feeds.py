"""All feeds of a collector: one supervisor per venue, one buffer, one clock."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode, urlsplit, urlunsplit

import pyarrow as pa

from monitor._rust_feed import Feed, Session, venues
from monitor.batches import Batch
from monitor.config import Endpoint, VenueSettings
from monitor.feeds import key as keys
from monitor.feeds.clock import ReceiveClock
from monitor.feeds.rest import Rest
from monitor.feeds.supervisor import Policy, Supervisor
from monitor.sources import Source

CAPACITY_ROWS = 1_000_000
JOIN_S = 2.0


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
        self._lock = threading.Lock()
        self._sources = list(sources)
        self._endpoints, self._settings = endpoints, settings
        self._raw = raw
        self._feed = Feed(capacity_rows)
        self._clock = ReceiveClock()
        self._conns = itertools.count(1)
        self._rests: dict[str, Rest] = {}
        self._supervisors: dict[tuple[str, int], Supervisor] = {}
        # How many connections each venue turned out to want; written by the connections' threads.
        self._parts: dict[str, int] = {}
        self._running = False

    @property
    def running(self) -> bool:
        return self._running

    @property
    def sources(self) -> list[Source]:
        with self._lock:
            return list(self._sources)

    def start(self) -> None:
        """Connect to every venue of the sources."""
        with self._lock:
            self._running = True
            for venue in dict.fromkeys(source.venue for source in self._sources):
                self._open(venue, 0)

    def stop(self) -> None:
        """Leave every venue; the sources become `stopped`."""
        with self._lock:
            self._running = False
            self._leave({venue for venue, _ in self._supervisors})

    def add(self, source: Source) -> None:
        """Follow one more source; its venue is connected to anew."""
        with self._lock:
            if source not in self._sources:
                self._sources.append(source)
                self._reopen(source.venue)

    def remove(self, source: Source) -> None:
        """Follow a source no longer; what is left of its venue is connected to anew."""
        with self._lock:
            if source in self._sources:
                self._sources.remove(source)
                self._reopen(source.venue)

    def drain(self, wait_ms: int, linger_ms: int) -> Batch | None:
        """Wait for rows without the GIL; None if none came within `wait_ms`."""
        kinds = self._feed.drain(wait_ms, linger_ms)
        if kinds is None:
            return None
        return Batch({kind: pa.record_batch(rows) for kind, rows in kinds.items()})

    def tick(self, recorder_lag_ms: float) -> None:
        """Write the clock row, and open connections that turned out to be wanted: every 100 ms."""
        self._open_parts()
        step_ns = self._clock.discipline()
        now_ns = self._clock.now_ns()
        if step_ns:
            detail = f"the wall clock was stepped by {step_ns / 1e6:.0f} ms"
            self._feed.status(now_ns, "feed", "connected", "clock_jump", detail)
        self._feed.clock(now_ns, self._clock.offset_ns, recorder_lag_ms)

    def announce(self) -> None:
        """Write all instrument rows anew, as at the start of a segment."""
        with self._lock:
            for supervisor in self._supervisors.values():
                supervisor.announce()

    def status(
        self, scope: str, state: str, kind: str, detail: str | None = None, count: int | None = None
    ) -> None:
        """Write a status row of scope `feed` or `recorder`."""
        self._feed.status(self._clock.now_ns(), scope, state, kind, detail, count)

    def close(self) -> None:
        """Leave every venue and wake whoever drains; what is buffered can still be drained."""
        self.stop()
        self._feed.close()

    def _open(self, venue: str, part: int) -> None:
        mine = [source for source in self._sources if source.venue == venue]
        if not mine or (venue, part) in self._supervisors:
            return
        wanted = [{"symbol": source.symbol, "channels": list(source.channels)} for source in mine]
        settings = self._settings.get(venue, VenueSettings())
        interval_ms = round((settings.interval_s or 0) * 1000)
        profile, endpoint = venues()[venue], self._endpoints.get(venue, Endpoint(None, None))
        base, address = endpoint.ws or profile["ws_url"], endpoint.http or profile["rest_url"]
        pools = [pool.model_dump() for pool in settings.pools]
        options = {
            "sources": wanted,
            "live": True,
            "raw": self._raw,
            "part": part,
            "interval_ms": interval_ms,
            "setup": {"rest_path": urlsplit(address).path, "pools": pools},
        }
        session = Session(self._feed, venue, json.dumps(options))
        key = keys.find(profile["key"], settings)
        if venue not in self._rests:
            self._rests[venue] = Rest(venue, address, key)
        supervisor = Supervisor(
            venue if part == 0 else f"{venue}-{part + 1}",
            session,
            self._clock,
            base and profile["ws_url"] and _join(base, profile["ws_path"], key.parameters),
            key,
            self._rests[venue],
            lambda: next(self._conns),
            lambda parts: self._parts.__setitem__(venue, parts),
            Policy(settings.mode, settings.fallback_after_s),
        )
        self._supervisors[venue, part] = supervisor
        supervisor.start()

    def _open_parts(self) -> None:
        if not self._parts:
            return
        with self._lock:
            parts, self._parts = self._parts, {}
            for venue, count in parts.items():
                for part in range(1, count if self._running else 0):
                    self._open(venue, part)

    def _reopen(self, venue: str) -> None:
        if self._running:
            self._leave({venue})
            self._open(venue, 0)

    def _leave(self, names: set[str]) -> None:
        """Leave the venues, all their connections together, and their REST sessions last."""
        keys = [key for key in self._supervisors if key[0] in names]
        leaving = [self._supervisors.pop(key) for key in keys]
        for supervisor in leaving:
            supervisor.stop()
        for supervisor in leaving:
            supervisor.join(JOIN_S)
        for venue in names & self._rests.keys():
            self._rests.pop(venue).close(JOIN_S)


def _join(base: str, path: str, parameters: Mapping[str, str]) -> str:
    """Put the path of `base`, if any, before the dialect's own path and query."""
    parts, own = urlsplit(base), urlsplit(path)
    joined = parts.path.rstrip("/") + own.path
    query = "&".join(part for part in (own.query, urlencode(parameters)) if part)
    return urlunsplit((parts.scheme, parts.netloc, joined, query, ""))
