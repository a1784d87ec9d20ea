"""One fault of the simulated exchange, held against what a collector recorded of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from monitor.rows.batches import BACKFILL, INVALID
from monitor.simulate.simulator import SEED
from support import fault_books, fault_rules
from support.fault_rules import LINE_FAULTS, Key
from support.faulty import (
    DATA,
    INSTRUMENTS,
    POLLED,
    VENUES,
    Recorded,
    Row,
    Run,
    canonical,
    collecting,
)
from support.recorded_books import Equality, compare

NS_PER_S = 1e9
# States of each book in which it is compared, at the least.
STATES = 4
# Faults after which a message is missing, or comes when it is no longer wanted.
LOSING = ("gap", "corrupt", "reorder")
# How long a run may wait for what must be there: the proof says then that it is not.
SETTLE_S = 15.0
PATIENCE_S = 120.0
# So many certificates are refused, and so many venues try at a time.
HANDSHAKES, AT_A_TIME = 2, 3
STREAM, REST = 'mode = "ws"', 'mode = "rest"\ninterval_s = 0.5'


class Proof(NamedTuple):
    """What a fault came to at one venue; times in seconds, None where there is nothing to say."""

    fault: str
    venue: str
    injected: int
    recorded: Counter[Key]
    problems: list[str]
    books: Equality
    worst_s: float | None
    disturbed: list[str] | None
    done: Recorded

    def count(self, kind: str) -> int:
        """Return how many rows of a kind were recorded."""
        return sum(count for (found, _), count in self.recorded.items() if found == kind)

    @property
    def failures(self) -> list[str]:
        """Say all that is not as it must be."""
        said = list(self.problems)
        if self.books.unequal:
            said.append(f"{self.books.unequal} books differ: {self.books.difference}")
        if self.disturbed:
            said.append(f"expected no other instrument disturbed, found {self.disturbed}")
        return said


def prove_messages(
    folder: Path,
    faults: Sequence[str],
    strikes: int,
    venues: Sequence[str] = VENUES,
    channels: str = "",
    instruments: int = INSTRUMENTS,
) -> list[Proof]:
    """Let timed faults befall messages, so often on each venue, and prove the recording."""
    names = [fault.partition("@")[0] for fault in faults]
    with collecting(folder, faults, venues, channels, instruments=instruments) as run:

        def struck() -> bool:
            injected = run.injected()
            return all(injected[venue][name] >= strikes for venue in venues for name in names)

        run.until(struck, f"{strikes} of {names} on each venue")
        run.calm()
        _settle(run, lambda: all(_is_told(run, venue) for venue in venues))
        run.observe(STATES)
        done = run.stop()
    return [_message_proof(done, names, venue) for venue in venues]


def prove_lines(
    folder: Path, fault: str, strikes: int, venues: Sequence[str] = VENUES, seed: int = SEED
) -> list[Proof]:
    """Let connections break so often on each venue, wait for data, and prove the recording."""
    name = fault.replace(":", "@").partition("@")[0]
    with collecting(folder, [fault], venues, "", STREAM, seed) as run:

        def broken() -> bool:
            # Where an end is announced, a connection is replaced before it.
            ends = Counter(
                row["venue"]
                for row in run.statuses
                if row["kind"] in ("disconnected", "replaced") and row["scope"] == "connection"
            )
            return all(ends[venue] >= strikes for venue in venues)

        run.until(broken, f"{strikes} broken connections of each venue", PATIENCE_S)
        run.calm()

        def told() -> bool:
            return all(
                fault_rules.recorded(run.statuses, venue)
                >= fault_rules.due_of_lines(venue, name, counts[name], ()).certain
                for venue, counts in run.injected().items()
            )

        _settle(run, told)
        run.until(run.has_data, "data of every instrument again", PATIENCE_S)
        run.observe(STATES)
        done = run.stop()
    return [_line_proof(done, name, venue) for venue in venues]


def prove_answers(
    folder: Path, fault: str, strikes: int, venues: Sequence[str] = VENUES, path: str = ""
) -> list[Proof]:
    """Let requests be answered wrongly while REST is polled, and prove the recording."""
    name = fault.partition("@")[0]
    with collecting(folder, [fault], venues, "", REST, path=path) as run:

        def struck() -> bool:
            return all(counts[name] >= strikes for counts in run.injected().values())

        def told() -> bool:
            return all(
                fault_rules.recorded(run.statuses, venue)
                >= fault_rules.due_of_answers(name, counts[name]).certain
                for venue, counts in run.injected().items()
            )

        run.until(struck, f"{strikes} of {name} on each venue", PATIENCE_S)
        run.calm()
        _settle(run, told)
        done = run.stop()
    proofs = []
    for venue in venues:
        injected = done.injected[venue][name]
        found = fault_rules.recorded(done.rows["status"], venue)
        wrong = fault_rules.problems(fault_rules.due_of_answers(name, injected), found)
        proofs.append(_plain_proof(name, venue, injected, found, wrong, done))
    return proofs


def prove_handshakes(folder: Path, venues: Sequence[str] = VENUES) -> list[Proof]:
    """Show nothing but wrong certificates, to each venue's own collector, and prove the recording.

    A handshake comes before anybody says which venue is meant: each has an exchange of its own.
    """

    def prove(venue: str) -> Proof:
        settings = REST if venue in POLLED else STREAM
        with collecting(folder / venue, ["tls:1"], [venue], "", settings) as run:

            def refused() -> bool:
                rows = fault_rules.recorded(run.statuses, venue)
                return rows.total() >= (1 if venue in POLLED else HANDSHAKES)

            run.until(refused, f"{HANDSHAKES} refused certificates")
            done = run.stop()
        found = fault_rules.recorded(done.rows["status"], venue)
        counts, kinds = fault_rules.due_of_handshakes(venue in POLLED, done.tls)
        wrong = []
        if found.total() not in counts or not found.keys() <= set(kinds):
            wrong.append(f"expected {counts} of {kinds}, found {found}")
        data = sum(not row["flags"] & INVALID for kind in DATA for row in done.rows[kind])
        if data:
            wrong.append(f"expected no data, found {data} rows")
        return _plain_proof("tls", venue, done.tls, found, wrong, done)

    folder.mkdir(parents=True)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(prove, venues))


def time_to_data_s(done: Recorded, venue: str) -> list[float]:
    """Return, for each end of a connection that was followed by data, how long all of it took."""
    waits = []
    for row in done.statuses(venue, "disconnected"):
        firsts = [_first_data_ns(done, venue, name, row) for name in canonical(venue).values()]
        if None not in firsts:
            waits.append((max(first for first in firsts if first) - row["ts_recv"]) / NS_PER_S)
    return waits


def _first_data_ns(done: Recorded, venue: str, symbol: str, lost: Row) -> int | None:
    times = [
        row["ts_recv"]
        for kind in ("quote", "trade", "book")
        for row in done.of(kind, venue, symbol)
        if row["conn"] > lost["conn"] and not row["flags"] & INVALID
    ]
    return min(times, default=None)


def _settle(run: Run, is_told: Callable[[], bool]) -> None:
    """Wait for what must be recorded; if it does not come, that is for the proof to say."""
    with suppress(AssertionError):
        run.until(is_told, "what the faults must leave", SETTLE_S)


def _is_told(run: Run, venue: str) -> bool:
    wanted = fault_rules.due(venue, run.strikes(venue), canonical(venue)).certain
    return fault_rules.recorded(run.statuses, venue) >= wanted


def _message_proof(done: Recorded, names: Sequence[str], venue: str) -> Proof:
    symbols = canonical(venue)
    bad = {symbol: fault_books.spells(done, venue, symbol) for symbol in symbols.values()}
    strikes = done.strikes[venue]
    hit = {symbols.get(fault_books.hit(venue, strike)[0]) for strike in strikes}
    for strike in strikes:
        if strike["sent"]:
            hit |= fault_rules.doubted_books(venue, strike["sent"], symbols)
        spells = bad.get(symbols.get(fault_books.hit(venue, strike)[0], ""), [])
        strike["unseen"] = fault_books.is_unseen(done, venue, strike, spells)
    absorbed = {symbol: sum(spell.losses - 1 for spell in spells) for symbol, spells in bad.items()}
    injected = sum(done.injected[venue][name] for name in names)
    found = fault_rules.recorded(done.rows["status"], venue)
    wrong = fault_rules.problems(fault_rules.due(venue, strikes, symbols), found, absorbed)
    wrong += fault_books.unfounded(done, venue)
    wrong += _unfilled(done, venue)
    books = _compare(done, venue, fault_rules.checked_levels(venue, names))
    shared = venue in fault_rules.SHARED
    others = None if shared else _disturbed(done, venue, set(symbols.values()) - hit)
    worst_s = fault_books.worst_recovery_s(done, venue)
    return Proof("+".join(names), venue, injected, found, wrong, books, worst_s, others, done)


def _plain_proof(
    name: str, venue: str, injected: int, found: Counter[Key], wrong: list[str], done: Recorded
) -> Proof:
    return Proof(name, venue, injected, found, wrong, Equality(0, 0, ""), None, None, done)


def _line_proof(done: Recorded, name: str, venue: str) -> Proof:
    injected = done.injected[venue][name]
    found = fault_rules.recorded(done.rows["status"], venue)
    wanted = fault_rules.due_of_lines(venue, name, injected, canonical(venue).values())
    wrong = fault_rules.problems(wanted, found)
    wrong += _uncounted(done, venue)
    wrong += _unfilled(done, venue)
    books = _compare(done, venue, fault_rules.checked_levels(venue, LINE_FAULTS))
    worst_s = max(time_to_data_s(done, venue), default=None)
    return Proof(name, venue, injected, found, wrong, books, worst_s, None, done)


def _uncounted(done: Recorded, venue: str) -> list[str]:
    """Say which holes in the trade ids no gap tells of, where ids count up by one."""
    if venue not in fault_rules.NUMBERED_TRADES:
        return []
    wrong = []
    for symbol in canonical(venue).values():
        rows = done.of("trade", venue, symbol)
        ids = sorted({int(row["trade_id"]) for row in rows if not row["flags"] & BACKFILL})
        missing = ids[-1] - ids[0] + 1 - len(ids) if ids else 0
        told = sum(row["count"] for row in done.statuses(venue, "gap") if row["symbol"] == symbol)
        if told != missing:
            wrong.append(f"expected gaps of {missing} trades of {symbol}, found {told}")
    return wrong


def _unfilled(done: Recorded, venue: str) -> list[str]:
    """Say of which lost trades no row tells whether they were had by REST, or tells wrongly."""
    wrong = []
    for symbol in canonical(venue).values():
        counts: Counter[str] = Counter()
        for row in done.of("status", venue, symbol):
            if row["channel"] == "trade" and row["kind"] in ("gap", "late", "filled"):
                counts[row["kind"]] += row["expected" if row["kind"] == "filled" else "count"]
                counts["found"] += row["got"] if row["kind"] == "filled" else 0
        lost = counts["gap"] - counts["late"]
        if venue in fault_rules.NUMBERED_TRADES and counts["filled"] != lost:
            wrong.append(f"expected sequels of {lost} lost {symbol}, found {counts['filled']}")
        rows = done.of("trade", venue, symbol)
        backfilled = sum(bool(row["flags"] & BACKFILL) for row in rows)
        if backfilled != counts["found"]:
            wrong.append(f"expected {counts['found']} of {symbol} by REST, found {backfilled}")
    return wrong


def _compare(done: Recorded, venue: str, best: int | None) -> Equality:
    """Compare every book of a venue whenever it was looked at and at rest."""
    found = []
    for raw, symbol in canonical(venue).items():
        mine = [o for o in done.observations if (o.venue, o.symbol) == (venue, symbol)]
        losses_ns = [
            strike["at_ns"]
            for strike in done.strikes[venue]
            if strike["fault"] in LOSING
            and (venue == "coinbase" or (raw, "book") == fault_books.hit(venue, strike))
        ]
        spoilt_ns = [row["ts_recv"] for row in fault_books.spoiling(done, venue, symbol)]
        if venue in fault_rules.UNPROVABLE_BOOKS:
            # Nothing shows the loss: the book may be wrong until its next snapshot.
            spoilt_ns += losses_ns
        rows = done.of("book", venue, symbol)
        found.append(compare(rows, mine, losses_ns, spoilt_ns, best))
        is_lost = venue in fault_rules.UNPROVABLE_BOOKS and losses_ns
        if rows and not is_lost and not sum(found[-1][:2]):
            found[-1] = Equality(0, 1, f"expected a book of {symbol} at rest, found none")
    difference = next((each.difference for each in found if each.difference), "")
    return Equality(sum(f.equal for f in found), sum(f.unequal for f in found), difference)


def _disturbed(done: Recorded, venue: str, others: set[str]) -> list[str]:
    """Return those instruments that were not hit and yet have a judged row or an ended quote."""
    found = fault_rules.recorded(done.rows["status"], venue)
    marked = {symbol for _, symbol in found if symbol}
    # The end of a run ends every quote: that is no disturbance.
    (ended,) = done.statuses(venue, "stopped")
    for row in done.rows["quote"]:
        if row["venue"] == venue and row["flags"] & INVALID and row["ord"] < ended["ord"]:
            last = row["ts_recv"] == ended["ts_recv"]
            marked |= set() if last else {row["symbol"]}
    return sorted(others & marked)
