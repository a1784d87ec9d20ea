"""What the collector costs at 20,000 messages a second over 200 instruments of 4 venues.

Run: .venv/bin/python tests/bench/bench_collector.py
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from bench_memory import rows_seen
from bench_page import share
from busy import RATE, busy_collector

OF_EACH, WARM_S = 50, 15


def main() -> None:
    with tempfile.TemporaryDirectory() as name, busy_collector(Path(name), OF_EACH) as held:
        time.sleep(WARM_S)
        before, began_s = rows_seen(held.address), time.monotonic()
        used = share(held.pid)
        rows = (rows_seen(held.address) - before) / (time.monotonic() - began_s)
    print(f"{RATE:,} messages and {rows:,.0f} rows a second: {used:.1f} % of a core")


if __name__ == "__main__":
    main()
