"""Compare book statements in rows with the books that the book rows fold to."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.rows import DUPLICATE, KEYFRAME, LAST, LATE, Batch, by_instrument, column
from monitor.verify.book_fold import ASK, BID, CLEARING, COLUMNS, Bools, Columns, Floats, Fold, Ints

# Rows folded at a time: enough for columns to pay off, few enough for memory.
CHUNK_ROWS = 1_000_000
# Levels per side of a `depth` row, and of Kraken's checksum.
DEPTH_LEVELS, SUMMED_LEVELS = 20, 10
# The only venue whose checksum uses numbers that rows hold, at the precision that rows hold.
SUMMED_VENUE = "kraken"
SIDES = {BID: "bid", ASK: "ask"}
Instrument = tuple[str, str]


class Mismatch(NamedTuple):
    """Two or more rows that contradict each other."""

    ord: int
    instrument: Instrument
    text: str


class Instruments:
    """Numbers the (venue, symbol) pairs in order of appearance."""

    def __init__(self) -> None:
        self.names: list[Instrument] = []
        self._codes: dict[Instrument, int] = {}

    def code(self, name: Instrument) -> int:
        if name not in self._codes:
            self._codes[name] = len(self.names)
            self.names.append(name)
        return self._codes[name]

    def codes(self, rows: pa.RecordBatch) -> Ints:
        if not rows.num_rows:
            return np.empty(0, np.int64)
        index, names = by_instrument(rows)
        codes: Ints = np.array([self.code(name) for name in names], np.int64)[index]
        return codes


class Checks:
    """Folds the book rows of batches, given in `ord` order, and compares them with other rows.

    `compared` counts by instrument and by `keyframe`, `snapshot`, `depth`, `quote`, `native`,
    `checksum`; `missed` counts snapshots that differ from the book before them: a change was lost
    unnoticed, or came in between.
    """

    def __init__(self, instruments: Instruments) -> None:
        self.compared: Counter[tuple[Instrument, str]] = Counter()
        self.mismatches: list[Mismatch] = []
        self.missed: list[Mismatch] = []
        self._instruments = instruments
        self._before: Columns | None = None
        self._books: list[Columns] = [_no_rows()]
        self._claims: dict[str, list[pa.RecordBatch]] = {"quote": [], "depth": [], "status": []}
        self._holes: list[int] = []
        self._resyncs: list[int] = []
        self._waiting = 0
        self._precisions: dict[Instrument, tuple[float, float]] = {}

    def take(self, batch: Batch, holes: Iterable[int]) -> None:
        """Take the next rows; `holes` are the `ord`s right after missing rows."""
        self._books.append(_book_columns(batch["book"], self._instruments.codes(batch["book"])))
        for kind, rows in (
            ("quote", _comparable(batch["quote"])),
            ("depth", batch["depth"]),
            ("status", _sums(batch["status"])),
        ):
            if rows.num_rows:
                self._claims[kind].append(rows)
        names = ("venue", "symbol", "price_precision", "size_precision")
        listed = batch["instrument"].select(names).to_pylist()
        self._holes += holes
        status = batch["status"]
        self._resyncs += status.filter(pc.equal(status["kind"], "resync"))["ord"].to_pylist()
        self._waiting += batch["book"].num_rows + batch["quote"].num_rows
        if self._waiting >= CHUNK_ROWS:
            self._judge(whole=False)
        for row in listed:
            if row["price_precision"] is not None and row["size_precision"] is not None:
                precisions = (row["price_precision"], row["size_precision"])
                self._precisions[row["venue"], row["symbol"]] = precisions

    def finish(self) -> None:
        """Compare the rows that still wait."""
        self._judge(whole=True)
        self.mismatches.sort()

    def _judge(self, whole: bool) -> None:
        books = {name: np.concatenate([rows[name] for rows in self._books]) for name in COLUMNS}
        # A message that continues in the next batch waits, with everything after its start.
        ends = np.flatnonzero(books["flags"] & LAST)
        cut = len(books["ord"]) if whole else int(ends[-1]) + 1 if len(ends) else 0
        below = int(books["ord"][cut]) if cut < len(books["ord"]) else None
        self._books = [{name: values[cut:] for name, values in books.items()}]
        self._waiting = len(books["ord"]) - cut
        books = {name: values[:cut] for name, values in books.items()}
        claims = {}
        for kind, parts in self._claims.items():
            rows = pa.concat_batches(parts) if parts else None
            count = 0 if rows is None else rows.num_rows
            if rows is not None and below is not None:
                count = int(np.searchsorted(column(rows, "ord"), below))
            claims[kind] = rows.slice(0, count) if rows is not None and count else None
            self._claims[kind] = [rows.slice(count)] if rows is not None else []
        holes = np.array([hole for hole in self._holes if below is None or hole < below], np.int64)
        self._holes = self._holes[len(holes) :]
        fold = Fold(books, self._before, holes)
        best = {side: fold.best(side) for side in SIDES}
        self._compare_wholes(fold)
        self._find_crossed(fold, best)
        if claims["quote"] is not None:
            self._compare_quotes(fold, best, claims["quote"])
        if claims["depth"] is not None:
            self._compare_depths(fold, best, claims["depth"])
        if claims["status"] is not None:
            for row in claims["status"].to_pylist():
                self._compare_sum(fold, books, row)
        self._before = fold.standing()
        self._resyncs = [] if below is None else [at for at in self._resyncs if at >= below]

    def _count(self, codes: Ints, what: str) -> None:
        for code, count in enumerate(np.bincount(codes).tolist()):
            if count:
                self.compared[self._instruments.names[code], what] += count

    def _tell(self, order: int, code: int, text: str) -> None:
        self.mismatches.append(Mismatch(order, self._instruments.names[code], text))

    def _compare_wholes(self, fold: Fold) -> None:
        """Compare keyframes, and snapshots sent unasked, with the book before them."""
        told, before, after = fold.wholes()
        epochs, lives = fold.epochs, fold.lives
        is_keyframe = epochs["first"] & KEYFRAME != 0
        # A snapshot after a resynchronisation row was requested because the book was bad.
        ends = fold.messages["ord"][epochs["behind"][told - 1]] if len(told) else told
        told = told[is_keyframe[told] | ~np.isin(ends + 1, self._resyncs)]
        self._count(epochs["instrument"][told[is_keyframe[told]]], "keyframe")
        self._count(epochs["instrument"][told[~is_keyframe[told]]], "snapshot")
        odd: dict[int, dict[tuple[int, float], list[int]]] = {}
        for which, shift in ((before, 1), (after, 0)):
            for life in which.tolist():
                epoch, side = divmod(int(lives["group"][life]), 2)
                level = side, float(lives["price"][life])
                odd.setdefault(epoch + shift, {}).setdefault(level, [-1, -1])[1 - shift] = life
        for epoch in np.intersect1d(told, list(odd)).tolist():
            levels = odd[epoch]
            (side, price), (then, now) = next(iter(levels.items()))
            was = f"size {lives['size'][then]:.10g}" if then >= 0 else "nothing"
            if then >= 0:
                was += f" (as set at ord {lives['set_by'][then]})"
            found = f"size {lives['size'][now]:.10g}" if now >= 0 else "nothing"
            what = "keyframe" if is_keyframe[epoch] else "snapshot"
            start, code = int(epochs["start"][epoch]), int(epochs["instrument"][epoch])
            text = f"{what}: expected {SIDES[side + BID]} {price:.10g} with {was}, found {found}"
            told_to = self.mismatches if is_keyframe[epoch] else self.missed
            told_to.append(Mismatch(start, self._instruments.names[code], text))

    def _find_crossed(self, fold: Fold, best: dict[int, Floats]) -> None:
        messages = fold.messages
        crossed = (best[BID] >= best[ASK]) & (messages["ord"] >= 0)
        begins = crossed.copy()
        begins[1:] &= ~crossed[:-1] | (messages["epoch"][1:] != messages["epoch"][:-1])
        for at in np.flatnonzero(begins).tolist():
            text = f"book: expected a bid below the ask {best[ASK][at]:.10g}, found bid "
            order, code = int(messages["ord"][at]), int(messages["instrument"][at])
            self._tell(order, code, text + f"{best[BID][at]:.10g}")

    def _compare_quotes(self, fold: Fold, best: dict[int, Floats], rows: pa.RecordBatch) -> None:
        """Compare quotes made of books with them, and Binance's own at the shared number."""
        codes, order = self._instruments.codes(rows), column(rows, "ord").astype(np.int64)
        of_book = np.asarray(pc.equal(rows["origin"], "book"))
        seq = np.asarray(rows["seq"].cast(pa.int64()).fill_null(-1))
        message = np.where(of_book, fold.at(codes, order), fold.at_seq(codes, seq))
        for what, of_kind in (("quote", of_book), ("native", ~of_book)):
            which = np.flatnonzero(of_kind & (message >= 0))
            self._count(codes[which], what)
            for side, name in SIDES.items():
                price = column(rows, name)[which].astype(np.float64)
                size = column(rows, f"{name}_size")[which].astype(np.float64)
                wanted = best[side][message[which]]
                life = fold.find(message[which], np.full(len(which), side), wanted)
                held = np.where(life >= 0, fold.lives["size"][life], np.nan) if len(life) else size
                price_held = np.where(np.isfinite(wanted), wanted, np.nan)
                same = _equal(price, price_held) & (_equal(size, held) | (life < 0))
                for at in np.flatnonzero(~same).tolist():
                    text = (
                        f"{what}: expected {name} {price_held[at]:.10g} of size {held[at]:.10g}"
                        f" as the book has it{_since(fold, int(life[at]))},"
                        f" found {price[at]:.10g} of size {size[at]:.10g}"
                    )
                    self._tell(int(order[which[at]]), int(codes[which[at]]), text)

    def _compare_depths(self, fold: Fold, best: dict[int, Floats], rows: pa.RecordBatch) -> None:
        """Compare `depth` rows: each level is in the book, the best is first, and none is missing.

        A level is missing if it was set since the row before and is better than the last listed.
        """
        codes, order = self._instruments.codes(rows), column(rows, "ord").astype(np.int64)
        message = fold.at(codes, order)
        # In the order of the messages, which is by instrument.
        which = np.argsort(message, kind="stable")
        which = which[message[which] >= 0]
        rows, codes, order, message = (
            rows.take(pa.array(which)),
            codes[which],
            order[which],
            message[which],
        )
        self._count(codes, "depth")
        if not len(which):
            return
        for side, name in SIDES.items():
            sign = 1.0 if side == BID else -1.0
            prices, sizes = rows[f"{name}_prices"], rows[f"{name}_sizes"]
            bounds = prices.offsets.to_numpy().astype(np.int64)
            bounds = bounds - bounds[0]
            length = np.diff(bounds)
            claim = np.repeat(np.arange(len(length)), length)
            price, size = (np.asarray(values.flatten()) for values in (prices, sizes))
            life = fold.find(message[claim], np.full(len(claim), side), price)
            wrong = (life < 0) | (fold.lives["size"][life] != size if len(life) else life < 0)
            for at in _firsts(claim, wrong):
                held = fold.lives["size"][life[at]] if life[at] >= 0 else 0.0
                text = (
                    f"depth: expected {name} {price[at]:.10g} of size {held:.10g} as the book has"
                    f" it{_since(fold, int(life[at]))}, found size {size[at]:.10g}"
                )
                self._tell(int(order[claim[at]]), int(codes[claim[at]]), text)
            filled = length > 0
            first = np.full(len(length), -np.inf * sign)
            first[filled] = price[bounds[:-1][filled]]
            last = np.full(len(length), -np.inf * sign)
            full = length >= DEPTH_LEVELS
            last[full] = price[bounds[1:][full] - 1]
            start, end, born = fold.of(side, "start", "end", "price")
            at_claim = np.searchsorted(message, start)
            shown = np.minimum(at_claim, len(message) - 1)
            due = (at_claim < len(message)) & (message[shown] < end)
            due &= born * sign >= last[shown] * sign
            listed = ~wrong & (np.searchsorted(message, fold.lives["start"][life]) == claim)
            short = np.bincount(at_claim[due], minlength=len(length)) - np.bincount(
                claim[listed], minlength=len(length)
            )
            unlike = (first != best[side][message]) | (short > 0)
            unlike |= ~full & (fold.counts(side)[message] != length)
            unlike[claim[wrong]] = False
            for at in np.flatnonzero(unlike).tolist():
                text = (
                    f"depth: expected all the best {name}s from {best[side][message[at]]:.10g} on,"
                    f" found one left out behind {first[at]:.10g}"
                )
                self._tell(int(order[at]), int(codes[at]), text)

    def _compare_sum(self, fold: Fold, books: Columns, row: dict[str, Any]) -> None:
        """Compute the checksum of a book that failed it, and compare it with the recorded one."""
        name = row["venue"], row["symbol"]
        if name not in self._precisions or row["venue"] != SUMMED_VENUE:
            return
        code = self._instruments.code(name)
        begin = int(np.searchsorted(books["ord"], row["ord"]))
        at = np.flatnonzero(books["instrument"][begin:] == code) + begin
        ends = np.flatnonzero(books["flags"][at] & LAST)
        if not len(ends):
            return
        at = at[: ends[0] + 1]
        levels: dict[int, dict[float, float]] = {BID: {}, ASK: {}}
        if books["side"][at[0]] != CLEARING:
            epoch = np.flatnonzero(
                (fold.epochs["instrument"] == code) & (fold.epochs["stop"] == books["ord"][at[0]])
            )
            if not len(epoch):
                return
            behind = int(fold.epochs["behind"][epoch[0]])
            for side in SIDES:
                top = fold.top(int(epoch[0]), behind - 1, side, len(fold.lives["key"]))
                levels[side] = {level.price: level.size for level in top}
        for side, price, size in zip(
            *(books[n][at] for n in ("side", "price", "size")), strict=True
        ):
            if side != CLEARING:
                levels[int(side)][float(price)] = float(size)
        self.compared[name, "checksum"] += 1
        found = _checksum(levels, self._precisions[name])
        if found != row["got"]:
            text = f"checksum: expected {row['got']} as formed when it failed, found {found}"
            self._tell(row["ord"], code, text)


