"""A hook of a user's own in a live graph: no row waits for it, and it tells all it would tell."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.collectors import health
from support.made_rows import MS, batch_of, row
from support.running import DEADLINE_S, collector_of, until

from monitor.graph.pipeline import Graph
from monitor.hooks import hook_thread, signals
from monitor.hooks.hook_thread import Apart
from monitor.rows.batches import Batch

STUCK = """import threading

class Hook:
    def start(self):
        return threading.Event()

    def step(self, never, batch):
        never.wait()
        return never, None
"""
START = 1_700_000_000_000_000_000


class Counting:
    """Tells of every trade, once it is let; fails on those of a price of 13."""

    name = "counting"

    def __init__(self) -> None:
        self.may_go = threading.Event()
        self.began = threading.Event()

    def start(self) -> int:
        return 0

    def step(self, count: int, batch: Batch) -> tuple[int, pa.RecordBatch | None]:
        self.began.set()
        self.may_go.wait(DEADLINE_S)
        trades = batch["trade"]
        if 13.0 in trades["price"].to_pylist():
            raise KeyError("thirteen")
        texts = [f"no. {count + n + 1}" for n in range(trades.num_rows)]
        return count + len(texts), signals(trades, "info", texts)


def trade(number: int, price: float = 100.0) -> Batch:
    made: dict[str, Any] = row("trade", number, START + number * MS)
    return batch_of([("trade", made | {"price": price, "conditions": None})])


class Seen:
    """A sink that keeps what it saw."""

    def __init__(self) -> None:
        self.trades = 0
        self.texts: list[str] = []

    def __call__(self, batch: Batch) -> None:
        self.trades += batch["trade"].num_rows
        self.texts += batch["signal"]["text"].to_pylist()


def test_rows_go_on_while_a_step_works_and_its_signals_come_behind() -> None:
    hook, seen = Counting(), Seen()
    beside = Apart(hook)
    graph = Graph({"sink": seen}, [beside])
    for number in range(5):
        graph.emit(trade(number))
    assert (seen.trades, seen.texts) == (5, [])
    hook.may_go.set()
    rest = beside.rest(time.monotonic() + DEADLINE_S)
    assert rest is not None
    assert rest["text"].to_pylist() == [f"no. {n + 1}" for n in range(5)]
    assert rest["cause_ord"].to_pylist() == list(range(5))
    beside.close()


def test_failures_count_as_ever() -> None:
    hook, seen = Counting(), Seen()
    hook.may_go.set()
    told: list[tuple[str, str]] = []
    graph = Graph({"sink": seen}, [Apart(hook)], lambda *words: told.append(words))

    def emitted() -> bool:
        graph.emit(trade(seen.trades, 13.0))
        return bool(told)

    until(emitted, "its end")
    assert told == [("counting", "failed 5 times in a minute: KeyError: 'thirteen'")]


def test_a_step_that_does_not_end_ends_its_hook_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hook, seen = Counting(), Seen()
    told: list[tuple[str, str]] = []
    beside = Apart(hook)
    graph = Graph({"sink": seen}, [beside], lambda *words: told.append(words))
    graph.emit(trade(0))
    assert hook.began.wait(DEADLINE_S)
    graph.emit(trade(1))
    monkeypatch.setattr(hook_thread, "STUCK_S", -1.0)
    graph.emit(trade(2))
    ((name, why),) = told
    assert name == "counting"
    assert why.endswith("found one that did not end; it saw 2 batches not, or not to their end")
    graph.emit(trade(3))
    assert (seen.trades, len(told)) == (4, 1)
    hook.may_go.set()
    assert beside.rest(time.monotonic() + DEADLINE_S) is None


def test_what_finds_no_room_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    hook, seen = Counting(), Seen()
    told: list[tuple[str, str]] = []
    graph = Graph({"sink": seen}, [Apart(hook)], lambda *words: told.append(words))
    monkeypatch.setattr(hook_thread, "WAITING_BYTES", 0)
    for number in range(6):
        graph.emit(trade(number))
    why = "TimeoutError: expected steps that keep up, found no room for a batch"
    assert told == [("counting", f"failed 5 times in a minute: {why}")]
    assert seen.trades == 6
    hook.may_go.set()


def test_a_running_collector_goes_on_beside_a_step_that_never_ends(
    tmp_path: Path, background: Callable[..., subprocess.Popen[str]]
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "stuck.py").write_text(STUCK)
    config = tmp_path / "config.toml"
    config.write_text('[hooks]\nfolder = "own"\n')
    with (tmp_path / "stderr").open("w") as stderr:
        running = background("record", "mock:BTC-USD", "--config", config, stderr=stderr)
        held = collector_of(tmp_path / "recordings")
        lines = (tmp_path / "stderr").read_text

        def updates() -> int:
            return sum(source["updates"] for source in health(held.address)["sources"])

        until(lambda: updates() > 3, "rows beside it")
        until(lambda: "hook_disabled: stuck: expected a step of at most 20 s" in lines(), "its end")
        before = updates()
        until(lambda: updates() > before, "rows behind it")
        running.terminate()
        assert running.wait(DEADLINE_S) == 0
