"""Recording to disk, replay at full speed, seeking and bytes per row, over ten million rows.

Run: .venv/bin/python tests/bench/bench_recording.py [ROWS]

The rows are those of a collector on the simulated exchange, repeated with growing times and `ord`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from monitor import hooks
from monitor.batches import Batch, column, order_key
from monitor.config import HookSettings
from monitor.hub import Hub
from monitor.pipeline import Graph
from monitor.recorder import Recorder
from monitor.recordings import catalogue, open_recording
from monitor.replay import Player
from monitor.segments import About, Segment

ROWS, RATE, COLLECT_S = 10_000_000, 5_000, 20
VENUES = {"binance": "USDT", "kraken": "USD", "coinbase": "USD"}
BASES = ("BTC", "ETH", "SOL")
SEEKS = 9
LAG_MS = 100


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        source = collect(folder)
        print(f"{sum(batch.row_count for batch in source):,} rows of the exchange, repeated\n")
        print("| what | measured |\n| --- | --- |")
        taken_s, worst_ms = record(folder, repeated(source, rows))
        print(f"| recorded | {rows / taken_s:,.0f} rows/s, at most {worst_ms:.0f} ms behind |")
        print(f"| replayed at max | {rows / replayed_s(folder):,.0f} rows/s |")
        taken = seeks_s(folder)
        print(f"| seek | {statistics.median(taken):.2f} s (at most {max(taken):.2f} s) |")
        for kind in ("quote", "trade", "book"):
            print(f"| bytes per {kind} row | {bytes_per_row(folder, source, kind, rows):.1f} |")


def collect(folder: Path) -> list[Batch]:
    """Record the simulated exchange for a while; return the rows."""
    run = [sys.executable, "-m", "monitor.cli"]
    exchange = subprocess.Popen(
        [*run, "simulate", *VENUES, "--rate", str(RATE)], stdout=subprocess.PIPE, text=True
    )
    assert exchange.stdout is not None
    command = [*run, "record", "--for", f"{COLLECT_S}s", "--recordings", str(folder)]
    for _ in VENUES:
        venue, *urls = exchange.stdout.readline().split()
        command += ["--endpoint", f"{venue}={','.join(urls)}"]
        command += [f"{venue}:{base}-{VENUES[venue]}" for base in BASES]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    exchange.terminate()
    exchange.wait()
    (found,) = catalogue(folder)
    with open_recording(folder, found["id"]) as opened:
        return list(opened.batches())


def repeated(source: list[Batch], rows: int) -> Iterator[Batch]:
    """Yield `rows` rows: those of `source` over and over, later each time."""
    first, last = (source[at].ords for at in (0, -1))
    times = [column(part, "ts_recv") for batch in source for part in batch.kinds.values()]
    assert first is not None and last is not None
    span_ords = last[1] + 1 - first[0]
    span_ns = max(int(each.max()) for each in times) - min(int(each.min()) for each in times) + 1
    done = 0
    for turn in range(rows // sum(batch.row_count for batch in source) + 1):
        for batch in source:
            if done >= rows:
                return
            done += batch.row_count
            yield Batch(
                {
                    kind: later(part, kind, turn * span_ords, turn * span_ns)
                    for kind, part in batch.kinds.items()
                }
            )


def later(rows: pa.RecordBatch, kind: str, ords: int, ns: int) -> pa.RecordBatch:
    columns = rows.columns
    for at, field in enumerate(rows.schema):
        if field.name == order_key(kind):
            columns[at] = pa.array(column(rows, field.name) + np.uint64(ords), field.type)
        elif pa.types.is_timestamp(field.type):
            times = columns[at].cast(pa.int64())
            columns[at] = pa.compute.add(times, ns).cast(field.type)
    return pa.RecordBatch.from_arrays(columns, schema=rows.schema)


def record(folder: Path, batches: Iterator[Batch]) -> tuple[float, float]:
    """Record as fast as it goes; return how long it took, and how far behind it ever was, in ms."""
    recorder = Recorder(folder / "bench", ["bench:*"], lambda *_: None)
    recorder.start()
    taken_s = worst_ms = 0.0
    for batch in batches:
        # To make the rows is no part of recording them.
        begun = time.perf_counter()
        while (lag_ms := recorder.lag_ms) > LAG_MS:
            time.sleep(0.001)
        worst_ms = max(worst_ms, lag_ms)
        recorder(batch)
        taken_s += time.perf_counter() - begun
    begun = time.perf_counter()
    recorder.close()
    assert recorder.unrecorded_rows == 0
    return taken_s + time.perf_counter() - begun, worst_ms


def replayed_s(folder: Path) -> float:
    hub = Hub()
    graph = Graph({"hub": hub}, hooks.load(HookSettings(), "recomputed"))

    def relive(batch: Batch) -> None:
        graph.emit(Batch({kind: part for kind, part in batch.kinds.items() if kind != "signal"}))

    with open_recording(folder, "bench") as opened:
        begun = time.perf_counter()
        Player(opened, relive, speed=None).run_to_end()
        return time.perf_counter() - begun


def seeks_s(folder: Path) -> list[float]:
    """Return how long seeks all over the recording took until the views were filled."""
    taken, hub = [], Hub()
    with open_recording(folder, "bench") as opened:
        filled = threading.Event()
        player = Player(opened, hub, hub.reset)
        player.pause()
        player.start()
        first, last = player.span_ns
        for at in np.linspace(first, last, SEEKS + 2, dtype=np.int64)[1:-1].tolist():
            begun = time.perf_counter()
            player.seek(at)
            while player.position_ns != at and not filled.wait(0.001):
                pass
            taken.append(time.perf_counter() - begun)
        player.close()
    return taken


def bytes_per_row(folder: Path, source: list[Batch], kind: str, rows: int) -> float:
    """Return what a row of a kind takes in a sealed segment of that kind alone."""
    only = [Batch({kind: batch[kind]}) for batch in source if kind in batch]
    segment = Segment(folder / f"{kind}.duckdb", About("x", 0, None, "open", [], None))
    count = 0
    for batch in repeated(only, rows // 5):
        segment.write(batch)
        count += batch.row_count
    segment.seal(1, None)
    return segment.file.stat().st_size / count


if __name__ == "__main__":
    main()
