"""Wire to Arrow through websocket-client, against websocket-client with orjson: the same frames.

A process on the other core sends the frames over a loopback WebSocket.
Run: .venv/bin/python tests/bench/bench_wire.py
"""

from __future__ import annotations

import base64
import hashlib
import multiprocessing
import os
import socket
import statistics
import time
from typing import Any

import orjson
import pyarrow as pa
import websocket

from monitor._rust_feed import Feed, Session
from monitor.cli.bench import framed, messages, tick
from monitor.feeds import transport

COUNT, RUNS = 200_000, 5
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def blast(listener: socket.socket, wire: bytes) -> None:
    """Answer each handshake and send all frames at once."""
    os.sched_setaffinity(0, {1})
    for _ in range(2 * RUNS):
        peer, _ = listener.accept()
        with peer:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += peer.recv(4096)
            key = head.lower().split(b"sec-websocket-key:")[1].split(b"\r\n")[0]
            at = head.lower().index(key)
            key = head[at : at + len(key)].strip()
            accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
            peer.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            peer.sendall(wire)
            peer.recv(1)


def ours(url: str) -> float:
    feed = Feed(10 * COUNT)
    session = Session(feed, "binance", "{}")
    rows = 0
    with transport.connect(url) as line:
        began_s = time.perf_counter()
        while rows < COUNT:
            data = line.read()
            if data:
                session.receive(data, 1)
            if len(feed) > 20_000 or data is None:
                rows += _ticks(feed.drain(0, 0) or {})
        return time.perf_counter() - began_s


def _ticks(kinds: dict[str, Any]) -> int:
    batches = [pa.record_batch(kinds[kind]) for kind in ("quote", "trade") if kind in kinds]
    return sum(batch.num_rows for batch in batches)


def theirs(url: str) -> float:
    ws = websocket.create_connection(url, skip_utf8_validation=True)
    began_s = time.perf_counter()
    ticks = [tick(orjson.loads(ws.recv())) for _ in range(COUNT)]
    took_s = time.perf_counter() - began_s
    ws.shutdown()
    assert len(ticks) == COUNT
    return took_s


def main() -> None:
    wire = framed(messages(COUNT))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = multiprocessing.get_context("fork").Process(target=blast, args=(listener, wire))
        sender.start()
        os.sched_setaffinity(0, {0})
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        pairs = [(ours(url), theirs(url)) for _ in range(RUNS)]
        sender.join()
    ratios = sorted(slow / fast for fast, slow in pairs)
    print(f"websocket-client, then Rust    {COUNT / min(p[0] for p in pairs):12,.0f} msg/s")
    print(f"websocket-client, then orjson  {COUNT / min(p[1] for p in pairs):12,.0f} msg/s")
    middle = statistics.median(ratios)
    print(f"ratio                          {middle:.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})")


if __name__ == "__main__":
    main()
