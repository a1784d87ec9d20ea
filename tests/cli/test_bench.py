"""The bench: what it measures is done by all alike, and a peer that is missing is said to be."""

from __future__ import annotations

import json

from monitor.cli import bench
from monitor.rows.batches import column


def test_monitor_and_its_peers_find_the_same_ticks() -> None:
    payloads = bench.messages(500)
    ticks = [bench.tick(json.loads(payload)) for payload in payloads]
    bids = [each.bid for each in ticks if isinstance(each, bench.QuoteTick)]
    prices = [each.price for each in ticks if isinstance(each, bench.TradeTick)]
    batches = bench.decoded(bench.framed(payloads))
    found = {
        kind: [value for batch in batches if kind in batch for value in column(batch[kind], name)]
        for kind, name in (("quote", "bid"), ("trade", "price"))
    }
    assert found == {"quote": bids, "trade": prices}


def test_each_line_has_a_figure_or_says_that_the_peer_is_missing() -> None:
    lines = bench.measure(count=1_000)
    assert [line.who for line in lines if line.who.startswith("json")]
    for line in lines:
        assert (line.per_s is None and line.ratio is None) or (line.per_s or 0) > 0
