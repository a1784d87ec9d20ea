"""An aged collector: hours of rows for who attaches, up to now, and then those that come."""

from __future__ import annotations

import time
from pathlib import Path

from support.aged import RATE, SOURCES, aged
from support.running import until

from monitor.collector.follower import Follower
from monitor.hub.hub import Hub
from monitor.page.views.plot import ROLLOVER_ROWS
from monitor.page.views.thinning import FEW
from monitor.processes import locks

S = 1_000_000_000


def test_a_follower_of_an_aged_collector_has_the_rings_of_an_old_one(tmp_path: Path) -> None:
    hub, past_s = Hub(), 2_400.0
    began_ns = time.time_ns()
    with aged(tmp_path, past_s=past_s, no_record=True) as process:
        held = locks.holder(tmp_path)
        assert held is not None and held.pid == process.pid
        follower = Follower(lambda: held, hub)
        follower.start()
        until(lambda: hub.now_ns >= time.time_ns() - S, "rows of now")
        for venue, symbol in (source.split(":") for source in SOURCES):
            written, rows = hub.since("quote", (venue, symbol), 0)
            assert written > ROLLOVER_ROWS
            assert began_ns - rows["ts_recv"][0] > past_s * S / 2
            # Calm enough that plots show every row.
            seconds = rows["ts_recv"] // S
            assert max((seconds == second).sum() for second in set(seconds.tolist())) <= 10 * FEW
        updates = hub.updates
        until(lambda: hub.updates > updates + 2 * RATE, "rows that go on")
        follower.close()
    assert process.wait() == 0
