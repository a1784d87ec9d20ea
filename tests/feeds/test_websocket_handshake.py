"""The opening and the closing handshake of the WebSocket client, whatever the server does."""

from __future__ import annotations

import select
import socket
import struct
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress

import pytest
from support.autobahn import CLOSE, answer, asked, closing, frame, listen, met

from monitor.feeds import transport

MIB = 1 << 20
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\n"
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s"


def refusal_of(reply: Callable[[bytes], bytes]) -> str:
    """Answer the client's opening handshake so, and return why it left."""
    with met() as (client, peer):
        key = asked(peer)
        # The client may leave before it has read all.
        with suppress(ConnectionError):
            peer.sendall(reply(key))
            assert peer.recv(1) == b"", "expected no frame on a line that was not opened"
    return client.told().detail("disconnected", "stopped", "auth_failed")


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (lambda key: answer(key[:-1] + b"."), "Invalid WebSocket Header"),
        (lambda key: answer(key).replace(b"Upgrade: websocket\r\n", b""), "Invalid WebSocket"),
        (lambda key: answer(key).replace(b"Connection:", b"Connexion:"), "Invalid WebSocket"),
        (lambda key: answer(key).replace(b"101 Switching Protocols", b"200 OK"), "found 200 OK"),
        (lambda _: REFUSED % (9, b"<b>no</b>"), "expected HTTP 101, found 403 Forbidden"),
        (
            lambda key: answer(key, b"Sec-WebSocket-Extensions: permessage-deflate"),
            "expected no sec-websocket-extensions, found 'permessage-deflate'",
        ),
        (
            lambda key: answer(key, b"Sec-WebSocket-Protocol: chat"),
            "expected no sec-websocket-protocol, found 'chat'",
        ),
    ],
    ids=["accept", "upgrade", "connection", "200", "403", "extension", "subprotocol"],
)
def test_an_answer_that_opens_no_websocket_is_refused(
    reply: Callable[[bytes], bytes], why: str
) -> None:
    assert why in refusal_of(reply)


@pytest.mark.parametrize(
    "huge",
    [
        SWITCHING + b"X: " + b"x" * (10 * MIB),
        SWITCHING + b"X: 0123456789\r\n" * (10 * MIB // 15),
        REFUSED % (10 * MIB, b"x" * (10 * MIB)),
    ],
    ids=["one line", "many lines", "body of a refusal"],
)
def test_an_answer_of_10_mb_is_refused_in_one_line_with_bounded_memory(huge: bytes) -> None:
    began_s = time.monotonic()
    tracemalloc.start()
    try:
        why = refusal_of(lambda _: huge)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    first = huge.split(b"\r\n")[0].decode()
    assert why == (
        "OSError: expected an answer to the opening handshake of at most 65536 bytes, "
        f"found more after {first!r}"
    )
    assert peak_bytes < 4 * MIB
    assert time.monotonic() - began_s < transport.OPEN_TIMEOUT_S


def silent(peer: socket.socket) -> None:
    """Send no more, until the client leaves."""
    assert peer.recv(1) == b""


def dripping(peer: socket.socket) -> None:
    """Send one byte at a time, until the client leaves."""
    with suppress(ConnectionError):
        while not select.select([peer], [], [], 0.01)[0]:
            peer.sendall(b"x")


@pytest.mark.parametrize("goes_on", [silent, dripping])
def test_an_answer_that_takes_too_long_is_given_up(
    goes_on: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "OPEN_TIMEOUT_S", 0.2)
    with met() as (client, peer):
        asked(peer)
        peer.sendall(SWITCHING)
        goes_on(peer)
    why = client.told().detail("disconnected", "stopped", "auth_failed")
    expected = "OSError: expected the answer to the opening handshake within 0.2 s, found no more "
    assert why.startswith(expected)


def test_frames_in_one_piece_with_the_handshake_are_read() -> None:
    with met() as (client, peer):
        peer.sendall(answer(asked(peer)) + frame(b"at once") + closing(1000))
        listen(peer)
    assert client.told().messages == ["at once"]


def test_a_client_that_stops_says_so_and_does_not_wait_long_for_the_venue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "CLOSE_WAIT_S", 0.1)
    with met() as (client, peer):
        peer.sendall(answer(asked(peer)))
        assert peer.recv(1)
        client.stop()
        # The venue neither answers nor ends the stream.
        why = client.told().detail("stopped")
    assert why == "stopped on request"


def test_a_client_that_stops_sends_code_1000_last() -> None:
    with met() as (client, peer):
        peer.sendall(answer(asked(peer)))
        client.stop()
        heard = listen(peer)
    assert heard.closes == [struct.pack("!H", 1000)] and heard.last == CLOSE
    assert client.told().detail("stopped") == "stopped on request"
