"""When a book was bad in a recording, and what of the faults could show while it was."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from monitor.rows.batches import INVALID, MAYBE_BAD_BOOK
from support import fault_rules
from support.faulty import DATA, Recorded, Row, canonical

NS_PER_S = 1e9


class Spell(NamedTuple):
    """A time in which a book was bad: from the first of so many losses to its resynchronisation."""

    spoilt_ns: float
    good_ns: float
    losses: int


def spells(done: Recorded, venue: str, symbol: str) -> list[Spell]:
    """Return when a book was bad; first of all, it was not there yet."""
    resyncs = [row for row in done.statuses(venue, "resync") if row["symbol"] == symbol]
    first = _first_book(done, venue, symbol)
    found: dict[float, Spell] = {}
    if first is not None:
        resyncs.append(first)
        found[first["ts_recv"]] = Spell(-math.inf, first["ts_recv"], 1)
    for row in sorted(_losses(done, venue, symbol), key=lambda row: row["ord"]):
        good_ns = min((r["ts_recv"] for r in resyncs if r["ord"] > row["ord"]), default=math.inf)
        spell = found.get(good_ns, Spell(row["ts_recv"], good_ns, 0))
        found[good_ns] = spell._replace(losses=spell.losses + 1)
    return list(found.values())


def is_unseen(done: Recorded, venue: str, strike: Row, spells: Sequence[Spell]) -> bool:
    """Tell whether nothing came by which a strike must show.

    A loss shows by the next message of its stream, if that is not lost too; what befalls a book
    only shows while that is held to be right.
    """
    at_ns = strike["at_ns"]
    raw, channel = hit(venue, strike)
    if channel == "book" and any(spell.spoilt_ns < at_ns <= spell.good_ns for spell in spells):
        return True
    mine = [each for each in done.strikes[venue] if hit(venue, each) == (raw, channel)]
    kinds, symbols = (channel,), (canonical(venue).get(raw),)
    if venue == "coinbase":
        mine, kinds, symbols = done.strikes[venue], DATA, tuple(canonical(venue).values())
    until_ns = min((e["at_ns"] for e in mine if e["at_ns"] > at_ns), default=math.inf)
    return not any(
        at_ns < row["ts_recv"] < until_ns
        for kind in kinds
        for symbol in symbols
        if symbol is not None
        for row in done.of(kind, venue, symbol)
    )


def spoiling(done: Recorded, venue: str, symbol: str) -> list[Row]:
    """Return the rows that tell of the end of a book's truth, which it must have had."""
    first = _first_book(done, venue, symbol)
    rows = _losses(done, venue, symbol)
    return [row for row in rows if first is None or row["ord"] > first["ord"]]


def unfounded(done: Recorded, venue: str) -> list[str]:
    """Say which quotes came from a book between its spoiling and its resynchronisation."""
    wrong = []
    for symbol in canonical(venue).values():
        resyncs = [r["ord"] for r in done.statuses(venue, "resync") if r["symbol"] == symbol]
        for row in spoiling(done, venue, symbol):
            good = min((at for at in resyncs if at > row["ord"]), default=math.inf)
            count = sum(
                row["ord"] < quote["ord"] < good and not quote["flags"] & INVALID
                for quote in done.of("quote", venue, symbol)
                if quote["origin"] == "book"
            )
            if count:
                wrong.append(f"expected no quote of the bad book of {symbol}, found {count}")
    return wrong


def worst_recovery_s(done: Recorded, venue: str) -> float | None:
    """Return the longest time from a row that made a book bad to the one that made it good."""
    waits = []
    for row in done.rows["status"]:
        if row["venue"] == venue and row["kind"] == "resync":
            causes = spoiling(done, venue, row["symbol"])
            spoilt = [cause["ts_recv"] for cause in causes if cause["ord"] < row["ord"]]
            waits.append((row["ts_recv"] - max(spoilt)) / NS_PER_S)
    return max(waits, default=None)


def hit(venue: str, strike: Row) -> tuple[str, str]:
    hit = fault_rules.stream(venue, strike["message"])
    return hit.raw_symbol, hit.channel


def _losses(done: Recorded, venue: str, symbol: str) -> list[Row]:
    """Return the rows by which a book that stands is known to be bad."""
    found = [
        row
        for kind in ("gap", "checksum", "crossed", "mismatch", "disconnected")
        for row in done.statuses(venue, kind)
        if row["symbol"] in (None, symbol) and row["channel"] in (None, "book")
    ]
    # What could not be read is told verbatim: a book lacks it from there on.
    for row in done.statuses(venue, "undecodable"):
        left = row["detail"].rpartition("): ")[2]
        doubted = fault_rules.doubted_books(venue, left, canonical(venue))
        if symbol in doubted:
            found.append(row)
    return found


def _first_book(done: Recorded, venue: str, symbol: str) -> Row | None:
    rows = done.of("book", venue, symbol)
    return next((row for row in rows if not row["flags"] & MAYBE_BAD_BOOK), None)
