"""A client's connection to the simulated exchange, as the tests of its venues use it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
import websocket

from monitor.simulate import Simulator

DEADLINE_S = 10


class Line:
    """A client's connection: requests out, JSON in."""

    def __init__(self, ws: websocket.WebSocket) -> None:
        self.ws = ws

    def ask(self, request: Any) -> None:
        self.ws.send(request if isinstance(request, str) else json.dumps(request))

    def next(self) -> Any:
        # Numbers stay text, as the venue wrote them.
        return json.loads(self.ws.recv(), parse_float=str)

    def until(self, wanted: Any) -> Any:
        """Return the first message that `wanted` says yes to."""
        limit = time.monotonic() + DEADLINE_S
        while time.monotonic() < limit:
            message = self.next()
            if wanted(message):
                return message
        raise TimeoutError(f"expected a message within {DEADLINE_S} s, found none")

    def closing_code(self) -> int:
        while True:
            opcode, data = self.ws.recv_data(control_frame=True)
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return int.from_bytes(data[:2], "big")


@contextmanager
def connected(url: str) -> Iterator[Line]:
    ws = websocket.create_connection(url, timeout=DEADLINE_S)
    try:
        yield Line(ws)
    finally:
        ws.shutdown()


def own_book(simulator: Simulator, venue: str, symbol: str) -> dict[str, Any]:
    """Ask the simulator for its own book of an instrument."""
    query = {"venue": venue, "symbol": symbol}
    response = requests.get(_root(simulator) + "/book", params=query, timeout=DEADLINE_S)
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    return told


def injected(simulator: Simulator, venue: str) -> dict[str, int]:
    """Ask the simulator how many of each fault befell a venue."""
    told: dict[str, int] = requests.get(_root(simulator), timeout=DEADLINE_S).json()["faults"][
        venue
    ]
    return told


def cue(simulator: Simulator, venue: str, name: str) -> int:
    """Have a venue do what it otherwise does of its own accord; return the answer's status."""
    query = {"venue": venue, "cue": name}
    return requests.post(_root(simulator) + "/cue", params=query, timeout=DEADLINE_S).status_code


def _root(simulator: Simulator) -> str:
    return simulator.http_url("").removesuffix("/") + "/_simulate"
