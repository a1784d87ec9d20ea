"""What the server asks of each venue of the simulated exchange."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from monitor.simulate.market.market import Event, Instrument
from monitor.simulate.wire.client import Client


class Answer(NamedTuple):
    """The answer to a REST request, and how long it takes to come."""

    status: int
    body: str
    headers: Mapping[str, str] = {}
    after_s: float = 0.0


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(value, separators=(",", ":")), headers or {})


class Session(Protocol):
    """One connection as its venue sees it."""

    client: Client

    def receive(self, text: str, now_ns: int) -> None:
        """Answer a request."""

    def control(self, is_pong: bool, payload: bytes, now_ns: int) -> None:
        """Take note of a ping (which the server has answered) or of a pong."""

    def tick(self, now_ns: int) -> None:
        """Do what is due: heartbeats, pings, closing."""

    def closed(self) -> None:
        """Forget the connection's subscriptions."""


class Venue(Protocol):
    """One venue's protocol over its instruments; times are ns since 1970."""

    def opens(self, path: str) -> bool:
        """Tell whether a WebSocket may be opened at `path`."""

    def open(self, client: Client, path: str, query: Mapping[str, str], now_ns: int) -> Session:
        """Begin a connection."""

    def wanted(self) -> Iterable[Instrument]:
        """Return the instruments that somebody subscribed to."""

    def publish(self, event: Event) -> None:
        """Send what an event means to whoever subscribed to it."""

    def tick(self, now_ns: int) -> None:
        """Send what is due by time."""

    def rest(self, path: str, query: Mapping[str, str], now_ns: int) -> Answer:
        """Answer a REST request."""

    def fault(self, status: int) -> Answer:
        """Return what the venue says with a status such as 429."""


@runtime_checkable
class Guarded(Protocol):
    """A venue that wants a key for everything, an opening WebSocket too."""

    def refusal(self, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer | None:
        """Return what a request without a good key is answered with."""


@runtime_checkable
class Posting(Protocol):
    """A venue whose requests are bodies."""

    def post(self, path: str, body: str, now_ns: int) -> Answer:
        """Answer a POST request."""


@runtime_checkable
class Cued(Protocol):
    """A venue that does some things of its own accord, here on cue."""

    cues: Sequence[str]

    def cue(self, name: str, clients: Sequence[Client]) -> None:
        """Do what a cue says, to those who are connected."""


class Polled:
    """A venue without WebSocket: nothing is pushed."""

    def opens(self, path: str) -> bool:
        return False

    def open(self, client: Client, path: str, query: Mapping[str, str], now_ns: int) -> Session:
        raise TypeError(f"expected requests over HTTP, found a WebSocket at {path}")

    def wanted(self) -> Iterable[Instrument]:
        return ()

    def publish(self, event: Event) -> None:
        """Nobody listens."""


def levels(pairs: Sequence[tuple[str, str]]) -> str:
    """Write levels as JSON pairs of strings."""
    return "[" + ",".join(f'["{price}","{size}"]' for price, size in pairs) + "]"
