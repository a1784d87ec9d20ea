"""REST answers that do not end, end too early or cannot be read: the next request goes on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Queue

import pytest
from support.running import DEADLINE_S

from monitor.feeds import rest
from monitor.feeds.api_key import Key
from monitor.feeds.rest import Answer, Rest

Serve = Callable[[socket.socket, threading.Event], None]
HEAD = b"HTTP/1.1 200 OK\r\n"
GOOD = HEAD + b"Content-Length: 2\r\n\r\n{}"
DRIP_S = 0.05


def drip(line: socket.socket, ended: threading.Event) -> None:
    while not ended.wait(DRIP_S):
        line.sendall(b" ")


def dripped_body(line: socket.socket, ended: threading.Event) -> None:
    line.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n")
    drip(line, ended)


def dripped_chunks(line: socket.socket, ended: threading.Event) -> None:
    line.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while not ended.wait(DRIP_S):
        line.sendall(b"1\r\n \r\n")


def dripped_head(line: socket.socket, ended: threading.Event) -> None:
    line.sendall(HEAD + b"X-Slow: ")
    drip(line, ended)


def cut_body(line: socket.socket, ended: threading.Event) -> None:
    line.sendall(HEAD + b"Content-Length: 100\r\n\r\n{")


def cut_chunks(line: socket.socket, ended: threading.Event) -> None:
    line.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{")


def no_gzip(line: socket.socket, ended: threading.Event) -> None:
    line.sendall(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!")


@contextmanager
def venue(serve: Serve) -> Iterator[str]:
    """Answer the first request by `serve`, and each further one well; yield the address."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            first = True
            with suppress(OSError):
                while True:
                    line, _ = server.accept()
                    with line, suppress(OSError):
                        line.recv(1 << 16)
                        if first:
                            first = False
                            serve(line, ended)
                        else:
                            line.sendall(GOOD)

        thread = threading.Thread(target=run, name="slow venue")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            ended.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join(DEADLINE_S)


@pytest.mark.parametrize(
    ("serve", "why"),
    [
        (dripped_body, "expected the whole answer within 0.5 s, found a part of it"),
        (dripped_chunks, "expected the whole answer within 0.5 s, found a part of it"),
        (dripped_head, "expected the whole answer within 0.5 s, found a part of it"),
        (cut_body, "expected the whole answer, found a part of it"),
        (cut_chunks, "expected the whole answer, found a part of it"),
        (no_gzip, "expected an answer, found one that cannot be unpacked"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_answer_that_does_not_come_whole_fails_and_the_next_request_goes_on(
    serve: Serve, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "ANSWER_S", 0.5)
    answers: Queue[Answer] = Queue()
    with venue(serve) as address:
        client = Rest("slow", address, Key())
        client.ask("/first", None, answers.put)
        client.ask("/second", None, answers.put)
        assert answers.get(timeout=DEADLINE_S) == Answer("/first", None, "fetch_failed", why)
        assert answers.get(timeout=DEADLINE_S) == Answer("/second", "{}")
        client.stop()
        client.join(DEADLINE_S)
