"""Running the program: deadlines, waiting, collectors and simulators as processes."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pytest

from monitor.processes import locks

ROOT = Path(__file__).resolve().parents[2]


DEADLINE_S = 90.0


T = TypeVar("T")


def missing(what: str) -> None:
    """Skip for want of `what`, but fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"expected {what}, found none")
    pytest.skip(f"needs {what}")


def until(probe: Callable[[], T | None], what: str, deadline_s: float = DEADLINE_S) -> T:
    """Ask `probe` again and again until it gives something."""
    end_s = time.monotonic() + deadline_s
    while time.monotonic() < end_s:
        found = probe()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"expected {what} within {deadline_s:g} s, found none")


def collector_of(folder: Path) -> locks.Held:
    return until(lambda: locks.holder(folder), f"a collector on {folder}")


def simulator_urls(process: subprocess.Popen[str]) -> str:
    """Return the addresses of a simulator's first venue as --endpoint takes them."""
    assert process.stdout is not None
    venue, ws, http = process.stdout.readline().split()
    return f"{venue}={ws},{http}"


def with_ns(rows: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return rows whose times are ns since 1970, which Python's own times do not keep."""
    for name in ("ts_recv", "ts_event", "ts_sent"):
        at = rows.column_names.index(name)
        rows = rows.set_column(at, name, rows[name].cast("int64"))
    found: list[dict[str, Any]] = rows.to_pylist()
    return found
