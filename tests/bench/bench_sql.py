"""How long the ready-made SQL takes over a synthetic recording of ten million rows.

`.venv/bin/python tests/bench/bench_sql.py [ROWS]` prints a table; the rows are the same every time.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from monitor.recordings.segments import About, Segment
from monitor.rows.batches import LAST, SCHEMAS, Batch
from monitor.sql import queries

ROWS = 10_000_000
CHUNK = 500_000
SPAN_S = 3600
REPEATS = 5
VENUES = ("binance", "coinbase", "kraken")
SYMBOLS = ("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD")
SHARES = {"quote": 0.2, "trade": 0.1, "book": 0.7}
BARS = "SELECT count(*), avg(open + close), max(high), min(low), sum(volume), sum(trades) FROM"
STATEMENTS = {
    "bars_1s": f"{BARS} bars_1s",
    "bars_1m": f"{BARS} bars_1m",
    "spread_bps": "SELECT venue, symbol, avg(spread_bps) FROM spread_bps GROUP BY ALL",
    "best_quote": "SELECT symbol, bid_venue, avg(ask - bid) FROM best_quote GROUP BY ALL",
    "best_quote, all columns": "SELECT max(COLUMNS(*)) FROM best_quote",
    "gaps": "SELECT count(*), sum(count) FROM gaps",
    "latency": "SELECT channel, avg(p50_ms), max(p99_ms), max(max_ms) FROM latency GROUP BY ALL",
}


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        size = make(folder / "bench", rows)
        print(f"{rows:,} rows, {size / 1e6:,.0f} MB\n")
        print("| view | median (lowest to highest), s | processor, s |")
        print("| --- | --- | --- |")
        for name, statement in {"nothing: SELECT 1": "SELECT 1", **STATEMENTS}.items():
            before = processor_s()
            taken = times(statement, folder)
            used = (processor_s() - before) / REPEATS
            low, middle, high = min(taken), statistics.median(taken), max(taken)
            print(f"| {name} | {middle:.2f} ({low:.2f} to {high:.2f}) | {used:.2f} |", flush=True)


def processor_s() -> float:
    """What the queries' processes have used: the same however busy the machine is."""
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def times(statement: str, folder: Path) -> list[float]:
    taken = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        queries.run(statement, folder, wall_s=60)
        taken.append(time.perf_counter() - begun)
    return taken


def make(path: Path, rows: int) -> int:
    """Write a sealed recording of `rows` quotes, trades and book rows; return its bytes."""
    path.mkdir()
    start = 1_700_000_000_000_000_000
    about = About(path.name, start, None, "open", ["bench:*"], None)
    segment = Segment(path / "000.duckdb", about)
    random = np.random.default_rng(7)
    for first in range(0, rows, CHUNK):
        count = min(CHUNK, rows - first)
        kinds = random.choice(len(SHARES), count, p=list(SHARES.values()))
        ords = np.arange(first, first + count)
        batch = {
            kind: chunk(kind, ords[kinds == at], start + ords[kinds == at] * step(rows), random)
            for at, kind in enumerate(SHARES)
        }
        segment.write(Batch(batch))
    segment.seal(start + SPAN_S * 1_000_000_000, None)
    return segment.file.stat().st_size


def step(rows: int) -> int:
    return SPAN_S * 1_000_000_000 // rows


def chunk(
    kind: str, ords: np.ndarray, recv: np.ndarray, random: np.random.Generator
) -> pa.RecordBatch:
    count = len(ords)
    venues, symbols = random.integers(len(VENUES), size=count), random.integers(4, size=count)
    price = 100 + np.round(random.normal(size=count), 2)
    ns = pa.timestamp("ns")
    columns = {
        "ord": ords.astype(np.uint64),
        "ts_recv": pa.array(recv, ns),
        "ts_event": pa.array(recv - random.integers(1e6, 1e8, size=count), ns),
        "venue": pa.array(VENUES).take(pa.array(venues)),
        "symbol": pa.array(SYMBOLS).take(pa.array(symbols)),
        "flags": np.where(random.random(count) < 0.1, LAST, 0).astype(np.uint32),
        "origin": pa.array(["native"] * count),
        "bid": price,
        "bid_size": random.random(count),
        "ask": price + 0.01,
        "ask_size": random.random(count),
        "price": price,
        "size": random.random(count),
    }
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.nulls(count, field.type)
        for field in SCHEMAS[kind]
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMAS[kind])


if __name__ == "__main__":
    main()
