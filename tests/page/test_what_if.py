"""The strategy with a viewer's own parameters: what the hook itself finds, and sums by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from monitor.hooks.builtin.cross_venue import Hook
from monitor.hub.hub import Hub
from monitor.page.views.what_if import Parameters, WhatIf
from monitor.rows.batches import SCHEMAS, Batch

MS = 1_000_000
SYMBOL = "BTC-USD"
LEGS = [("kraken", SYMBOL), ("coinbase", SYMBOL), ("binance", SYMBOL)]
QUOTES = st.lists(
    st.tuples(st.sampled_from(LEGS), st.integers(990, 1010), st.integers(1, 1_500)),
    min_size=1,
    max_size=60,
)


def batch(first: int, quotes: list[tuple[tuple[str, str], int, int]], at_ms: list[int]) -> Batch:
    made = [
        {
            "ord": first + place,
            "ts_recv": at_ms[place] * MS,
            "venue": venue,
            "symbol": symbol,
            "conn": 1,
            "flags": 0,
            "bid": bid / 10,
            "ask": (bid + 1) / 10,
            "origin": "native",
        }
        for place, ((venue, symbol), bid, _) in enumerate(quotes)
    ]
    return Batch({"quote": pa.RecordBatch.from_pylist(made, schema=SCHEMAS["quote"])})


@given(QUOTES, st.integers(1, 10))
def test_it_finds_what_the_hook_finds_wherever_it_looks(
    quotes: list[tuple[tuple[str, str], int, int]], piece: int
) -> None:
    at_ms = np.cumsum([1_000, *(wait for _, _, wait in quotes)])[1:].tolist()
    hook, hub = Hook(1.0, 1_000.0, "recorded"), Hub()
    what_if = WhatIf(Parameters(1.0, 1_000.0), {})
    state, expected, found = hook.start(), [], []
    for start in range(0, len(quotes), piece):
        part = batch(start, quotes[start : start + piece], at_ms[start : start + piece])
        hub(part)
        state, signals = hook.step(state, part)
        if signals is not None:
            expected += zip(
                (at.value for at in signals["ts_recv"]),
                signals["text"].to_pylist(),
                signals["value"].to_pylist(),
                strict=True,
            )
        new = what_if.take(hub, LEGS)
        if new is not None:
            found += zip(
                new["time"].tolist(), new["text"].tolist(), new["bps"].tolist(), strict=True
            )
    assert found == expected


def test_fees_and_sizes_are_reckoned_and_it_says_that_it_is_hypothetical() -> None:
    hub, what_if = Hub(), WhatIf(Parameters(0.0, 1_000.0, fee_bps=5.0, size=2.0), {})
    # Kraken's bid of 101 above Coinbase's ask of 100: 100 bps, less 5 on each side, of 2 at 100.
    hub(batch(0, [(LEGS[1], 999, 0), (LEGS[0], 1_010, 0)], [1, 2]))
    what_if.take(hub, LEGS)
    told = what_if.html(SYMBOL)
    assert "HYPOTHETICAL" in told and "no orders" in told
    assert "<b>1</b> chances" in told and "+1.80 USD" in told and "+90.00 bps" in told
    what_if.parameters = what_if.parameters._replace(fee_bps=50.0)
    assert "<b>0</b> were worth more than the fees" in what_if.html(SYMBOL)
    assert what_if.turn == 0
    what_if.parameters = what_if.parameters._replace(threshold_bps=200.0)
    assert what_if.turn == 1
    what_if.begin()
    what_if.take(hub, LEGS)
    assert "no bid stood 200 bps above" in what_if.html(SYMBOL)


def test_what_is_taken_for_another_asset_is_a_leg_too() -> None:
    hub, what_if = Hub(), WhatIf(Parameters(0.0, 1_000.0), {"USDT": "USD"})
    tether = ("binance", "BTC-USDT")
    hub(batch(0, [(LEGS[1], 999, 0), (tether, 1_010, 0)], [1, 2]))
    new = what_if.take(hub, [LEGS[1], tether])
    assert new is not None
    assert (new["bid"].tolist(), new["bps"].tolist()) == ([101.0], [100.0])
    assert "USDT as USD" in what_if.html(SYMBOL)
