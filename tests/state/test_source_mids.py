"""The mids of a source, read while quotes arrive, against a count by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.state.source_state import MIDS, SECOND_NS, Followed

# Quotes of one batch, each as its second and its mid; late ones go back by a few seconds.
BATCHES = st.lists(
    st.lists(st.tuples(st.integers(-3, 70), st.integers(1, 9)), min_size=1, max_size=4), max_size=25
)


def by_hand(quotes: list[tuple[int, int]], now: int) -> tuple[float, ...]:
    """Return the last mid before the end of each complete second of the last minute.

    A late quote counts in the newest second before it.
    """
    ends: dict[int, float] = {}
    newest = 0
    for second, mid in quotes:
        newest = max(newest, second)
        ends[newest] = mid
    first = max(now - MIDS, min(ends))
    return tuple(
        ends[max(second for second in ends if second <= wanted)] for wanted in range(first, now)
    )


@given(batches=BATCHES)
def test_mids_read_while_quotes_arrive_are_those_of_complete_seconds(
    batches: list[list[tuple[int, int]]],
) -> None:
    source, quotes, now = Followed(), list[tuple[int, int]](), 100
    for batch in batches:
        made = [(max(now + step, 1), mid) for step, mid in batch]
        made.sort(key=lambda quote: quote[0])
        quotes += made
        now = max(now, made[-1][0])
        times = np.array([second * SECOND_NS for second, _ in made])
        prices = np.array([float(mid) for _, mid in made])
        source.quote(times, prices, prices)
        # The reader's second may be over before the last quote of it arrives.
        assert source.mids((now + 1) * SECOND_NS) == by_hand(quotes, now + 1)
