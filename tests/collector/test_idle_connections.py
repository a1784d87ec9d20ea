"""Idle connections to the program's ports: bounded, closed, and no drain on files and the log."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
import tornado.web
from support.collectors import free_port
from support.process_tree import answers
from support.running import DEADLINE_S, collector_of, simulator_urls, until
from tornado.netutil import bind_sockets

from monitor import recordings
from monitor.collector import bounded_server
from monitor.verify.verification import verify

Run = Callable[..., Any]
FILES = 64
HEAD = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def limited(folder: Path, log: Path, files: int, *arguments: object) -> subprocess.Popen[bytes]:
    """Start a command that may have so many descriptors."""
    command = [sys.executable, "-m", "monitor.cli", *map(str, arguments)]
    with log.open("w") as told:
        return subprocess.Popen(
            ["prlimit", f"--nofile={files}:{files}", *command],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=told,
        )


def flood(stack: ExitStack, port: int, count: int) -> None:
    for _ in range(count):
        stack.enter_context(socket.create_connection(("127.0.0.1", port), DEADLINE_S))


def test_idle_connections_take_no_file_from_the_recorder(tmp_path: Path, background: Run) -> None:
    folder, log = tmp_path / "recordings", tmp_path / "log"
    (tmp_path / "c.toml").write_text("[recorder]\nsegment_s = 2\n")
    exchange = background("simulate", "binance")
    source = ("binance:BTC-USDT", "--endpoint", simulator_urls(exchange), "--config", "c.toml")
    process = limited(tmp_path, log, FILES, "record", *source)
    try:
        held = collector_of(folder)
        with ExitStack() as stack:
            flood(stack, int(held.address.split(":")[1]), 4 * FILES)
            begun = len(list(folder.glob("*/*.duckdb")))
            until(lambda: len(list(folder.glob("*/*.duckdb"))) >= begun + 3, "further segments")
            report = requests.get(f"http://{held.address}/health", timeout=DEADLINE_S).json()
            assert report["recorder"]["unrecorded_rows"] == 0
        process.terminate()
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.wait()
    assert log.read_text() == ""
    (described,) = recordings.catalogue(folder)
    assert not verify(folder, described["id"]).is_damaged


def test_a_page_answers_behind_many_idle_connections(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    process = limited(tmp_path, log, 2 * FILES, "serve", "--port", port)
    try:
        until(lambda: answers(port), "the page")
        with ExitStack() as stack:
            flood(stack, port, 4 * FILES)
            assert answers(port)
        process.terminate()
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.wait()
    assert log.read_text() == ""


class Hello(tornado.web.RequestHandler):
    def get(self) -> None:
        self.finish("hello")


async def serving() -> tuple[bounded_server.Server, int]:
    server = bounded_server.Server(
        tornado.web.Application([("/", Hello)], log_function=lambda _: None)
    )
    (sock,) = bind_sockets(0, "127.0.0.1")
    server.add_socket(sock)
    return server, sock.getsockname()[1]


def test_a_connection_that_asks_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_server, "IDLE_S", 0.2)

    async def run() -> None:
        server, port = await serving()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
        writer.close()
        server.stop()

    asyncio.run(run())


def test_the_longest_idle_connection_makes_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_server, "MOST", 2)
    monkeypatch.setattr(bounded_server, "FEWEST", 2)

    async def run() -> None:
        server, port = await serving()
        pairs = [await asyncio.open_connection("127.0.0.1", port)]
        for _ in range(2):
            pairs.append(await asyncio.open_connection("127.0.0.1", port))
            # It is answered, and idle from then on.
            pairs[-1][1].write(HEAD)
            await asyncio.wait_for(pairs[-1][0].readuntil(b"hello"), DEADLINE_S)
        assert await asyncio.wait_for(pairs[0][0].read(), DEADLINE_S) == b""
        for reader, writer in pairs[1:]:
            writer.write(HEAD)
            await asyncio.wait_for(reader.readuntil(b"hello"), DEADLINE_S)
        for _, writer in pairs:
            writer.close()
        server.stop()

    asyncio.run(run())


def test_without_descriptors_one_line_is_told_and_connections_wait(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> None:
        server, port = await serving()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD)
        await asyncio.wait_for(reader.readuntil(b"hello"), DEADLINE_S)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.socket() as client:
            client.setblocking(False)
            next_free = os.dup(0)
            os.close(next_free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (next_free, hard))
            try:
                loop = asyncio.get_running_loop()
                await loop.sock_connect(client, ("127.0.0.1", port))
                await loop.sock_sendall(client, HEAD)
                while not caplog.records:
                    await asyncio.sleep(0)
                # Those that are there already are answered meanwhile.
                for _ in range(20):
                    writer.write(HEAD)
                    await asyncio.wait_for(reader.readuntil(b"hello"), DEADLINE_S)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert b"200 OK" in await asyncio.wait_for(loop.sock_recv(client, 99), DEADLINE_S)
        writer.close()
        server.stop()

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    (record,) = caplog.records
    assert record.getMessage() == "expected to take a connection, found: Too many open files"
