"""The follower of a collector: what its reader raises is not taken for a lost line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.running import collector_of, until

from monitor.collector.follower import Follower
from monitor.processes import locks
from monitor.rows.batches import Batch

Run = Callable[..., Any]


@pytest.mark.parametrize("leads_to_now", [False, True])
def test_an_error_of_the_reader_ends_the_follower_and_is_kept(
    tmp_path: Path, background: Run, leads_to_now: bool
) -> None:
    background("record", "mock:BTC-USD", "--simulated")
    folder = tmp_path / "recordings"
    collector_of(folder)
    attached: list[int] = []
    full = OSError(28, "No space left on device")

    def attach(held: locks.Held, _: Batch) -> None:
        attached.append(held.pid)

    def fail(batch: Batch) -> None:
        raise full

    follower = Follower(lambda: locks.holder(folder), fail, attach, leads_to_now)
    follower.start()
    try:
        until(lambda: follower.error, "the end of the follower")
        follower.wait()
    finally:
        follower.close()
    assert (follower.error, len(attached)) == (full, 1)
