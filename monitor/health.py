"""Health and metrics: what the rows say of every source, for programs that watch this one."""

from __future__ import annotations

import threading
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from monitor.batches import Batch, updates

FAILED, DEGRADED = {"failed"}, {"stale", "polling", "initialising"}


class Health:
    """A sink that keeps the last state of each source; any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sources: dict[tuple[str, str], dict[str, Any]] = {}
        self._now_ns = 0
        self._registry = CollectorRegistry()
        labels = ["venue", "symbol"]
        self._rows = Counter("monitor_rows", "Rows seen", ["kind"], registry=self._registry)
        self._quality = Counter(
            "monitor_quality_events", "Status rows", ["kind"], registry=self._registry
        )
        self._age = Gauge(
            "monitor_age_seconds", "Since the last row", labels, registry=self._registry
        )
        self._lag = Gauge("monitor_recorder_lag_ms", "Recorder lag", registry=self._registry)
        self._unrecorded = Gauge(
            "monitor_unrecorded_rows", "Rows the recorder lost", registry=self._registry
        )

    def __call__(self, batch: Batch) -> None:
        with self._lock:
            for kind, rows in batch.kinds.items():
                self._rows.labels(kind).inc(rows.num_rows)
            if "signal" not in batch:
                self._now_ns = max(self._now_ns, batch.now_ns or 0)
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
        for source in sources:
            del source["last_ns"]
        states = {source["state"] for source in sources}
        worst = "ok"
        if states & DEGRADED:
            worst = "degraded"
        if states & FAILED or state == "failed" or unrecorded_rows:
            worst = "failed"
        recorder = {"state": state, "lag_ms": lag_ms, "unrecorded_rows": unrecorded_rows}
        return {"status": worst, "sources": sources, "recorder": recorder}

    def metrics(self, lag_ms: float, unrecorded_rows: int) -> bytes:
        """Return the metrics in the text format of Prometheus."""
        with self._lock:
            for (venue, symbol), source in self._sources.items():
                age_ms = self._age_ms(source)
                if age_ms is not None:
                    self._age.labels(venue, symbol).set(age_ms / 1e3)
        self._lag.set(lag_ms)
        self._unrecorded.set(unrecorded_rows)
        return generate_latest(self._registry)

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
        return None if last_ns is None else (self._now_ns - last_ns) / 1e6

    def _follow_states(self, rows: pa.RecordBatch) -> None:
        for kind in pc.value_counts(rows["kind"]).to_pylist():
            self._quality.labels(kind["values"]).inc(kind["counts"])
        of_symbols = rows.filter(pc.equal(rows["scope"], "symbol"))
        for row in of_symbols.select(["venue", "symbol", "state", "kind", "detail"]).to_pylist():
            if row["kind"] != "symbol_assumed":
                source = self._source(row["venue"], row["symbol"])
                source["state"], source["error"] = row["state"], row["detail"]
