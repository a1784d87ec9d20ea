"""Resident memory of collector and page process over 5 million rows.

Run: .venv/bin/python tests/bench/bench_memory.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests

from monitor.processes import locks

ROWS, WARM_ROWS, RATE, PORT, EVERY_S = 5_000_000, 2_000_000, 20_000, 5098, 5
# The quote asset of each venue's markets.
VENUES = {"binance": "USDT", "kraken": "USD", "coinbase": "USD"}


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise LookupError(f"expected VmRSS of process {pid}, found none")


def rows_seen(address: str) -> int:
    text = requests.get(f"http://{address}/metrics", timeout=10).text
    lines = [line for line in text.splitlines() if line.startswith("monitor_rows_total")]
    return int(sum(float(line.split()[-1]) for line in lines))


def main() -> None:
    run = [sys.executable, "-m", "monitor.cli"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        exchange = subprocess.Popen(
            [*run, "simulate", *VENUES, "--rate", str(RATE)], stdout=subprocess.PIPE, text=True
        )
        assert exchange.stdout is not None
        endpoints = []
        for _ in VENUES:
            venue, ws, http = exchange.stdout.readline().split()
            endpoints += ["--endpoint", f"{venue}={ws},{http}"]
        sources = [
            f"{venue}:{base}-{quote}"
            for venue, quote in VENUES.items()
            for base in ("BTC", "ETH", "SOL", "XRP", "DOGE")
        ]
        where = ["--recordings", name]
        page = subprocess.Popen(
            [*run, "serve", *sources, *endpoints, "--port", str(PORT), *where],
            stdout=subprocess.DEVNULL,
        )
        try:
            while (held := locks.holder(folder)) is None:
                time.sleep(0.1)
            pids = {"collector": held.pid, "page": page.pid}
            warm: dict[str, float] = {}
            while (rows := rows_seen(held.address)) < ROWS:
                now = {who: resident_mb(pid) for who, pid in pids.items()}
                if rows >= WARM_ROWS and not warm:
                    warm = now
                told = ", ".join(f"{who} {mb:.0f} MB" for who, mb in now.items())
                print(f"{rows:9,} rows: {told}", flush=True)
                time.sleep(EVERY_S)
            for who, pid in pids.items():
                grown = resident_mb(pid) / warm[who] * 100 - 100
                print(f"{who}: {grown:+.1f} % since {WARM_ROWS:,} rows")
        finally:
            for process in (page, exchange):
                process.terminate()
                process.wait()


if __name__ == "__main__":
    main()
