"""A collector whose machine's wall clock is set back by an hour, and forward by a day."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from support.running import collector_of, simulator_urls, until

SOURCE = Path(__file__).parents[1] / "support" / "clock" / "step.c"
HOUR_S, DAY_S = 3_600, 86_400
# Three seconds are watched behind each step: a collector that stands still has none of these rows.
WATCHED = 30


def test_steps_of_the_wall_clock_are_told_and_nothing_else_is(
    tmp_path: Path, background: Callable[..., Any], monitor: Callable[..., Any]
) -> None:
    library, step = tmp_path / "step.so", tmp_path / "step"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    step.write_text("0")
    endpoint = simulator_urls(background("simulate", "binance"))
    folder = tmp_path / "recordings"
    command = [sys.executable, "-m", "monitor.cli", "record", "binance:BTC-USDT"]
    process = subprocess.Popen(
        [*command, "--endpoint", endpoint],
        cwd=tmp_path,
        env={**os.environ, "LD_PRELOAD": str(library), "STEP_FILE": str(step)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        held = collector_of(folder)
        health: list[dict[str, Any]] = []

        def clocks() -> int:
            answer = requests.get(f"http://{held.address}/health", timeout=30)
            health.append(answer.json())
            query = "SELECT count(*) FROM clock"
            done = monitor("sql", query, "--format", "csv")
            assert done.returncode == 0, done.stderr
            return int(done.stdout.split()[1])

        until(lambda: clocks() > WATCHED, "rows")
        for seconds in (-HOUR_S, 0, DAY_S):
            before = clocks()
            health.clear()
            step.write_text(str(seconds))
            until(lambda before=before: clocks() > before + WATCHED, "rows after a step")
            assert {(h["status"], h["sources"][0]["state"]) for h in health} == {
                ("ok", "connected")
            }
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err

    def rows(query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(monitor("sql", query, "--format", "json").stdout)
        return found

    told = rows("SELECT kind, detail, count FROM status WHERE scope <> 'symbol' ORDER BY ord")
    jumps = [(row["detail"], row["count"]) for row in told if row["kind"] == "clock_jump"]
    for (detail, count), seconds in zip(jumps, (-HOUR_S, HOUR_S, DAY_S), strict=True):
        # The clock itself may be a little off when it is looked at.
        assert abs(count - abs(seconds) * 1000) < 500
        assert f"stepped by {'-' if seconds < 0 else ''}" in detail
    # One connection from first to last, and no alarm.
    kinds = [row["kind"] for row in told]
    assert kinds.count("connected") == 1
    assert not {"disconnected", "half_open", "no_data", "replaced", "silent"} & set(kinds)
    # Ten clock rows a second, one or two more while it runs slower, and times in order.
    crowded = "SELECT epoch_ns(ts_recv) // 1000000000 AS s, count(*) AS n FROM clock GROUP BY s"
    assert max(row["n"] for row in rows(crowded)) <= 15
    (back,) = rows(
        "SELECT count(*) AS n FROM (SELECT ts_recv < lag(ts_recv) OVER (ORDER BY ord) AS b"
        " FROM clock) WHERE b"
    )
    assert back["n"] == 0
