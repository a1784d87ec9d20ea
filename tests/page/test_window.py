"""The part of a plot's time that is in view: what lies in it, and nothing of before."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.page.views.window import SECOND_NS, Window

START_NS = 1_700_000_000 * SECOND_NS
VALUES = st.one_of(st.floats(-1e9, 1e9), st.just(float("nan")))
ROWS = st.lists(st.tuples(st.integers(0, 200 * SECOND_NS), VALUES), max_size=60)


@given(st.lists(ROWS, max_size=6), st.integers(1, 100))
def test_the_ends_are_those_of_the_seconds_in_view(
    batches: list[list[tuple[int, float]]], span_s: int
) -> None:
    window = Window()
    for batch in batches:
        times = np.array([START_NS + at for at, _ in batch], np.int64)
        window.add(times, np.array([value for _, value in batch], float))
    known = [
        (at // SECOND_NS, value) for rows in batches for at, value in rows if not np.isnan(value)
    ]
    ends = window.ends(span_s)
    if not known:
        assert ends is None
        return
    newest = max(second for second, _ in known)
    seen = [value for second, value in known if second >= newest - span_s]
    assert ends == (START_NS // SECOND_NS + newest, min(seen), max(seen))
    window.clear()
    assert window.ends(span_s) is None
