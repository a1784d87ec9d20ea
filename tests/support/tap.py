"""A TCP proxy before the simulated exchange: it sees what passes, and can refuse or cut it."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple

CHUNK_BYTES = 1 << 16
LISTEN_S, JOIN_S = 0.1, 5.0
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


class Asked(NamedTuple):
    """The beginning of what a client sent, and when, in seconds of the monotonic clock."""

    at_s: float
    head: bytes

    @property
    def is_opening(self) -> bool:
        """Whether a WebSocket was asked for."""
        return b"upgrade: websocket" in self.head.lower()


class Tap:
    """Pass connections on to `port`, for the length of a `with` block."""

    def __init__(self, port: int) -> None:
        self.asked: list[Asked] = []
        self._upstream = port
        self._refusing = threading.Event()
        self._forbidden: tuple[bytes, ...] = ()
        self._closing = threading.Event()
        self._lines: list[tuple[socket.socket, socket.socket]] = []
        self._streams: list[tuple[socket.socket, socket.socket]] = []
        self._answers: dict[tuple[socket.socket, socket.socket], bytearray] = {}
        self._flowing = threading.Event()
        self._flowing.set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(LISTEN_S)
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, name="tap", daemon=True)]

    def __enter__(self) -> Tap:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._flowing.set()
        self._threads[0].join(JOIN_S)
        with self._lock:
            _cut(self._lines)
        for thread in self._threads[1:]:
            thread.join(JOIN_S)
        for pair in self._lines:
            for line in pair:
                line.close()
        self._listener.close()

    def refuse(self) -> None:
        """Cut all WebSockets, and each new one at its opening; other requests go through."""
        self._refusing.set()
        with self._lock:
            _cut(self._streams)

    def admit(self) -> None:
        """Let WebSockets through again."""
        self._refusing.clear()

    def cut(self, at: int) -> None:
        """End the WebSocket that was opened as number `at`, without a closing frame."""
        with self._lock:
            _cut([self._streams[at]])

    def hold(self) -> None:
        """Pass on nothing that the exchange sends from now on."""
        self._flowing.clear()

    def flow(self) -> None:
        """Pass on again what the exchange sends, and what was held."""
        self._flowing.set()

    def received(self) -> list[bytes]:
        """Return what was passed on to the client by each WebSocket, in the order of opening."""
        with self._lock:
            return [bytes(self._answers[pair]) for pair in self._streams]

    def forbid(self, *parts: bytes) -> None:
        """Answer requests whose address has one of these parts with HTTP 403."""
        self._forbidden = parts

    def _accept(self) -> None:
        while not self._closing.is_set():
            with suppress(TimeoutError):
                client, _ = self._listener.accept()
                pair = (client, socket.create_connection(("127.0.0.1", self._upstream)))
                client.settimeout(None)
                with self._lock:
                    self._lines.append(pair)
                for pump in (self._ask, self._answer):
                    thread = threading.Thread(target=pump, args=(pair,), name="tap", daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _ask(self, pair: tuple[socket.socket, socket.socket]) -> None:
        client, upstream = pair
        is_stream = False
        with suppress(OSError):
            while data := client.recv(CHUNK_BYTES):
                if not is_stream:
                    asked = Asked(time.monotonic(), data[:1024])
                    self.asked.append(asked)
                    is_stream = asked.is_opening
                    with self._lock:
                        self._streams += [pair] if is_stream else []
                if is_stream and self._refusing.is_set():
                    break
                if not is_stream and any(part in data for part in self._forbidden):
                    client.sendall(FORBIDDEN)
                    continue
                upstream.sendall(data)
        _cut([pair])

    def _answer(self, pair: tuple[socket.socket, socket.socket]) -> None:
        client, upstream = pair
        passed = self._answers.setdefault(pair, bytearray())
        with suppress(OSError):
            while data := upstream.recv(CHUNK_BYTES):
                self._flowing.wait()
                client.sendall(data)
                passed += data
        _cut([pair])


def _cut(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    for pair in pairs:
        for line in pair:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
