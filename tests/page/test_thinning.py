"""What is left of rows that come too fast: few of them, and all that stood out."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monitor.page.views.thinning import BUCKET_NS, FEW, thin, thin_dots

TELLING = 2
VALUES = st.one_of(st.floats(-1e9, 1e9), st.just(float("nan")))


@st.composite
def fast_rows(draw: st.DrawFn) -> dict[str, np.ndarray]:
    count = draw(st.integers(0, 400))
    steps = draw(arrays(np.int64, count, elements=st.integers(0, BUCKET_NS // 10)))
    names = [f"value {at}" for at in range(TELLING)]
    return {
        "ts_recv": np.cumsum(steps),
        "row": np.arange(count),
        **{name: draw(arrays(np.float64, count, elements=VALUES)) for name in names},
    }


@given(fast_rows())
def test_of_fast_rows_the_ends_the_extremes_and_the_breaks_are_left(
    rows: dict[str, np.ndarray],
) -> None:
    telling = [rows[f"value {at}"] for at in range(TELLING)]
    left = thin(rows, telling)
    kept = left["row"].tolist()
    assert kept == sorted(set(kept))
    for name, column in rows.items():
        assert np.array_equal(left[name], column[kept], equal_nan=column.dtype.kind == "f")
    if not len(rows["row"]):
        return
    assert {0, len(rows["row"]) - 1} <= set(kept)
    for values in telling:
        if np.isfinite(values).any():
            assert np.nanmin(values[kept]) == np.nanmin(values)
            assert np.nanmax(values[kept]) == np.nanmax(values)
        assert np.isnan(values[kept]).any() == np.isnan(values).any()


@given(fast_rows())
def test_a_tenth_of_a_second_is_drawn_by_few_rows(rows: dict[str, np.ndarray]) -> None:
    telling = [rows[f"value {at}"] for at in range(TELLING)]
    times = thin(rows, telling)["ts_recv"]
    span_ns = int(times[-1] - times[0]) if len(times) else 0
    # First and last; lowest, highest and the first without a value, of each that is told.
    at_most = max(FEW, 2 + 3 * TELLING)
    assert len(times) <= at_most * max(1, round(span_ns / BUCKET_NS))


def test_rows_that_come_slowly_are_all_left() -> None:
    times = np.arange(1_000) * BUCKET_NS // FEW
    rows = {"ts_recv": times, "price": np.sin(times)}
    assert thin(rows, [rows["price"]]) is rows


@given(fast_rows(), st.integers(1, 10))
def test_of_fast_dots_the_extremes_are_left_and_few_of_each_bucket(
    rows: dict[str, np.ndarray], tenths: int
) -> None:
    bucket_ns = tenths * BUCKET_NS
    values = [
        sided for at in range(TELLING) for sided in (rows[f"value {at}"], -rows[f"value {at}"])
    ]
    left = thin_dots(rows, values, bucket_ns)
    kept = left["row"].tolist()
    assert kept == sorted(set(kept))
    for name, column in rows.items():
        assert np.array_equal(left[name], column[kept], equal_nan=column.dtype.kind == "f")
    for of_rows in values:
        if np.isfinite(of_rows).any():
            assert np.nanmin(of_rows[kept]) == np.nanmin(of_rows)
    times = rows["ts_recv"]
    span_ns = int(times[-1] - times[0]) if len(times) else 0
    assert len(kept) <= len(values) * max(1, round(span_ns / bucket_ns))
