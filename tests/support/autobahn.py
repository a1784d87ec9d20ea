"""A WebSocket server made from RFC 6455 on plain sockets, which tells what the client sent back."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, NamedTuple

import pyarrow as pa

from monitor._rust_feed import Feed, Session
from monitor.feeds.api_key import Key
from monitor.feeds.receive_clock import ReceiveClock
from monitor.feeds.rest import Rest
from monitor.feeds.supervisor import Policy, Supervisor
from support.running import DEADLINE_S

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
# It needs no instrument list by REST, and speaks first: a text frame from the client.
VENUE = "kraken"
CAPACITY_ROWS = 100_000


class Frame(NamedTuple):
    opcode: int
    payload: bytes


class Heard(NamedTuple):
    """What the client sent between the opening handshake and the end of its stream."""

    pongs: list[bytes]
    # The payloads of closing frames; `last` is the opcode of the last frame of all.
    closes: list[bytes]
    last: int | None


class Told(NamedTuple):
    """The rows that the product made of one connection."""

    messages: list[str]
    statuses: list[dict[str, Any]]

    def detail(self, *kinds: str) -> str:
        """Return the detail of the first row of these kinds: a lost line stops after it."""
        row = next(row for row in self.statuses if row["kind"] in kinds)
        return str(row["detail"])


def frame(payload: bytes = b"", opcode: int = TEXT, fin: bool = True, rsv: int = 0) -> bytes:
    """Frame a payload as a server does (RFC 6455, 5.2)."""
    first, size = fin << 7 | rsv << 4 | opcode, len(payload)
    if size < 126:
        return struct.pack("!BB", first, size) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload


def closing(code: int, reason: bytes = b"") -> bytes:
    return frame(struct.pack("!H", code) + reason, CLOSE)


class Client:
    """The product as it is when it runs: a supervised session that keeps every payload."""

    def __init__(self, url: str) -> None:
        self._feed, numbers = Feed(CAPACITY_ROWS), count(1)
        options = json.dumps({"sources": [], "live": True, "raw": True})
        session = Session(self._feed, VENUE, options)
        self._rest = Rest("conformance", url, Key())
        self._supervisor = Supervisor(
            "conformance",
            session,
            ReceiveClock(),
            url,
            Key(),
            self._rest,
            lambda: next(numbers),
            lambda parts: None,
            Policy("ws"),
        )

    def start(self) -> None:
        self._supervisor.start()

    def stop(self) -> None:
        self._supervisor.stop()

    def told(self) -> Told:
        """End the client, and return what it wrote of its first connection."""
        self._supervisor.stop()
        self._supervisor.join(DEADLINE_S)
        self._rest.stop()
        self._rest.join(DEADLINE_S)
        told = Told([], [])
        while (kinds := self._feed.drain(0, 0)) is not None:
            rows = {kind: pa.record_batch(batch).to_pylist() for kind, batch in kinds.items()}
            told.messages.extend(row["raw"] for row in rows.get("frame", ()) if row["conn"] == 1)
            told.statuses.extend(row for row in rows.get("status", ()) if row["conn"] == 1)
        return told


@contextmanager
def met() -> Iterator[tuple[Client, socket.socket]]:
    """Start a client and accept its one connection; later ones are refused."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE_S)
        client = Client(f"ws://127.0.0.1:{listener.getsockname()[1]}/")
        client.start()
        peer, _ = listener.accept()
    with peer:
        peer.settimeout(DEADLINE_S)
        # Pieces of a chopped message are to arrive as pieces.
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            yield client, peer
        finally:
            client.stop()


def asked(peer: socket.socket) -> bytes:
    """Read the client's opening handshake, check it and return its key (RFC 6455, 4.2.1)."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += _some(peer)
    request, *lines = head.decode("ascii").split("\r\n")[:-2]
    headers = {name.lower(): value.strip() for name, value in (ln.split(":", 1) for ln in lines)}
    assert request == "GET / HTTP/1.1"
    assert headers["upgrade"].lower() == "websocket"
    assert headers["connection"].lower() == "upgrade"
    assert headers["sec-websocket-version"] == "13"
    assert "host" in headers
    assert not {"sec-websocket-extensions", "sec-websocket-protocol"} & headers.keys()
    key = headers["sec-websocket-key"].encode()
    assert len(base64.b64decode(key, validate=True)) == 16
    return key


def answer(key: bytes, *more: bytes) -> bytes:
    """Return the server's opening handshake (RFC 6455, 4.2.2), with more header lines."""
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + accept,
        *more,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def listen(peer: socket.socket) -> Heard:
    """Read the client's frames until it ends its stream."""
    frames = list(_frames(peer))
    by = {opcode: [f.payload for f in frames if f.opcode == opcode] for opcode in (PONG, CLOSE)}
    return Heard(by[PONG], by[CLOSE], frames[-1].opcode if frames else None)


def converse(pieces: Iterable[bytes]) -> tuple[Heard, Told]:
    """Open a connection, send the pieces, and tell what came of it."""
    with met() as (client, peer):
        peer.sendall(answer(asked(peer)))
        for piece in pieces:
            peer.sendall(piece)
        heard = listen(peer)
    return heard, client.told()


def _frames(peer: socket.socket) -> Iterator[Frame]:
    held = b""
    while True:
        while (end := _whole(held)) is None:
            try:
                held += _some(peer)
            except EOFError:
                assert not held, f"expected whole frames, found {held!r} at the end"
                return
        frame, held = held[:end], held[end:]
        assert frame[0] & 0xF0 == 0x80, "expected one piece and no reserved bits"
        assert frame[1] & 0x80, "expected a masked frame (RFC 6455, 5.1)"
        start = {126: 4, 127: 10}.get(frame[1] & 0x7F, 2)
        mask, masked = frame[start : start + 4], frame[start + 4 :]
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked))
        yield Frame(frame[0] & 0x0F, payload)


def _whole(held: bytes) -> int | None:
    """Return where the first frame ends, None if it is not all there."""
    if len(held) < 2:
        return None
    size, start = held[1] & 0x7F, 2
    if size >= 126:
        start = 4 if size == 126 else 10
        if len(held) < start:
            return None
        size = int.from_bytes(held[2:start], "big")
    end = start + 4 + size
    return end if len(held) >= end else None


def _some(peer: socket.socket) -> bytes:
    data = peer.recv(1 << 16)
    if not data:
        raise EOFError("expected more bytes, found the end of the stream")
    return data
