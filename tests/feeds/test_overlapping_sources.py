"""Sources with the same instruments in different ways: whoever adds one hears what is left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.running import DEADLINE_S, collector_of, simulator_urls

from monitor.processes import collector_client, locks

Run = Callable[..., Any]
POLLED = {"mode": "rest", "interval_s": 5.0}


def added(held: locks.Held, *sources: dict[str, Any]) -> str:
    wanted = {"action": "add", "sources": list(sources)}
    answer = collector_client.request(held, "POST", "/sources", wanted, DEADLINE_S)
    assert answer.status_code == 200, answer.text
    note: str = answer.json()["note"]
    return note


def left_out(found: str, other: str, own: str) -> str:
    return (
        f"expected each instrument in one source, found {found} in {other} and in {own}, which have"
        f" different modes: left out of {own}"
    )


def test_the_answer_to_a_source_that_overlaps_another_says_what_is_left_out(
    tmp_path: Path, background: Run
) -> None:
    urls = simulator_urls(background("simulate", "binance", "--rate", "100"))
    background("record", "binance:BTC-USDT+trade", "--endpoint", urls)
    held = collector_of(tmp_path / "recordings")
    assert added(held, {"source": "binance:ETH-USDT+trade"}) == ""
    # A pattern yields to what is named, whoever was there first.
    assert added(held, {"source": "binance:BTC-*", **POLLED}) == left_out(
        "BTCUSDT", "BTC-USDT", "BTC-*"
    )
    assert added(held, {"source": "binance:BTC-USDC"}) == left_out("BTCUSDC", "BTC-USDC", "BTC-*")
    # Two that come together.
    both = ({"source": "binance:SOL-USDT"}, {"source": "binance:SOL-*", **POLLED})
    assert added(held, *both) == left_out("SOLUSDT", "SOL-USDT", "SOL-*")
