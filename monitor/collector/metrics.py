"""Prometheus metrics, counted from the rows of every source."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import HistogramMetricFamily

from monitor.graph import Count
from monitor.rows import BACKFILL, DUPLICATE, REST, SNAPSHOT, Batch, column

BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
# Snapshots, backfills and repeats say nothing about the line's latency.
UNTIMED = SNAPSHOT | BACKFILL | REST | DUPLICATE
SOURCE = ("venue", "symbol", "channel")
# The counters of `stat` rows.
COUNTED = {
    "rows": "Rows received",
    "bytes": "Bytes received",
    "gaps": "Gaps seen",
    "duplicates": "Messages received again",
    "late": "Messages that came after later ones",
}
GAUGES = {
    "recorder_lag_ms": "How long the oldest rows have waited to be written",
    "recorder_commit_ms": "How long the last transaction took",
    "unrecorded_rows": "Rows that came and were not recorded",
    "followers": "Programs that follow the stream",
}


class Metrics:
    """A sink that counts rows; any thread may read the counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        registry = self._registry = CollectorRegistry()
        self._rows = Counter("monitor_rows", "Rows seen", ["kind"], registry=registry)
        self._quality = Counter(
            "monitor_quality_events", "Status rows", ["kind"], registry=registry
        )
        self._disconnects = Counter(
            "monitor_disconnects", "Lines that were lost", ["venue"], registry=registry
        )
        self._redundant = Counter(
            "monitor_redundant_messages",
            "Messages that the other connection brought first",
            ["venue"],
            registry=registry,
        )
        self._dropped = Counter(
            "monitor_dropped_rows", "Rows that this program dropped itself", registry=registry
        )
        self._counted = {
            name: Counter(f"monitor_source_{name}", told, SOURCE, registry=registry)
            for name, told in COUNTED.items()
        }
        self._age = Gauge(
            "monitor_age_seconds", "Since the last row", SOURCE[:2], registry=registry
        )
        self._gauges = {
            name: Gauge(f"monitor_{name}", told, registry=registry) for name, told in GAUGES.items()
        }
        self._nodes = Gauge(
            "monitor_node_batches",
            "Batches that a node of the graph took, gave out and failed on",
            ["node", "what"],
            registry=registry,
        )
        self._latencies: dict[tuple[str, str, str], npt.NDArray[np.float64]] = {}
        registry.register(_Latencies(self._lock, self._latencies))

    def __call__(self, batch: Batch) -> None:
        with self._lock:
            for kind, rows in batch.kinds.items():
                self._rows.labels(kind).inc(rows.num_rows)
            for kind in ("quote", "trade"):
                if kind in batch:
                    self._time(kind, batch)
            if "stat" in batch:
                self._count(batch["stat"])
            if "status" in batch:
                self._follow(batch["status"])

    def text(
        self,
        ages_ms: Mapping[tuple[str, str], float],
        gauges: Mapping[str, float],
        nodes: Mapping[str, Count],
    ) -> bytes:
        """Return all metrics in the Prometheus text format; `gauges` are some of `GAUGES`."""
        for (venue, symbol), age_ms in ages_ms.items():
            self._age.labels(venue, symbol).set(age_ms / 1e3)
        for name, value in gauges.items():
            self._gauges[name].set(value)
        for node, count in nodes.items():
            for what, number in count._asdict().items():
                self._nodes.labels(node, what).set(number)
        return generate_latest(self._registry)

    def _time(self, kind: str, batch: Batch) -> None:
        """Count latencies into buckets, by instrument; the last two are the rest and the sum."""
        rows = batch[kind]
        codes, instruments = batch.by_instrument(kind)
        event, sent = column(rows, "ts_event"), column(rows, "ts_sent")
        then = np.where(event > 0, event, sent)
        timed = (then > 0) & (codes >= 0) & (column(rows, "flags") & UNTIMED == 0)
        taken_s = (column(rows, "ts_recv")[timed] - then[timed]) / 1e9
        width = len(BUCKETS_S) + 2
        at = codes[timed].astype(np.int64) * width
        counts = np.bincount(
            at + np.searchsorted(BUCKETS_S, taken_s), minlength=len(instruments) * width
        ).astype(np.float64)
        counts += np.bincount(at + width - 1, taken_s, minlength=len(instruments) * width)
        for (venue, symbol), mine in zip(instruments, counts.reshape(-1, width), strict=True):
            if mine.any():
                known = self._latencies.setdefault((venue, symbol, kind), np.zeros(width))
                known += mine

    def _count(self, rows: pa.RecordBatch) -> None:
        for row in rows.select([*SOURCE, *COUNTED]).to_pylist():
            labels = [row[name] or "" for name in SOURCE]
            for name, counter in self._counted.items():
                counter.labels(*labels).inc(row[name] or 0)

    def _follow(self, rows: pa.RecordBatch) -> None:
        for row in rows.select(["venue", "symbol", "scope", "kind", "count"]).to_pylist():
            self._quality.labels(row["kind"]).inc()
            if row["kind"] == "disconnected" and row["scope"] == "connection":
                self._disconnects.labels(row["venue"]).inc()
            elif row["kind"] == "redundant":
                self._redundant.labels(row["venue"]).inc(row["count"] or 0)
            elif row["kind"] == "overflow":
                self._dropped.inc(row["count"] or 0)


class _Latencies:
    """Exports latencies as histograms that are counted per batch."""

    def __init__(
        self, lock: threading.Lock, counts: dict[tuple[str, str, str], npt.NDArray[np.float64]]
    ) -> None:
        self._lock, self._counts = lock, counts

    def collect(self) -> Iterator[HistogramMetricFamily]:
        told = "From the venue's time to receipt; below zero if its clock runs ahead"
        names = ["venue", "symbol", "kind"]
        family: Any = HistogramMetricFamily("monitor_latency_seconds", told, labels=names)
        with self._lock:
            found = {labels: counts.copy() for labels, counts in self._counts.items()}
        ends = [*(f"{end}" for end in BUCKETS_S), "+Inf"]
        for labels, counts in sorted(found.items()):
            below = np.cumsum(counts[:-1]).tolist()
            family.add_metric(labels, list(zip(ends, below, strict=True)), float(counts[-1]))
        yield family
