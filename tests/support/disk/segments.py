"""A program: segments of a day are filled, sealed and made one; it tells what is committed."""

from __future__ import annotations

import sys
from pathlib import Path

from monitor._rust_feed import Digest
from monitor.recordings.segments import About, Journal, Segment
from monitor.recordings.upkeep import DAY_NS, compact
from monitor.rows.batches import Batch
from support.made_rows import batch_of, row

SEGMENTS, JOURNALS, BATCHES, ROWS = 2, 2, 2, 6
FIRST_NS = 20_000 * DAY_NS
NAME = "x"


def batch(number: int) -> Batch:
    """Make the rows that begin with `ord` `number`."""
    ords = range(number, number + ROWS)
    kinds = [("quote", "trade", "status")[at % 3] for at in ords]
    rows = [row(kind, at, FIRST_NS + at) for kind, at in zip(kinds, ords, strict=True)]
    return batch_of(list(zip(kinds, rows, strict=True)))


def main(folder: Path) -> None:
    recording = folder / NAME
    recording.mkdir(exist_ok=True)
    digest, number = Digest(), 0
    with (folder / "committed").open("ab", buffering=0) as told:
        for at in range(SEGMENTS):
            about = About(NAME, FIRST_NS, None, "open", ["test:X"], None)
            segment = Segment(recording / f"{at:03d}.duckdb", about)
            for turn in range(JOURNALS):
                journal = Journal(segment.file, turn, about)
                for _ in range(BATCHES):
                    rows = batch(number)
                    journal.write(rows)
                    digest.update(dict(rows.kinds))
                    number += ROWS
                    told.write(f"{number}\n".encode())
                if turn < JOURNALS - 1:
                    segment.take(journal.con)
                else:
                    segment.seal(FIRST_NS + number, digest.hexdigest(), journal=journal.con)
                journal.remove()
        list(compact(folder, FIRST_NS + DAY_NS))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
