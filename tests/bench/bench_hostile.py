"""Whether hostile SQL slows what is recorded: rows per second with and without it, by turns.

Run: .venv/bin/python tests/bench/bench_hostile.py [TURNS]
"""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import requests

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from support import hostile_statements as hostile

from monitor.processes import locks
from monitor.sql import queries

VENUES = {"binance": "USDT", "kraken": "USD", "coinbase": "USD"}
RATE, TURNS, TURN_S, WARM_S, WALL_S = 2_000, 4, 20.0, 8.0, 0.5


def main() -> None:
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else TURNS
    statements = [*hostile.REFUSED, *hostile.HARMLESS]
    run = [sys.executable, "-m", "monitor.cli"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        exchange = subprocess.Popen(
            [*run, "simulate", *VENUES, "--rate", str(RATE)], stdout=subprocess.PIPE, text=True
        )
        assert exchange.stdout is not None
        command = [*run, "record", "--recordings", name]
        for _ in VENUES:
            venue, *urls = exchange.stdout.readline().split()
            command += ["--endpoint", f"{venue}={','.join(urls)}", f"{venue}:BTC-{VENUES[venue]}"]
        collector = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            while (held := locks.holder(folder)) is None:
                time.sleep(0.1)
            time.sleep(WARM_S)
            measure(folder, held.address, turns, statements)
        finally:
            collector.terminate()
            collector.wait()
            exchange.terminate()
            exchange.wait()


def measure(folder: Path, address: str, turns: int, statements: list[str]) -> None:
    ratios, asked = [], itertools.count()
    for turn in range(turns):
        quiet = rate(address)
        over = threading.Event()
        thread = threading.Thread(target=ask, args=(folder, statements, over, asked))
        thread.start()
        loud = rate(address)
        over.set()
        thread.join()
        ratios.append(loud / quiet)
        print(f"turn {turn + 1}: {quiet:,.0f} rows/s alone, {loud:,.0f} beside hostile statements")
    health = requests.get(f"http://{address}/health", timeout=10).json()["recorder"]
    print(
        f"{next(asked)} statements; {statistics.median(ratios):.3f} of the rate alone (median), "
        f"{health['unrecorded_rows']} rows unrecorded"
    )


def ask(
    folder: Path, statements: list[str], over: threading.Event, asked: itertools.count[int]
) -> None:
    """Run the statements one after the other, over and over."""
    for statement in itertools.cycle(statements):
        if over.is_set():
            return
        next(asked)
        with suppress(*queries.ERRORS):
            queries.run(statement, folder, wall_s=WALL_S)


def rate(address: str) -> float:
    before, begun = rows_seen(address), time.perf_counter()
    time.sleep(TURN_S)
    return (rows_seen(address) - before) / (time.perf_counter() - begun)


def rows_seen(address: str) -> int:
    text = requests.get(f"http://{address}/metrics", timeout=10).text
    lines = [line for line in text.splitlines() if line.startswith("monitor_rows_total")]
    return int(sum(float(line.split()[-1]) for line in lines))


if __name__ == "__main__":
    main()
