"""The counts of the mini-map."""

from __future__ import annotations

from pathlib import Path

from support.made_rows import MS, batch_of, record, row

from monitor.recordings import overview

START, S = 1_700_000_000_000_000_000, 1_000 * MS


def test_of_captured_frames_which_have_no_counts_the_ticks_are_counted(tmp_path: Path) -> None:
    # One row a second for a minute, and forty more in its last second.
    seconds = [*range(61), *[60] * 40]
    kinds = ("quote", "trade", "book")
    rows = [
        (kinds[n % 3], row(kinds[n % 3], n, START + second * S)) for n, second in enumerate(seconds)
    ]
    record(tmp_path / "frames", [batch_of(rows)])
    seen = overview.survey(tmp_path, ["frames"], (START, START + 60 * S))
    assert sum(seen.rows) == len(seconds)
    assert seen.rows[-1] == 41 and max(seen.rows[:-1]) == 1
