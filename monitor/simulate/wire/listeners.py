"""Who listens to what, and how often each of them asks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

from monitor.simulate.wire.client import Client
from monitor.simulate.wire.wire_format import SECOND_NS

K = TypeVar("K", bound=Hashable)


class Listeners(Generic[K]):
    """Connections by what they listen to; a text is written once for all of them."""

    def __init__(self) -> None:
        self._by_key: dict[K, dict[Client, None]] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._by_key

    def __iter__(self) -> Iterator[K]:
        return iter(self._by_key)

    def add(self, key: K, client: Client) -> None:
        self._by_key.setdefault(key, {})[client] = None

    def drop(self, key: K, client: Client) -> None:
        listeners = self._by_key.get(key, {})
        listeners.pop(client, None)
        if not listeners:
            self._by_key.pop(key, None)

    def send(self, key: K, text: Callable[[], str]) -> None:
        listeners = self._by_key.get(key)
        if listeners:
            said = text()
            for client in listeners:
                client.send(said)


class Pace:
    """Tells when more is asked within a second than a venue allows."""

    def __init__(self, most_per_s: int) -> None:
        self._most_per_s = most_per_s
        self._asked_ns: deque[int] = deque()

    def exceeded(self, now_ns: int) -> bool:
        """Count a request; return whether it is one too many."""
        while self._asked_ns and now_ns - self._asked_ns[0] >= SECOND_NS:
            self._asked_ns.popleft()
        self._asked_ns.append(now_ns)
        return len(self._asked_ns) > self._most_per_s