def _book_columns(rows: pa.RecordBatch, codes: Ints) -> Columns:
    if not rows.num_rows:
        return _no_rows()
    seq = pc.if_else(rows["seq_first"].is_valid(), rows["seq"], pa.scalar(None, pa.uint64()))
    side = rows["side"]
    ask = np.asarray(pc.equal(side, "ask").fill_null(False))
    order = column(rows, "ord").astype(np.int64)
    return {
        "ord": order,
        "set_by": order,
        "instrument": codes,
        "conn": column(rows, "conn").astype(np.int64),
        "flags": column(rows, "flags").astype(np.int64),
        "side": np.where(np.asarray(side.is_valid()), np.where(ask, ASK, BID), CLEARING),
        "price": column(rows, "price").astype(np.float64),
        "size": column(rows, "size").astype(np.float64),
        "seq": np.asarray(seq.cast(pa.int64()).fill_null(-1)),
    }


def _no_rows() -> Columns:
    return {name: np.empty(0, kind) for name, kind in COLUMNS.items()}


def _comparable(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Keep the quotes that can be compared with a book: those made of books, and numbered ones."""
    if not rows.num_rows:
        return rows
    of_book = pc.equal(rows["origin"], "book")
    numbered = pc.and_(pc.equal(rows["origin"], "native"), rows["seq"].is_valid())
    stands = pc.or_(rows["bid"].is_valid(), rows["ask"].is_valid())
    fresh = pa.array(column(rows, "flags") & (DUPLICATE | LATE) == 0)
    return rows.filter(pc.and_(pc.and_(pc.or_(of_book, numbered), stands), fresh))


def _sums(rows: pa.RecordBatch) -> pa.RecordBatch:
    return rows.filter(pc.and_(pc.equal(rows["kind"], "checksum"), rows["got"].is_valid()))


def _equal(one: Floats, other: Floats) -> Bools:
    return np.asarray((one == other) | (np.isnan(one) & np.isnan(other)))


def _since(fold: Fold, life: int) -> str:
    return f" since ord {fold.lives['set_by'][life]}" if life >= 0 else ""


def _firsts(group: Ints, which: npt.NDArray[np.bool_]) -> list[int]:
    """Return the first selected row of each group."""
    at = np.flatnonzero(which)
    _, first = np.unique(group[at], return_index=True)
    return list(at[first].tolist())


def _checksum(levels: dict[int, dict[float, float]], precisions: tuple[float, float]) -> int:
    """Return Kraken's checksum: CRC-32 of the digits of the ten best asks, then bids."""
    digits = ""
    for side, is_reversed in ((ASK, False), (BID, True)):
        standing = {price: size for price, size in levels[side].items() if size}
        for price in sorted(standing, reverse=is_reversed)[:SUMMED_LEVELS]:
            for value, places in zip((price, standing[price]), precisions, strict=True):
                digits += str(int(Decimal(repr(value)).scaleb(int(places))))
    return zlib.crc32(digits.encode())
