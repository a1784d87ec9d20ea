"""Decode into Arrow against orjson into ticks: same frames, same run, one core.

Run: taskset -c 0 .venv/bin/python tests/bench/bench_decode.py
"""

from __future__ import annotations

import statistics
import time

import orjson
import pyarrow as pa
from messages import framed, messages, tick

from monitor._rust_feed import Feed, Session

COUNT, RUNS, CHUNK = 200_000, 7, 1 << 16


def ours(chunks: list[bytes]) -> float:
    """WebSocket bytes to Arrow record batches, drained every 8 chunks; seconds."""
    feed = Feed(10 * COUNT)
    session = Session(feed, "binance", "{}")
    rows = 0
    began_s = time.perf_counter()
    for at, chunk in enumerate(chunks, 1):
        session.receive(chunk, at)
        if at % 8 == 0 or at == len(chunks):
            kinds = {kind: pa.record_batch(b) for kind, b in (feed.drain(0, 0) or {}).items()}
            rows += sum(b.num_rows for kind, b in kinds.items() if kind in ("quote", "trade"))
    took_s = time.perf_counter() - began_s
    assert rows == COUNT
    return took_s


def theirs(payloads: list[bytes]) -> float:
    """JSON texts, already cut out of the WebSocket, to ticks; seconds."""
    began_s = time.perf_counter()
    ticks = [tick(orjson.loads(payload)) for payload in payloads]
    took_s = time.perf_counter() - began_s
    assert len(ticks) == COUNT
    return took_s


def main() -> None:
    payloads = messages(COUNT)
    wire = framed(payloads)
    chunks = [wire[at : at + CHUNK] for at in range(0, len(wire), CHUNK)]
    pairs = [(ours(chunks), theirs(payloads)) for _ in range(RUNS)]
    ratios = sorted(slow / fast for fast, slow in pairs)
    print(f"wire to Arrow    {COUNT / min(p[0] for p in pairs):12,.0f} msg/s")
    print(f"orjson to ticks  {COUNT / min(p[1] for p in pairs):12,.0f} msg/s")
    print(f"ratio            {statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})")


if __name__ == "__main__":
    main()
