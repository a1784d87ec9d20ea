"""Verify a recording: read every row, count, digest, and fold its books.

A recording is damaged if a segment cannot be read, its rows do not match its digest, rows are
missing that no `status` row reports, or a statement about a book differs from what the rows fold
to. Faults of a venue or a line are no damage: they are recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor import recordings
from monitor._rust_feed import Digest
from monitor.recordings import FILE_ERRORS, NoLocksError, Part, Recording, removed
from monitor.rows import KINDS, Batch, column, iso
from monitor.verify.book_checks import Checks, Instruments, Mismatch
from monitor.verify.coverage import TOLD, Coverage, length_ns

BATCH_ROWS = 100_000
# Problems of one sort that are listed one by one.
TOLD_PROBLEMS = 20
CLIPPED = "clip:"

# Called with the number of rows read, and of all rows.
OnProgress = Callable[[int, int], None]


class Hole(NamedTuple):
    """Missing rows: their `ord`s are [first, behind)."""

    first: int
    behind: int


class Order:
    """Follows `ord` over all kinds: missing rows, and the `status` rows that report them."""

    def __init__(self) -> None:
        self.holes: list[Hole] = []
        self.problems: list[str] = []
        # The `ord` that the first row must have; None if it is unknown.
        self.due: int | None = 0
        # Whether missing rows can be judged: a clip may begin and end inside a loss.
        self._is_whole = True
        self._overflows: list[tuple[int, int, int]] = []
        self._unrecorded: list[tuple[int, int]] = []

    def take(self, batch: Batch) -> list[int]:
        """Take the next rows; return the `ord`s right after missing rows."""
        kinds = [column(rows, "ord") for kind, rows in batch.kinds.items() if kind != "signal"]
        if not kinds:
            return []
        ords = np.sort(np.concatenate(kinds).astype(np.int64))
        self._is_whole &= self.due is not None
        due = int(ords[0]) if self.due is None else self.due
        steps = np.diff(ords, prepend=due - 1)
        for at in np.flatnonzero(steps <= 0).tolist()[:TOLD_PROBLEMS]:
            self.problems.append(f"ord {ords[at]}: expected one row behind the last, found another")
        found = [
            Hole(int(ords[at] - steps[at] + 1), int(ords[at]))
            for at in np.flatnonzero(steps > 1).tolist()
        ]
        self.holes += found
        self.due = int(ords[-1]) + 1
        self._listen(batch["status"])
        return [hole.behind for hole in found]

    def _listen(self, rows: pa.RecordBatch) -> None:
        wanted = pa.array(["overflow", "unrecorded", "recording"])
        told = rows.filter(pc.is_in(rows["kind"], wanted))
        for row in told.select(["ord", "kind", "expected", "got", "count"]).to_pylist():
            if row["kind"] == "overflow":
                self._overflows.append((row["expected"], row["got"], row["count"]))
            else:
                self._unrecorded.append((row["ord"], row["count"] or 0))

    def unexplained(self) -> Iterator[str]:
        """Describe each hole that no row explains."""
        yield from self.problems
        lost = 0
        told_of = [0] * len(self._overflows)
        for hole in self.holes:
            count = hole.behind - hole.first
            for at, (first, behind, _) in enumerate(self._overflows):
                if first <= hole.first and hole.behind <= behind:
                    told_of[at] += count
                    break
            else:
                # The recorder counts all losses since its start.
                lost += count
                told = [total for order, total in self._unrecorded if order >= hole.behind]
                if max(told, default=0) < lost:
                    yield (
                        f"ord {hole.first} to {hole.behind - 1}: expected {count} rows, or a status"
                        " row that tells of their loss, found neither"
                    )
        for (first, behind, count), missing in zip(self._overflows, told_of, strict=True):
            if self._is_whole and missing != count:
                yield (
                    f"ord {first} to {behind - 1}: expected {count} rows lost as a status row"
                    f" tells, found {missing} missing"
                )


class Report(NamedTuple):
    """The findings; `document` is what `--json` prints, with a line per problem and note."""

    document: dict[str, Any]

    @property
    def is_damaged(self) -> bool:
        return bool(self.document["problems"])


def verify(folder: Path, name: str, on_progress: OnProgress | None = None) -> Report:
    """Read all of a recording, given by id or path, the running one included.

    Raises ValueError if there is none.
    """
    recording_id, path = recordings.find(folder, name)
    reader = _Reader(on_progress)
    for gone in removed(path) if path.is_dir() else ():
        reader.pass_over(gone["segment"], gone["ords"][1])
    with recordings.parts_of(folder, path) as parts:
        if path.is_dir() and not parts:
            reader.problems.append(f"{path.name}: expected a segment, found none")
        reader.total_rows = sum(sum(part.entry.rows.values()) for part in parts if part.entry)
        for part in parts:
            reader.read(part)
    for file in sorted(path.glob("*.damaged")) if path.is_dir() else ():
        reader.problems.append(f"{file.name}: expected a readable segment, found it set aside")
    left_open = recordings.left_open_in(path)
    if left_open and "open" not in reader.states:
        reader.states.add("unclean")
        reader.notes.append(f"{left_open[0].name}: left open, to be recovered: its rows are unread")
    return Report(reader.document(recording_id))


class _Reader:
    """Reads part after part, and keeps the findings."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self.total_rows = 0
        self._on_progress = on_progress
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.states: set[str] = set()
        self._rows: Counter[str] = Counter()
        self._instruments = Instruments()
        self._order, self._digest = Order(), Digest()
        self._checks = Checks(self._instruments)
        self._coverage = Coverage(self._instruments)
        self._span: tuple[int, int] | None = None
        self._since_ns = 0
        self._is_whole = True

    def read(self, part: Part) -> None:
        about = part.about
        if about is None:
            self._give_up(part, "one that cannot be opened")
            return
        self.states.add(about.state)
        if self._order.due == 0 and any(source.startswith(CLIPPED) for source in about.sources):
            # Restated rows are from before the window and do not extend it.
            self._order.due, self._since_ns = None, about.started
        try:
            with closing(Recording(about.id, [part])) as recording:
                for batch in recording.batches(batch_rows=BATCH_ROWS):
                    self._take(batch)
        except NoLocksError:
            raise
        except (*FILE_ERRORS, ValueError) as error:
            self._give_up(part, (str(error).splitlines() or [type(error).__name__])[0])
            return
        found = self._digest.hexdigest()
        if about.state == "unclean":
            self.notes.append(f"{part.file.name}: unclean end: never sealed, so without a digest")
        elif about.state == "open":
            self.notes.append("recording goes on: verified up to now, without a digest")
        elif self._is_whole and about.digest != found:
            self.problems.append(
                f"{part.file.name}: expected rows of the digest {about.digest}, found {found}"
            )

    def pass_over(self, segment: str, last_ord: int) -> None:
        """Begin after a segment that retention deleted."""
        self.notes.append(f"{segment}: removed to keep the folder small, so without a digest")
        self._is_whole, self._order.due = False, last_ord + 1

    def _give_up(self, part: Part, why: str) -> None:
        self.problems.append(f"{part.file.name}: expected a readable segment, found {why}")
        # Neither its digest nor its last `ord` is known.
        self._is_whole, self._order.due = False, None

    def _take(self, batch: Batch) -> None:
        self._digest.update(dict(batch.kinds))
        for kind, rows in batch.kinds.items():
            self._rows[kind] += rows.num_rows
        if self._on_progress is not None:
            self._on_progress(self._rows.total(), self.total_rows)
        holes = self._order.take(batch)
        self._checks.take(batch, holes)
        self._coverage.take(batch, holes)
        times = [column(rows, "ts_recv") for kind, rows in batch.kinds.items() if kind != "signal"]
        ends = [int(end) for values in times for end in (values.min(), values.max())]
        if ends:
            span = self._span or (ends[0], ends[0])
            self._span = min(*ends, span[0]), max(*ends, span[1])

    def document(self, name: str) -> dict[str, Any]:
        self._checks.finish()
        problems = self.problems + list(self._order.unexplained())
        problems += _lines(self._checks.mismatches)
        notes = self.notes + _lines(self._checks.missed)
        span = self._span or (0, 0)
        span = max(span[0], self._since_ns), span[1]
        state = "open" if "open" in self.states else "sealed"
        if problems:
            state = "damaged"
        elif "unclean" in self.states:
            state = "unclean"
        told = self._coverage.told
        return {
            "id": name,
            "state": state,
            "started": iso(span[0]) if self._span else None,
            "ended": iso(span[1]) if self._span else None,
            "digest": self._digest.hexdigest() if self._is_whole else None,
            "rows": {kind: self._rows[kind] for kind in KINDS},
            "told": {kind: told[kind] for kind in TOLD if told[kind]},
            "missing": sum(hole.behind - hole.first for hole in self._order.holes),
            "instruments": list(self._about_instruments(span)),
            "problems": problems,
            "notes": notes,
        }

    def _about_instruments(self, span: tuple[int, int]) -> Iterator[dict[str, Any]]:
        named = [(self._instruments.names[code], code) for code in self._coverage.sources()]
        wrong = Counter(mismatch.instrument for mismatch in self._checks.mismatches)
        for instrument, code in sorted(named):
            source = self._coverage.sources()[code]
            verified, clean = self._coverage.of(code, span)
            compared = self._checks.compared
            yield {
                "venue": instrument[0],
                "symbol": instrument[1],
                "guard": source.guard(instrument[0]),
                "verified_pct": _percent(length_ns(verified), span),
                "clean_pct": _percent(length_ns(clean), span),
                "rows": {kind: source.rows[kind] for kind in ("quote", "trade", "book")},
                "told": {kind: source.told[kind] for kind in TOLD if source.told[kind]},
                "compared": {
                    what: count
                    for (of, what), count in sorted(compared.items())
                    if of == instrument
                },
                "mismatches": wrong[instrument],
            }


def _percent(part_ns: int, span: tuple[int, int]) -> float | None:
    """Return the share of a span in percent, to two places and never rounded up."""
    whole_ns = span[1] - span[0]
    return part_ns * 10_000 // whole_ns / 100 if whole_ns else None


def _lines(found: list[Mismatch]) -> list[str]:
    lines, counts = [], Counter[tuple[str, str]]()
    for order, instrument, text in found:
        counts[instrument] += 1
        if counts[instrument] <= TOLD_PROBLEMS:
            lines.append(f"{' '.join(instrument)} at ord {order}: {text}")
    for instrument, count in counts.items():
        if count > TOLD_PROBLEMS:
            lines.append(f"{' '.join(instrument)}: {count - TOLD_PROBLEMS} more like these")
    return lines
