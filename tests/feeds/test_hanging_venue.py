"""An exchange that hangs while its sources are changed: what goes on, and what the rows say."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from support.running import DEADLINE_S, collector_of, simulator_urls

from monitor.collector.follower import Follower
from monitor.processes import locks
from monitor.rows.batches import Batch

Run = Callable[..., Any]
KEPT, REMOVED = "BTC-USDT", "ETH-USDT"
REMOVAL = ("stopped", "removed on request")
STOP = ("stopped", "stopped on request")
ANEW = ("initialising", None)


class States:
    """The states of the symbols, in the order of the rows."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._states: dict[str, list[tuple[str, str | None]]] = {KEPT: [], REMOVED: []}

    def __call__(self, batch: Batch) -> None:
        with self._news:
            rows = batch["status"].select(["scope", "symbol", "state", "detail", "kind"])
            for row in rows.to_pylist():
                if row["scope"] == "symbol" and row["kind"] != "symbol_assumed":
                    self._states[row["symbol"]].append((row["state"], row["detail"]))
            self._news.notify_all()

    def until(self, symbol: str, state: tuple[str, str | None]) -> list[tuple[str, str | None]]:
        """Wait for a symbol's state; return all that it was in, and forget them."""
        with self._news:
            states = self._states[symbol]
            assert self._news.wait_for(lambda: state in states, DEADLINE_S), (state, states)
            self._states[symbol] = []
            return states


@contextmanager
def following(folder: Path) -> Iterator[States]:
    states = States()
    follower = Follower(lambda: locks.holder(folder), states)
    follower.start()
    yield states
    follower.close()


def test_all_goes_on_while_sources_of_a_hung_exchange_are_changed(
    tmp_path: Path, background: Run
) -> None:
    folder = tmp_path / "recordings"
    exchange = background("simulate", "binance")
    sources = [f"binance:{symbol}" for symbol in (KEPT, REMOVED)]
    background("record", *sources, "--endpoint", simulator_urls(exchange))
    held = collector_of(folder)
    with following(folder) as states, ThreadPoolExecutor() as pool:
        for symbol in (KEPT, REMOVED):
            states.until(symbol, ("connected", None))
        exchange.send_signal(signal.SIGSTOP)
        try:
            removal = pool.submit(_ask, held, "remove", sources[1])
            rows = _rows_meanwhile(held, sources[:1], removal)
            assert len(rows) > 2, "no clock rows came while the removal waited for the exchange"
            removal.result()
            assert states.until(REMOVED, REMOVAL)[-1] == REMOVAL
            assert STOP not in states.until(KEPT, ANEW)
            _ask(held, "stop")
            assert states.until(KEPT, STOP)[-1] == STOP
            _ask(held, "start")
            assert states.until(KEPT, ANEW)[0] == ANEW
        finally:
            exchange.send_signal(signal.SIGCONT)
        assert STOP not in states.until(KEPT, ("connected", None))


def _rows_meanwhile(held: locks.Held, left: list[str], removal: Future[Any]) -> set[int]:
    """Return the counts of rows that are had between the removal and its answer."""
    counts: set[int] = set()
    while not removal.done():
        about = _ask(held)
        if about["sources"] == left and not removal.done():
            counts.add(about["rows"])
    return counts


def _ask(held: locks.Held, action: str = "", *sources: str) -> dict[str, Any]:
    address, headers = f"http://{held.address}/sources", {"Authorization": f"Bearer {held.token}"}
    if not action:
        answer = requests.get(address, headers=headers, timeout=DEADLINE_S)
    else:
        wanted = {"action": action, "sources": [{"source": source} for source in sources]}
        answer = requests.post(address, json=wanted, headers=headers, timeout=DEADLINE_S)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found
