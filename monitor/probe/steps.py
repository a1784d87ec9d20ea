"""Check one source step by step, from its name to a comparison of stream and REST."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Literal, NamedTuple

import numpy as np

from monitor._rust_feed import venues
from monitor.feeds import Feeds, reachability
from monitor.probe.evidence import DELAYS_KEPT, Quote, Seen
from monitor.rows import Source
from monitor.settings import Endpoint, VenueSettings

Result = Literal["PASS", "FAIL", "SKIP"]

# The time limit of each step; the whole probe has its own.
REACH_S, OPEN_S, ANSWER_S, DATA_S, BOOK_S, DELAY_S, REST_S = 5.0, 15.0, 10.0, 10.0, 10.0, 3.0, 12.0
DRAIN_MS, LINGER_MS = 50, 5
CAPACITY_ROWS = 200_000
# With a larger clock difference, latencies and cross-venue views are worthless.
MOST_DELAY_MS = 1000.0
# REST shows a slightly different time: it may differ from the stream by this or by the spread.
MOST_BPS = 10.0
# The highest age of the data in a REST answer when it arrives.
ANSWER_AGE_NS = 1_000_000_000
# The channels of a source that names none.
CHANNELS = ("quote", "trade", "book")
TRADES = ("trade", "aggTrade")
WHOLE = ("ok", "unverifiable")


class Step(NamedTuple):
    """One step of a probe: its name, its result and its finding."""

    name: str
    result: Result
    found: str


class _FailedError(Exception):
    """A step failed; later steps can still run."""


class _StuckError(Exception):
    """A step failed; later steps cannot run."""


class _Skipped(Exception):  # noqa: N818 -- nothing went wrong
    """The step does not apply."""


def probe(
    source: Source,
    endpoints: Mapping[str, Endpoint],
    settings: Mapping[str, VenueSettings],
    limit_s: float,
) -> Iterator[Step]:
    """Run the steps in order, within `limit_s` in total; yield each with its result."""
    with ExitStack() as stack:
        walk = _Walk(stack, source, endpoints, settings, limit_s)
        stuck_at = None
        for name, step in walk.steps():
            if stuck_at is not None:
                yield Step(name, "SKIP", f"not tried: {stuck_at} failed")
                continue
            try:
                yield Step(name, "PASS", step())
            except _Skipped as reason:
                yield Step(name, "SKIP", str(reason))
            except _FailedError as reason:
                yield Step(name, "FAIL", str(reason))
            except (OSError, _StuckError) as reason:
                stuck_at = name
                yield Step(name, "FAIL", str(reason))


class _Walk:
    """The state that the steps share: the source, the open feeds, their rows and the time left.

    The probe follows the source as a collector does, and judges it by the rows received.
    """

    def __init__(
        self,
        stack: ExitStack,
        source: Source,
        endpoints: Mapping[str, Endpoint],
        settings: Mapping[str, VenueSettings],
        limit_s: float,
    ) -> None:
        profile = venues()[source.venue]
        self._offered = [channel for channel in CHANNELS if channel in profile["channels"]]
        self._source = source._replace(channels=source.channels or tuple(self._offered))
        self._endpoints = endpoints
        self._settings = settings.get(source.venue, VenueSettings())
        endpoint = endpoints.get(source.venue, Endpoint(None, None))
        self._rest_url = endpoint.http or profile["rest_url"]
        # Why the probe uses REST instead of a stream; None with a stream.
        self._polled = None
        if profile["ws_url"] is None:
            self._polled = "the venue has no WebSocket"
        elif self._settings.mode == "rest":
            self._polled = "REST is asked for"
        self._place = reachability.place(
            self._rest_url if self._polled else endpoint.ws or profile["ws_url"]
        )
        self._proxy = reachability.proxy(self._place)
        self._addresses: list[reachability.Address] = []
        self._stack = stack
        self._until_s = time.monotonic() + limit_s
        self._seen = Seen(self._source.channels, is_polled=self._polled is not None)
        self._followed: list[tuple[Feeds, Seen]] = []
        self._began_ns = 0

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        return [
            ("DNS", self._dns),
            ("TCP", self._tcp),
            ("TLS", self._tls),
            ("WebSocket", self._web_socket),
            ("subscribe", self._subscribe),
            ("first data", self._first_data),
            ("book", self._book),
            ("clock offset", self._clock_offset),
            ("stream against REST", self._stream_against_rest),
        ]

    def _dns(self) -> str:
        self._skip_behind_proxy()
        began_s = time.monotonic()
        self._addresses = reachability.resolve(self._place, self._left_s(REACH_S))
        told = ", ".join(dict.fromkeys(map(str, self._addresses)))
        return f"{self._place.host} is {told} ({_since(began_s)})"

    def _tcp(self) -> str:
        self._skip_behind_proxy()
        began_s = time.monotonic()
        sock = reachability.connect(self._place, self._addresses, self._left_s(REACH_S))
        self._sock = self._stack.enter_context(sock)
        return f"{sock.getpeername()[0]}, port {self._place.port} ({_since(began_s)})"

    def _tls(self) -> str:
        self._skip_behind_proxy()
        with self._sock:
            if not self._place.is_secure:
                raise _Skipped("the address asks for none")
            began_s = time.monotonic()
            told = reachability.secure(self._place, self._sock, self._left_s(REACH_S))
            return f"{told} ({_since(began_s)})"

    def _web_socket(self) -> str:
        self._began_ns, seen = time.time_ns(), self._seen
        self._follow(self._source, "rest" if self._polled else "ws", seen)
        self._skip_if_polled()
        took_s = self._wait(lambda: seen.opened is not None, OPEN_S)
        if seen.opened is None:
            none = f"expected an open WebSocket within {took_s:.1f} s, found none"
            raise _StuckError((seen.lost or none) + self._trouble())
        at_ns, address = seen.opened
        told = f"{address} open after {self._after(at_ns)}{self._trouble()}"
        self._began_ns = at_ns
        return told

    def _subscribe(self) -> str:
        self._skip_if_polled()
        seen = self._seen
        took_s = self._wait(lambda: not seen.unanswered, ANSWER_S)
        told = [f"{channel} after {self._after(at_ns)}" for channel, at_ns in seen.acked.items()]
        told += [f"{channel} by its data" for channel in seen.first if channel not in seen.acked]
        wrong = [
            f"{_join(c for c in seen.refused if seen.refused[c] == why)} refused: {why}"
            for why in dict.fromkeys(seen.refused.values())
        ]
        if seen.unanswered:
            self._stop_if_lost()
            asked = f"an answer for {_join(seen.unanswered)}"
            wrong.append(f"expected {asked} within {took_s:.1f} s, found none")
        if wrong:
            why = "; ".join([f"{self._source.symbol} {wrong[0]}", *wrong[1:], *told])
            raise (_FailedError if told else _StuckError)(why)
        return ", ".join(told)

    def _first_data(self) -> str:
        seen = self._seen
        due = [channel for channel in self._source.channels if channel not in seen.refused]
        took_s = self._wait(lambda: seen.first.keys() >= set(due), DATA_S)
        told = [f"{channel} after {self._after(at_ns)}" for channel, at_ns in seen.first.items()]
        missing = [channel for channel in due if channel not in seen.first]
        # A quiet market has no trades: their absence alone proves nothing.
        if missing and not (told and set(missing) <= set(TRADES)):
            self._stop_if_lost()
            asked = f"data of {_join(missing)} for {self._source.symbol} within {took_s:.1f} s"
            why = "; ".join([f"expected {asked}, found none{self._trouble()}", *told])
            raise (_FailedError if told else _StuckError)(why)
        return ", ".join(told + [f"no {channel} within {took_s:.1f} s" for channel in missing])

    def _book(self) -> str:
        seen = self._seen
        if "book" not in self._source.channels:
            raise _Skipped("the source asks for no book")
        took_s = self._wait(lambda: bool(seen.spoiled) or seen.health in WHOLE, BOOK_S)
        if seen.spoiled:
            found = _join(f"{count} {kind}" for kind, count in seen.spoiled.items())
            raise _FailedError(f"expected a book without a fault, found {found}")
        if seen.health not in WHOLE:
            self._stop_if_lost()
            found = f"found it {seen.health or 'absent'}{self._trouble()}"
            raise _FailedError(f"expected a whole book within {took_s:.1f} s, {found}")
        return f"{seen.health}, {seen.book_rows:,} rows so far"

    def _clock_offset(self) -> str:
        seen = self._seen
        self._wait(lambda: len(seen.delays_ms) >= DELAYS_KEPT, DELAY_S)
        if not seen.delays_ms:
            raise _Skipped("no row of a stream carries a time of the venue")
        low, median, high = np.percentile(seen.delays_ms, [10, 50, 90])
        told = (
            f"{median:.1f} ms from the venue's time to ours "
            f"(median of {len(seen.delays_ms)}; 10 % to 90 %: {low:.1f} to {high:.1f} ms)"
        )
        if abs(median) > MOST_DELAY_MS:
            raise _FailedError(f"expected at most {MOST_DELAY_MS:.0f} ms, found {told}")
        return told

    def _stream_against_rest(self) -> str:
        if self._polled:
            raise _Skipped(f"no stream to compare with: {self._polled}")
        if "quote" not in self._offered or not {"quote", "book"} & set(self._source.channels):
            raise _Skipped("no quotes to compare")
        polled = Seen(["quote"], is_polled=True)
        self._follow(self._source._replace(channels=("quote",)), "rest", polled)
        took_s = self._wait(lambda: polled.quote is not None, REST_S)
        if polled.quote is None:
            cause = reachability.trouble(self._rest_url, self._left_s(REACH_S))
            why = "; ".join(filter(None, [polled.trouble, cause]))
            none = f"expected a quote by REST within {took_s:.1f} s, found none"
            raise _FailedError(f"{none}: {why}" if why else none)
        return _compared(self._seen, polled.quote)

    def _follow(self, source: Source, mode: Literal["ws", "rest"], seen: Seen) -> None:
        settings = {source.venue: self._settings.model_copy(update={"mode": mode})}
        feeds = Feeds([source], self._endpoints, settings, CAPACITY_ROWS)
        self._stack.callback(feeds.close)
        self._followed.append((feeds, seen))
        feeds.start()

    def _wait(self, done: Callable[[], bool], limit_s: float) -> float:
        """Receive rows until `done`, a lost connection or the limit; return the seconds waited."""
        began_s = time.monotonic()
        until_s = began_s + self._left_s(limit_s)
        while not done() and self._seen.lost is None and time.monotonic() < until_s:
            for feeds, seen in self._followed:
                batch = feeds.drain(DRAIN_MS, LINGER_MS)
                if batch is not None:
                    seen.take(batch)
        return time.monotonic() - began_s

    def _left_s(self, limit_s: float) -> float:
        return max(reachability.LEAST_S, min(limit_s, self._until_s - time.monotonic()))

    def _after(self, at_ns: int) -> str:
        return f"{(at_ns - self._began_ns) / 1e6:.0f} ms"

    def _trouble(self) -> str:
        return f"; by REST: {self._seen.trouble}" if self._seen.trouble else ""

    def _stop_if_lost(self) -> None:
        if self._seen.lost is not None:
            raise _StuckError(f"expected the connection to last, found: {self._seen.lost}")

    def _skip_if_polled(self) -> None:
        if self._polled:
            raise _Skipped(self._polled)

    def _skip_behind_proxy(self) -> None:
        if self._proxy:
            raise _Skipped(f"left to the proxy {self._proxy}")


def _compared(stream: Seen, rest: Quote) -> str:
    """Compare a REST quote with the nearest stream quote of the same time."""
    stood = stream.around(rest.ts_recv - ANSWER_AGE_NS, rest.ts_recv)
    if not stood:
        raise _FailedError("expected a quote of the stream that stands, found none")
    nearest = min(stood, key=lambda quote: max(map(abs, _apart_bps(quote, rest))))
    bid_bps, ask_bps = _apart_bps(nearest, rest)
    spread_bps = (nearest.ask - nearest.bid) / nearest.bid * 1e4
    most_bps = max(MOST_BPS, spread_bps)
    told = (
        f"stream {nearest.bid:.10g}/{nearest.ask:.10g}, REST {rest.bid:.10g}/{rest.ask:.10g}: "
        f"bid {bid_bps:+.2f} bps, ask {ask_bps:+.2f} bps"
    )
    if max(abs(bid_bps), abs(ask_bps)) > most_bps:
        raise _FailedError(f"expected at most {most_bps:.1f} bps between them, found {told}")
    return told


def _apart_bps(stream: Quote, rest: Quote) -> tuple[float, float]:
    return (stream.bid / rest.bid - 1) * 1e4, (stream.ask / rest.ask - 1) * 1e4


def _join(words: Iterable[str]) -> str:
    return " and ".join(words)


def _since(began_s: float) -> str:
    return f"{(time.monotonic() - began_s) * 1000:.0f} ms"
