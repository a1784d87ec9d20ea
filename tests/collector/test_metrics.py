"""What Prometheus reads of rows: its own parser finds the counts, sums and labels."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from support.made_rows import batch_of, row

from monitor.collector.metrics import Metrics
from monitor.graph.pipeline import Count
from monitor.rows.batches import SNAPSHOT

MS = 1_000_000
NOW_NS = 1_700_000_000_000_000_000
LABELS = ("node", "what", "venue", "symbol", "channel", "kind", "le")
SYMBOL = 'a"b\\c\nd'


def samples(text: bytes) -> dict[tuple[str, ...], float]:
    """Return every sample by its name and the values of its labels."""
    return {
        (sample.name, *(sample.labels[name] for name in LABELS if name in sample.labels)): (
            sample.value
        )
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_latencies_stand_in_the_buckets_that_they_belong_to() -> None:
    metrics, rows = Metrics(), []
    for number, taken_ms in enumerate((-3, 1.5, 4, 60, 20_000)):
        made = row("quote", number, NOW_NS) | {"venue": "v", "symbol": SYMBOL}
        rows.append(("quote", made | {"ts_event": NOW_NS - int(taken_ms * MS), "ts_sent": None}))
    # By the time it was sent; a snapshot's age says nothing; one without a time is left out.
    sent = row("trade", 5, NOW_NS) | {"venue": "v", "symbol": SYMBOL, "ts_event": None}
    rows.append(("trade", sent | {"ts_sent": NOW_NS - 7 * MS}))
    rows.append(("trade", sent | {"ord": 6, "ts_sent": NOW_NS - 7 * MS, "flags": SNAPSHOT}))
    rows.append(("trade", sent | {"ord": 7, "ts_sent": None}))
    for at in range(0, len(rows), 2):
        metrics(batch_of(rows[at : at + 2]))
    found = samples(metrics.text({}, {}, {}))
    name = "monitor_latency_seconds"
    below = {
        end: found[f"{name}_bucket", "v", SYMBOL, "quote", end]
        for end in ("0.001", "0.002", "0.005", "0.05", "0.1", "10.0", "+Inf")
    }
    assert list(below.values()) == [1, 2, 3, 3, 4, 4, 5]
    assert found[f"{name}_count", "v", SYMBOL, "quote"] == 5
    assert abs(found[f"{name}_sum", "v", SYMBOL, "quote"] - 20.0625) < 1e-9
    assert found[f"{name}_count", "v", SYMBOL, "trade"] == 1
    assert abs(found[f"{name}_sum", "v", SYMBOL, "trade"] - 0.007) < 1e-9
    assert found["monitor_rows_total", "trade"] == 3


def test_sources_losses_and_the_program_itself_are_counted() -> None:
    metrics = Metrics()
    stat = row("stat", 0, NOW_NS) | {"venue": "v", "symbol": "S", "channel": "book"}
    counts = {"rows": 10, "bytes": 2_000, "gaps": 1, "duplicates": 2, "late": None}
    status = row("status", 2, NOW_NS) | {"venue": "v", "symbol": None, "scope": "connection"}
    lost = row("status", 3, NOW_NS) | {"venue": "v", "symbol": None, "scope": "feed", "count": 70}
    metrics(
        batch_of(
            [
                ("stat", stat | counts),
                ("stat", stat | counts | {"ord": 1, "gaps": 3}),
                ("status", status | {"kind": "disconnected"}),
                ("status", lost | {"kind": "overflow"}),
                ("status", status | {"ord": 4, "kind": "redundant", "count": 30}),
                ("status", status | {"ord": 5, "kind": "redundant", "count": 12}),
            ]
        )
    )
    gauges = {"recorder_lag_ms": 12.5, "unrecorded_rows": 4, "followers": 2}
    found = samples(metrics.text({("v", "S"): 1500.0}, gauges, {"recorder": Count(9, 0, 1)}))
    source = ("v", "S", "book")
    assert found["monitor_source_rows_total", *source] == 20
    assert found["monitor_source_bytes_total", *source] == 4_000
    assert found["monitor_source_gaps_total", *source] == 4
    assert found["monitor_source_duplicates_total", *source] == 4
    assert found["monitor_source_late_total", *source] == 0
    assert found["monitor_disconnects_total", "v"] == 1
    assert found["monitor_redundant_messages_total", "v"] == 42
    assert found["monitor_dropped_rows_total",] == 70
    assert found["monitor_quality_events_total", "overflow"] == 1
    assert found["monitor_age_seconds", "v", "S"] == 1.5
    assert found["monitor_recorder_lag_ms",] == 12.5
    assert found["monitor_unrecorded_rows",] == 4
    assert found["monitor_followers",] == 2
    assert found["monitor_node_batches", "recorder", "errors"] == 1
