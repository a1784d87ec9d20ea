"""A collector that has run for hours within seconds: a page on it has the full rings of an old one.

`with aged(folder):` runs the real collector (recorder, hooks, publisher, HTTP port, lock file) on a
simulated market of which hours have passed when it is ready, and which goes on at a calm rate. The
rows come through the real sessions; only the sockets are left out. It gives hours to followers that
attach within the first five minutes, as the publisher keeps no more.

By hand: .venv/bin/python tests/support/aged.py FOLDER [--past S] [--rate N] [SOURCE]…
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from monitor._rust_feed import Feed  # noqa: E402
from monitor.collector import collector_process  # noqa: E402
from monitor.feeds.all_feeds import Way  # noqa: E402
from monitor.processes import locks  # noqa: E402
from monitor.rows.batches import Batch  # noqa: E402
from monitor.rows.sources import Source, parse  # noqa: E402
from monitor.settings.configuration import Endpoint, Settings, VenueSettings  # noqa: E402
from monitor.simulate.market.past_rows import TICK_NS, Talk  # noqa: E402

SOURCES = ("binance:BTC-USDT", "kraken:BTC-USD", "coinbase:BTC-USD")
# An hour at so many messages a second in all is 15,000 quotes or more of each source.
PAST_S, RATE, SEED = 3_600.0, 30.0, 1
READY, NOWHERE = "ready", "ws://127.0.0.1:9"
S = 1_000_000_000
# A piece of the past is made at once; whoever is this far behind has slept, and skips.
PIECE_NS, BEHIND_NS = 30 * S, S
CAPACITY_ROWS = 1_000_000


class Aged:
    """Takes the place of the collector's feeds: rows of a talk in a time of its own, up to now."""

    past_s, rate = PAST_S, RATE

    def __init__(
        self,
        sources: Sequence[Source],
        endpoints: Mapping[str, Any],
        settings: Mapping[str, VenueSettings],
        raw: bool = False,
    ) -> None:
        self.sources, self.running = list(sources), False
        self._lock = threading.Lock()
        self._feed = Feed(CAPACITY_ROWS)
        self._now_ns = time.time_ns() - int(self.past_s * S)
        self._clock_ns = self._now_ns
        self._talk = Talk(
            self.sources, self._feed, rate=self.rate, seed=SEED, start_ns=self._now_ns
        )
        self._is_old = False

    def start(self) -> None:
        with self._lock:
            self.running = True

    def stop(self) -> None:
        with self._lock:
            if self.running:
                self.running = False
                self._talk.close(self._now_ns, "stopped on request")

    def close(self) -> None:
        self.stop()
        self._feed.close()

    def ways(self) -> list[tuple[Source, Way]]:
        return [(source, Way(source.venue, "auto", None, 1)) for source in self.sources]

    def has_address(self, venue: str) -> bool:
        return True

    def check(self, source: Source) -> str:
        raise ValueError(f"expected no other source of an aged collector, found {source}")

    def add(self, source: Source) -> None:
        self.check(source)

    def remove(self, source: Source) -> None:
        self.check(source)

    def tick(self, recorder_lag_ms: float) -> None:
        """Clock rows are written as time is made."""

    def announce(self) -> None:
        """What there is was announced at the start."""

    def status(
        self, scope: str, state: str, kind: str, detail: str | None = None, count: int | None = None
    ) -> None:
        with self._lock:
            self._feed.status(self._now_ns, scope, state, kind, detail, count)

    def drain(self, wait_ms: int, linger_ms: int) -> Batch | None:
        if self._is_old:
            time.sleep(linger_ms / 1e3)
        with self._lock:
            self._make_rows()
        kinds = self._feed.drain(0, 0)
        if kinds is None:
            return None
        return Batch({kind: pa.record_batch(rows) for kind, rows in kinds.items()})

    def _make_rows(self) -> None:
        """Let a piece of time pass, with a clock row every 100 ms."""
        now_ns = time.time_ns()
        if self._is_old and now_ns - self._now_ns > BEHIND_NS:
            self._talk.skip(now_ns)
            self._clock_ns = self._now_ns = now_ns
        until_ns = min(now_ns, self._now_ns + PIECE_NS)
        while self._clock_ns < until_ns:
            self._now_ns = self._clock_ns
            if self.running:
                for _ in self._talk.until(self._now_ns):
                    pass
            else:
                self._talk.skip(self._now_ns)
            self._feed.clock(self._now_ns, 0, 0.0)
            self._clock_ns += TICK_NS
        if not self._is_old and now_ns - self._now_ns < BEHIND_NS // 2:
            self._is_old = True
            print(READY, flush=True)


@contextmanager
def aged(
    folder: Path,
    sources: Sequence[str] = SOURCES,
    past_s: float = PAST_S,
    rate: float = RATE,
    no_record: bool = False,
) -> Iterator[subprocess.Popen[str]]:
    """Run an aged collector on a recordings folder; yield its process once it is old."""
    command = [sys.executable, __file__, str(folder), "--past", str(past_s), "--rate", str(rate)]
    command += ["--no-record"] if no_record else []
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*command, *sources], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            found = process.stdout.readline().strip()
            assert found == READY, f"expected an aged collector, found {found!r}"
            assert locks.holder(folder) is not None
            yield process
        finally:
            process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--past", type=float, default=PAST_S, help="seconds")
    parser.add_argument("--rate", type=float, default=RATE, help="messages per second in all")
    parser.add_argument("--no-record", action="store_true")
    parser.add_argument("sources", nargs="*", metavar="SOURCE", default=SOURCES)
    given = parser.parse_intermixed_args()
    Aged.past_s, Aged.rate = given.past, given.rate
    collector_process.Feeds = Aged  # type: ignore[assignment, misc]
    sources = [parse(source) for source in given.sources or SOURCES]
    collector_process.run(
        collector_process.Options(
            folder=given.folder,
            sources=sources,
            # Nobody listens there: it says that the market is a simulated one.
            endpoints={source.venue: Endpoint(NOWHERE, None) for source in sources},
            settings=Settings(),
            record=not given.no_record,
        )
    )


if __name__ == "__main__":
    main()
