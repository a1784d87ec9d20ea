"""Fold order books from rows, many messages at once.

A row begins a *life* of its level. The level's next row ends it, or the end of the *epoch*: the
time from one clearing row to the next. Every query of a book is a query of its lives.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from monitor.rows import DUPLICATE, KEYFRAME, LAST, LATE, MAYBE_BAD_BOOK, REST

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Columns = dict[str, npt.NDArray[Any]]

CLEARING, BID, ASK = 0, 1, 2
# An `ord` and an instrument, or a `seq` and one, in one sortable number.
_BITS = 44
_NEVER = np.iinfo(np.int64).max
# Columns that every row of `Fold` has; `set_by` is the `ord` of the row that the level is from.
COLUMNS = {
    "ord": np.int64,
    "set_by": np.int64,
    "instrument": np.int64,
    "conn": np.int64,
    "flags": np.int64,
    "side": np.int8,
    "price": np.float64,
    "size": np.float64,
    # For changes of Binance, whose numbers its quotes share; -1 elsewhere.
    "seq": np.int64,
}


class Level(NamedTuple):
    """A level of a side, best first in lists; `set_by` is the `ord` of the row that set it."""

    price: float
    size: float
    set_by: int


class Fold:
    """The books of whole messages, given in `ord` order, and of the levels before them.

    `holes` are the `ord`s right after missing rows: they end every book.
    """

    def __init__(self, rows: Columns, before: Columns | None = None, holes: Ints | None = None):
        if before is not None:
            rows = {name: np.concatenate([before[name], rows[name]]) for name in COLUMNS}
        # A repeat: books, hooks and views skip it, and so does the fold.
        rows = _take(rows, rows["flags"] & (DUPLICATE | LATE) == 0)
        rows = _take(rows, np.argsort(rows["instrument"], kind="stable"))
        self._find_epochs(rows, np.empty(0, np.int64) if holes is None else holes)
        self.rows = rows = _take(rows, rows["ord"] < self.epochs["stop"][rows["epoch"]])
        self._find_messages(rows)
        self._find_lives(rows)

    def _find_epochs(self, rows: Columns, holes: Ints) -> None:
        """Cut the rows at each clearing row; `stop` is the `ord` up to which a book stands."""
        instrument, order = rows["instrument"], rows["ord"]
        cut = rows["side"] == CLEARING
        cleared = cut.copy()
        if len(cut):
            cut[0] = True
        cut[1:] |= instrument[1:] != instrument[:-1]
        rows["epoch"] = np.cumsum(cut) - 1
        starts = np.flatnonzero(cut)
        start = order[starts]
        of = instrument[starts]
        follows = np.append(of[1:] == of[:-1], False)
        following = np.where(follows, np.append(start[1:], 0), _NEVER)
        spoilt = np.where(rows["flags"] & MAYBE_BAD_BOOK != 0, order, _NEVER)
        stop = np.minimum.reduceat(spoilt, starts) if len(starts) else start
        stop = np.where(cleared[starts], stop, -1)
        holes = np.append(holes, _NEVER)
        stop = np.minimum(stop, holes[np.searchsorted(holes, start, "right")])
        self.epochs: Columns = {
            "instrument": of,
            "start": start,
            "first": rows["flags"][starts],
            "conn": rows["conn"][starts],
            "follows": np.append(False, follows[:-1]) if len(of) else follows[:0],
            "has_next": follows,
            "fallen": stop <= following,
            "stop": np.minimum(stop, following),
        }
        # A life that a clearing row ends lasted until then.
        self.epochs["fallen"] &= stop < _NEVER

    def _find_messages(self, rows: Columns) -> None:
        order, epoch = rows["ord"], rows["epoch"]
        ends = rows["flags"] & LAST != 0
        # Earlier levels, and a message that a hole cut off, have no end mark.
        ends[:-1] |= (epoch[1:] != epoch[:-1]) | ((order[:-1] < 0) & (order[1:] >= 0))
        ends[-1:] = True
        rows["message"] = np.cumsum(ends) - ends
        at = np.flatnonzero(ends)
        self.messages: Columns = {"end": at} | {
            name: rows[name][at] for name in ("ord", "instrument", "epoch", "seq", "flags")
        }
        self.keys = (self.messages["instrument"] << _BITS) | (self.messages["ord"] + 1)
        # The message after the last of each epoch.
        self.epochs["behind"] = np.searchsorted(
            self.messages["epoch"], np.arange(len(self.epochs["start"])), "right"
        )

    def _find_lives(self, rows: Columns) -> None:
        """Sort the levels' rows by epoch, side and price, in `ord` order within each level."""
        at = np.flatnonzero(rows["side"] != CLEARING)
        self._prices, rank = np.unique(rows["price"][at], return_inverse=True)
        group = rows["epoch"][at] * 2 + (rows["side"][at] == ASK)
        self._width = len(rows["side"]) + 1
        key = (group * len(self._prices) + rank) * self._width + at
        order = np.argsort(key)
        at, key, group = at[order], key[order], group[order]
        same = key // self._width
        message = rows["message"][at]
        end = self.epochs["behind"][group // 2]
        ended = np.append(same[1:] == same[:-1], False) if len(same) else np.empty(0, np.bool_)
        end[ended] = message[1:][ended[:-1]]
        size = rows["size"][at]
        self.lives: Columns = {
            "key": key,
            "group": group,
            "epoch": group // 2,
            "row": at,
            "price": rows["price"][at],
            "size": size,
            "set_by": rows["set_by"][at],
            "start": message,
            "end": end,
            "stands": (size > 0) & (message < end),
        }

    def best(self, side: int) -> Floats:
        """Return the best price after each message, infinitely bad where there is none."""
        sign = 1.0 if side == BID else -1.0
        start, end, price = self.of(side, "start", "end", "price")
        return sign * _paint(len(self.keys), start, end, sign * price)

    def counts(self, side: int) -> Ints:
        """Return the number of levels after each message."""
        start, end = self.of(side, "start", "end")
        change = np.bincount(start, minlength=len(self.keys) + 1)
        change = change - np.bincount(end, minlength=len(self.keys) + 1)
        return np.asarray(np.cumsum(change)[:-1])

    def of(self, side: int, *names: str) -> list[npt.NDArray[Any]]:
        """Return columns of the lives of a side that include any message."""
        mine = self.lives["stands"] & (self.lives["group"] % 2 == side - 1)
        return [self.lives[name][mine] for name in names]

    def at(self, instrument: Ints, order: Ints) -> Ints:
        """Return the last message before each `ord`; -1 where no book is known."""
        found = np.searchsorted(self.keys, (instrument << _BITS) | (order + 1)) - 1
        if not len(self.keys):
            return found
        known = (found >= 0) & (self.messages["instrument"][found] == instrument)
        known &= order < self.epochs["stop"][self.messages["epoch"][found]]
        return np.where(known, found, -1)

    def at_seq(self, instrument: Ints, seq: Ints) -> Ints:
        """Return the message that brought the book to each number; -1 where none did."""
        numbered = np.flatnonzero((self.messages["seq"] >= 0) & (self.messages["ord"] >= 0))
        keys = (self.messages["instrument"] << _BITS | self.messages["seq"])[numbered]
        order = np.argsort(keys, kind="stable")
        wanted = (instrument << _BITS) | seq
        found = np.searchsorted(keys[order], wanted, "right") - 1
        if not len(keys):
            return np.full(len(seq), -1)
        return np.where(keys[order][found] == wanted, numbered[order][found], -1)

    def find(self, message: Ints, side: Ints, price: Floats) -> Ints:
        """Return the life of each level in the book after a message; -1 where it is not in it."""
        if not len(self.lives["key"]):
            return np.full(len(message), -1)
        rank = np.minimum(np.searchsorted(self._prices, price), len(self._prices) - 1)
        group = self.messages["epoch"][message] * 2 + side - 1
        level = group * len(self._prices) + rank
        key = level * self._width + self.messages["end"][message]
        found = np.searchsorted(self.lives["key"], key, "right") - 1
        hit = (found >= 0) & (self._prices[rank] == price)
        hit &= self.lives["key"][found] // self._width == level
        hit &= self.lives["stands"][found]
        return np.where(hit, found, -1)

    def wholes(self) -> tuple[Ints, Ints, Ints]:
        """Compare each whole book that arrived while a book stood with that book.

        Return the epochs that they begin, and the lives of levels that only the book before or
        only the new book has, by epoch, side and price.
        """
        epochs = self.epochs
        told = epochs["follows"] & (epochs["stop"] > epochs["start"])
        told[1:] &= ~epochs["fallen"][:-1]
        # A book of another connection, or by REST, shows another moment.
        same = np.append(False, epochs["conn"][1:] == epochs["conn"][:-1])[: len(told)]
        told &= (epochs["first"] & KEYFRAME != 0) | (same & (epochs["first"] & REST == 0))
        lives = self.lives
        ends = np.append(told[1:], False)
        before = np.flatnonzero(
            lives["stands"]
            & ends[lives["epoch"]]
            & (lives["end"] == epochs["behind"][lives["epoch"]])
        )
        first = np.append(0, epochs["behind"][:-1])
        after = np.flatnonzero(
            lives["stands"] & told[lives["epoch"]] & (lives["start"] == first[lives["epoch"]])
        )
        pairs = [
            (lives["group"][before], lives["price"][before], lives["size"][before]),
            (lives["group"][after] - 2, lives["price"][after], lives["size"][after]),
        ]
        if all(map(np.array_equal, *pairs)):
            return np.flatnonzero(told), before[:0], after[:0]
        both = [dict.fromkeys(zip(*map(np.ndarray.tolist, pair), strict=True)) for pair in pairs]
        odd = [
            np.array([level not in other for level in mine], np.bool_)
            for mine, other in (both, both[::-1])
        ]
        return np.flatnonzero(told), before[odd[0]], after[odd[1]]

    def top(self, epoch: int, message: int, side: int, depth: int) -> list[Level]:
        """Return the best levels after one message of an epoch."""
        mine = self.lives["group"] == epoch * 2 + side - 1
        mine &= self.lives["stands"] & (self.lives["start"] <= message)
        mine &= message < self.lives["end"]
        lives = _take(self.lives, mine)
        order = np.argsort(lives["price"] * (-1 if side == BID else 1))[:depth]
        names = ("price", "size", "set_by")
        return [
            Level(*level) for level in zip(*(lives[n][order].tolist() for n in names), strict=True)
        ]

    def standing(self) -> Columns:
        """Return the final books as rows for the next fold: a clearing row, then levels."""
        epochs = self.epochs
        last = np.flatnonzero(~epochs["has_next"] & ~epochs["fallen"] & (epochs["stop"] >= 0))
        stands = np.zeros(len(epochs["start"]), np.bool_)
        stands[last] = True
        lives = self.lives
        kept = _take(
            lives,
            lives["stands"]
            & stands[lives["epoch"]]
            & (lives["end"] == epochs["behind"][lives["epoch"]]),
        )
        clear, level = np.zeros(len(last)), np.ones(len(kept["row"]))
        behind = np.maximum(epochs["behind"] - 1, 0)
        conn = self.rows["conn"][self.messages["end"][behind]] if len(self.keys) else behind
        made = {
            "ord": np.append(-clear - 1, -level),
            "set_by": np.append(-clear - 1, kept["set_by"]),
            "instrument": epochs["instrument"][np.append(last, kept["epoch"])],
            "conn": conn[np.append(last, kept["epoch"])],
            "flags": np.append(clear, level * 0),
            "side": np.append(clear + CLEARING, kept["group"] % 2 + BID),
            "price": np.append(clear, kept["price"]),
            "size": np.append(clear, kept["size"]),
            "seq": np.append(clear - 1, -level),
        }
        return {name: made[name].astype(kind) for name, kind in COLUMNS.items()}


def _take(columns: Columns, which: Ints | Bools) -> Columns:
    return {name: values[which] for name, values in columns.items()}


def _paint(count: int, start: Ints, end: Ints, value: Floats) -> Floats:
    """Return, for each of `count` places, the highest value of the spans [start, end) over it.

    A span is covered by two of a power of two; those of each power are handed down to halves.
    """
    length = end - start
    power = np.frexp(length)[1] - 1
    order = np.argsort(power, kind="stable")
    start, end, value, power = start[order], end[order], value[order], power[order]
    highest = int(power[-1]) if len(power) else 0
    painted = np.full(count, -np.inf)
    for level in range(highest, -1, -1):
        if level < highest:
            half = 1 << level
            handed = painted.copy()
            np.maximum(handed[half:], painted[:-half], out=handed[half:])
            painted = handed
        mine = slice(*np.searchsorted(power, [level, level + 1]))
        np.maximum.at(painted, start[mine], value[mine])
        np.maximum.at(painted, end[mine] - (1 << level), value[mine])
    return painted
