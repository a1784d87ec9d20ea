"""Latency of each stage inside this program, over the last minutes."""

from __future__ import annotations

import threading

import numpy as np

from monitor.rows import MINUTE_NS
from monitor.state.rings import Columns, Ring

# Five minutes of one a tenth of a second.
STAGE_ROWS = 3_000


class Stage:
    """The latencies of one stage; any thread may add and read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ring = Ring(STAGE_ROWS)

    def add(self, at_ns: int, took_ms: float) -> None:
        """Add a latency that ended at `at_ns`, in ns since 1970."""
        with self._lock:
            self._ring.extend({"ts_recv": np.array([at_ns]), "ms": np.array([took_ms])})

    def since(self, cursor: int) -> tuple[int, Columns]:
        """Return the next cursor, and columns `ts_recv` and `ms` from `cursor` on."""
        with self._lock:
            return self._ring.written, self._ring.since(cursor)

    def last_minute(self) -> Columns:
        """Return the columns of the minute before the last one added."""
        rows = self.since(0)[1]
        if not rows:
            return {"ts_recv": np.empty(0, np.int64), "ms": np.empty(0)}
        recent = rows["ts_recv"] > rows["ts_recv"][-1] - MINUTE_NS
        return {name: values[recent] for name, values in rows.items()}
