"""Books folded many messages at once are those that a dictionary gives message by message."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.made_recording import MESSAGE, Level, Made

from monitor.rows.batches import DUPLICATE, MAYBE_BAD_BOOK
from monitor.verify.book_checks import Checks, Instruments
from monitor.verify.book_fold import ASK, BID, Columns, Fold

Sides = dict[str, dict[float, float]]


def said(messages: list[tuple[str, str, list[Level]]]) -> tuple[Made, list[dict[str, Sides]]]:
    """Make the rows of messages, and the books that stand behind each."""
    made, books, states = Made(), {}, []
    for what, symbol, levels in messages:
        made.symbol = symbol
        flags = {"again": DUPLICATE, "bad": MAYBE_BAD_BOOK}.get(what, 0)
        if what == "whole":
            made.whole(0, levels)
            books[symbol] = {"bid": {}, "ask": {}}
        else:
            made.change(0, levels, flags)
        if what == "bad":
            books.pop(symbol, None)
        elif what != "again" and symbol in books:
            for side, price, size in levels:
                books[symbol][side][price] = size
        states.append({name: _standing(sides) for name, sides in books.items()})
    return made, states


def _standing(sides: Sides) -> Sides:
    return {side: {p: s for p, s in levels.items() if s} for side, levels in sides.items()}


def columns(made: Made, instruments: Instruments) -> Columns:
    """Return the rows as a fold takes them, by way of the part that reads batches."""
    checks = Checks(instruments)
    checks.take(made.batch(), [])
    return checks._books[-1]


def kept(fold: Fold, instruments: Instruments) -> dict[str, Sides]:
    rows = fold.standing()
    books: dict[str, Sides] = {}
    for code, side, price, size in zip(
        *(rows[name].tolist() for name in ("instrument", "side", "price", "size")), strict=True
    ):
        book = books.setdefault(instruments.names[code][1], {"bid": {}, "ask": {}})
        if side:
            book["bid" if side == BID else "ask"][price] = size
    return books


@given(messages=st.lists(MESSAGE, min_size=1, max_size=30), data=st.data())
def test_a_fold_stands_where_a_dictionary_does(messages: list[Any], data: Any) -> None:
    made, states = said(messages)
    instruments = Instruments()
    rows = columns(made, instruments)
    # Room for a question between any two rows.
    rows["ord"] = rows["ord"] * 2
    ends = np.flatnonzero(rows["flags"] & 128)
    cut = int(ends[data.draw(st.integers(0, len(ends) - 1))]) + 1
    first = Fold({name: values[:cut] for name, values in rows.items()})
    rest = {name: values[cut:] for name, values in rows.items()}
    folds = [(first, range(cut)), (Fold(rest, first.standing()), range(cut, len(rows["ord"])))]
    assert kept(folds[1][0], instruments) == states[-1]
    for fold, rows_of_it in folds:
        best = {side: fold.best(side) for side in (BID, ASK)}
        counts = {side: fold.counts(side) for side in (BID, ASK)}
        for state, end in zip(states, ends.tolist(), strict=True):
            if end not in rows_of_it:
                continue
            for code, (_, symbol) in enumerate(instruments.names):
                (at,) = fold.at(np.array([code]), np.array([2 * end + 1])).tolist()
                assert (at >= 0) == (symbol in state)
                for side, name, pick in ((BID, "bid", max), (ASK, "ask", min)):
                    if at >= 0:
                        worst = -np.inf if side == BID else np.inf
                        levels = state[symbol][name]
                        assert best[side][at] == pick(levels, default=worst)
                        assert counts[side][at] == len(levels)
                        for price in range(1, 7):
                            (life,) = fold.find(*map(np.array, ([at], [side], [float(price)])))
                            size = fold.lives["size"][life] if life >= 0 else None
                            assert size == levels.get(float(price))
