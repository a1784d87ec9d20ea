"""The graph: what flows through it, and what a failing part may not do to its neighbours."""

from __future__ import annotations

import gc
import logging
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.onsets import expected_onsets, numbered, onsets, quotes

from monitor.graph.pipeline import Graph
from monitor.hooks.builtin.cross_venue import Hook
from monitor.rows.batches import Batch, concat, from_wire, to_wire


def test_a_failing_sink_leaves_the_others_running(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Batch] = []

    def fail(batch: Batch) -> None:
        raise ZeroDivisionError

    graph = Graph({"bad": fail, "good": seen.append}, [])
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            graph.emit(quotes((0, "a", 1.0, 2.0)))
    assert len(seen) == 3
    assert (graph.counters()["bad"].errors, graph.counters()["good"].errors) == (3, 0)
    assert len(caplog.records) == 1


def test_signals_reach_the_same_sinks() -> None:
    seen: list[Batch] = []
    graph = Graph({"sink": seen.append}, [Hook(1.0, 1000.0, "recorded")])
    graph.emit(quotes((0, "a", 101.0, 102.0), (1, "b", 99.0, 100.0)))
    (signal,) = [batch["signal"].to_pylist()[0] for batch in seen if "signal" in batch]
    # Bid 101 over ask 100 is 100 basis points of the ask.
    assert (signal["value"], signal["cause_ord"], signal["venue"]) == (pytest.approx(100.0), 1, "a")


def test_a_stale_leg_gives_no_signal() -> None:
    hook = Hook(1.0, 1.0, "recorded")
    _, signals = hook.step(hook.start(), quotes((0, "a", 101.0, 102.0), (5, "b", 99.0, 100.0)))
    assert signals is None


ROW = st.tuples(
    st.sampled_from("abc"),
    st.integers(95, 105),
    st.integers(1, 3),
    st.integers(1, 4),
    st.sampled_from(("BTC-USD", "ETH-USD", "SOL-USD")),
)


@given(st.lists(ROW, min_size=1, max_size=60), st.lists(st.integers(1, 5), min_size=1))
def test_signals_do_not_depend_on_where_batches_are_cut(
    made: list[tuple[str, int, int, int, str]], cuts: list[int]
) -> None:
    rows = numbered(made)
    assert onsets(Hook(1.0, 6.0, "recorded"), rows, cuts) == expected_onsets(rows, 6)


def test_a_batch_survives_the_wire() -> None:
    batch = concat([quotes((0, "a", 1.0, 2.0)), quotes((1, "b", 3.0, 4.0))])
    assert from_wire(to_wire(batch)).kinds == batch.kinds
    assert batch.ords == (0, 1)


def test_a_closed_graph_gives_nothing_on_and_lets_go_of_its_sinks() -> None:
    class Sink:
        def __call__(self, batch: Batch) -> None:
            self.taken = batch

    sink = Sink()
    graph, left = Graph({"sink": sink}, []), weakref.ref(sink)
    graph.close()
    graph.emit(Batch({}))
    assert not hasattr(sink, "taken")
    del graph, sink
    gc.collect()
    assert left() is None
