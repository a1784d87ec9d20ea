"""Recording to disk, replay at full speed, seeking and bytes per row, over ten million rows.

Run: .venv/bin/python tests/bench/bench_recording.py [ROWS]

The rows are those of a collector on the simulated exchange, repeated with growing times and `ord`;
bytes are those of real frames.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from monitor.feeds.captured_feed import ingest
from monitor.graph.pipeline import Graph
from monitor.hooks import builtin
from monitor.hub.hub import Hub
from monitor.recordings.merge import open_recordings
from monitor.recordings.player import Player
from monitor.recordings.reading import open_recording
from monitor.recordings.recorder import Recorder
from monitor.recordings.recording_list import catalogue
from monitor.recordings.segments import OPEN_SUFFIX, About, Segment
from monitor.rows.batches import Batch, column, order_key
from monitor.settings.configuration import HookSettings

ROWS, RATE, COLLECT_S = 10_000_000, 5_000, 20
VENUES = {"binance": "USDT", "kraken": "USD", "coinbase": "USD"}
BASES = ("BTC", "ETH", "SOL")
HALVES = ("half", "other-half")
SEEKS = 9
LAG_MS = 100
RATES, RECORD_S = (500_000, 1_000_000), 5
FRAMES = Path(__file__).resolve().parents[3] / "shared" / "captures"
CAPTURES = {
    "binance/hft_ethusdt_20240809": "binance",
    "coinbase_advanced/cf_v3_20260809_seq0_499": "coinbase",
    "kraken_v1/cf_kraken_20210417": "kraken-v1",
}
LEAST_ROWS = 10_000


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        source = collect(folder)
        print(f"{sum(batch.row_count for batch in source):,} rows of the exchange, repeated\n")
        print("| what | measured |\n| --- | --- |")
        for rate in RATES:
            recorded, worst_ms = record(folder / f"at-{rate}", source, rate)
            print(
                f"| {rate:,} rows/s for {RECORD_S} s | {recorded:,.0%} recorded, "
                f"at most {worst_ms:,.0f} ms behind |"
            )
        write(folder / "bench", repeated(source, rows))
        print(f"| read alone | {rows / read_s(folder):,.0f} rows/s |")
        print(f"| replayed at max | {rows / replayed_s(folder, ['bench']):,.0f} rows/s |")
        for name in HALVES:
            write(folder / name, repeated(source, rows // 2))
        both_s = replayed_s(folder, HALVES)
        print(f"| two of half as many rows, as one stream | {rows / both_s:,.0f} rows/s |")
        taken = seeks_s(folder)
        print(f"| seek | {statistics.median(taken):.2f} s (at most {max(taken):.2f} s) |")
        for name, venue in CAPTURES.items():
            for kind, size in captured(folder, name, venue, rows // 5):
                print(f"| {name}, {kind} | {size:.1f} bytes a row |", flush=True)


def captured(folder: Path, name: str, venue: str, rows: int) -> Iterator[tuple[str, float]]:
    """Yield kind and bytes per row of the quotes and the book changes of a real capture."""
    frames: list[Batch] = []
    ingest([FRAMES / f"{name}.norm.ndjson.gz"], venue, frames.append)
    for kind in ("quote", "book"):
        if sum(batch[kind].num_rows for batch in frames) > LEAST_ROWS:
            yield kind, bytes_per_row(folder, frames, kind, rows)


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


def record(folder: Path, source: list[Batch], rate: int) -> tuple[float, float]:
    """Offer rows at a rate; return the share recorded, and how far behind it ever was, in ms."""
    batches = list(repeated(source, rate * RECORD_S))
    recorder = Recorder(folder, ["bench:*"], lambda *_: None)
    recorder.start()
    worst_ms, offered, begun = 0.0, 0, time.perf_counter()
    for batch in batches:
        while time.perf_counter() - begun < offered / rate:
            time.sleep(0.001)
        recorder(batch)
        offered += batch.row_count
        worst_ms = max(worst_ms, recorder.lag_ms)
    recorder.close()
    return 1 - recorder.unrecorded_rows / offered, worst_ms


def write(folder: Path, batches: Iterator[Batch]) -> None:
    """Record as fast as it goes."""
    recorder = Recorder(folder, ["bench:*"], lambda *_: None)
    recorder.start()
    for batch in batches:
        while recorder.lag_ms > LAG_MS:
            time.sleep(0.001)
        recorder(batch)
    recorder.close()
    # On a busy machine it closes while the last rows are still written.
    while any(folder.glob(f"*{OPEN_SUFFIX}")):
        time.sleep(0.001)
    assert recorder.unrecorded_rows == 0


def read_s(folder: Path) -> float:
    with open_recording(folder, "bench") as opened:
        begun = time.perf_counter()
        for _ in opened.batches():
            pass
        return time.perf_counter() - begun


def replayed_s(folder: Path, names: Sequence[str]) -> float:
    hub = Hub()
    graph = Graph({"hub": hub}, builtin.load(HookSettings(), "recomputed"))

    def relive(batch: Batch) -> None:
        graph.emit(Batch({kind: part for kind, part in batch.kinds.items() if kind != "signal"}))

    with open_recordings(folder, names) as opened:
        begun = time.perf_counter()
        Player(opened, relive, speed=None).run_to_end()
        return time.perf_counter() - begun


def seeks_s(folder: Path) -> list[float]:
    """Return how long seeks all over the recording took until the views were filled."""
    taken, hub = [], Hub()
    with open_recording(folder, "bench") as opened:
        filled = threading.Event()
        player = Player(opened, hub, hub.reset, on_past=hub.remember)
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
    size = segment.file.stat().st_size
    segment.file.unlink()
    return size / count


if __name__ == "__main__":
    main()
