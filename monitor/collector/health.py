"""Health: the state of every source, folded from rows, for `/health`."""

from __future__ import annotations

import threading
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from monitor.rows import Batch, updates
from monitor.state import GONE, SILENT_NS, UP, Present

FAILED, DEGRADED = {"failed"}, {"stale", "polling", "initialising"}


class Health:
    """A sink that keeps the last state of each source; any thread may read it.

    Ages are measured on this machine's clock. After 2 s without a row (a `clock` row is due
    every 100 ms) no source counts as connected, and health has failed.
    """

    def __init__(self, present: Present) -> None:
        self._lock = threading.Lock()
        self._present = present
        self._sources: dict[tuple[str, str], dict[str, Any]] = {}
        self._now_ns = 0

    def __call__(self, batch: Batch) -> None:
        with self._lock:
            if "signal" not in batch:
                self._now_ns = max(self._now_ns, batch.now_ns or 0)
                self._present.arrived()
            for instrument, count, last_ns in updates(batch):
                source = self._source(*instrument)
                source["updates"] += count
                source["last_ns"] = max(source["last_ns"] or 0, last_ns)
            if "status" in batch:
                self._follow_states(batch["status"])

    def report(self, state: str, lag_ms: float, unrecorded_rows: int) -> dict[str, Any]:
        """Return what `/health` answers; `state` is the recorder's."""
        with self._lock:
            sources = [
                {**source, "age_ms": self._age_ms(source)}
                for source in map(dict, self._sources.values())
            ]
            silence_ns = self._present.silence_ns(self._now_ns)
        is_silent = silence_ns > SILENT_NS
        for source in sources:
            del source["last_ns"]
            if is_silent and source["state"] in UP:
                source |= {"state": "stale", "error": f"no row for {silence_ns / 1e9:.1f} s"}
        states = {source["state"] for source in sources}
        worst = "ok"
        # Before the first row no source is known.
        if states & DEGRADED or not self._now_ns:
            worst = "degraded"
        if is_silent or states & FAILED or state == "failed" or unrecorded_rows:
            worst = "failed"
        recorder = {"state": state, "lag_ms": lag_ms, "unrecorded_rows": unrecorded_rows}
        return {"status": worst, "sources": sources, "recorder": recorder}

    def ages_ms(self) -> dict[tuple[str, str], float]:
        """Return the age of the last row of each source that has rows."""
        with self._lock:
            ages = {instrument: self._age_ms(one) for instrument, one in self._sources.items()}
        return {instrument: age_ms for instrument, age_ms in ages.items() if age_ms is not None}

    def _source(self, venue: str, symbol: str) -> dict[str, Any]:
        return self._sources.setdefault(
            (venue, symbol),
            {
                "venue": venue,
                "symbol": symbol,
                "state": "initialising",
                "updates": 0,
                "error": None,
                "last_ns": None,
            },
        )

    def _age_ms(self, source: dict[str, Any]) -> float | None:
        last_ns = source["last_ns"]
        return (
            None if last_ns is None else max(0, self._present.at_ns(self._now_ns) - last_ns) / 1e6
        )

    def _follow_states(self, rows: pa.RecordBatch) -> None:
        of_symbols = rows.filter(pc.equal(rows["scope"], "symbol"))
        for row in of_symbols.select(["venue", "symbol", "state", "kind", "detail"]).to_pylist():
            if row["state"] == "stopped" and row["detail"] in GONE:
                self._sources.pop((row["venue"], row["symbol"]), None)
            elif row["kind"] != "symbol_assumed":
                source = self._source(row["venue"], row["symbol"])
                source["state"], source["error"] = row["state"], row["detail"]
