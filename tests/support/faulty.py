"""A real collector on the simulated exchange with its faults: what was injected, what recorded."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from json import dumps, loads
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import pyarrow as pa

from monitor import recordings
from monitor.collector.follower import Follower
from monitor.processes import locks
from monitor.rows.batches import INVALID, MAYBE_BAD_BOOK, Batch
from monitor.simulate import Simulator
from monitor.simulate.market.listings import listings
from monitor.simulate.simulator import SEED
from support.fault_rules import NUMBERED_BOOKS, UNPROVABLE_BOOKS
from support.recorded_books import Observation

VENUES = (
    *("binance", "binance-us", "kraken", "kraken-v1"),
    *("coinbase", "coinbase-exchange", "finnhub"),
)
# What they have no stream for is polled.
POLLED = {"uniswap": ("ETH-USDC",), "mock": ("BTC-USD", "ETH-USD", "SOL-USD")}
BOOKLESS = ("finnhub", *POLLED)
# Where the index of Uniswap's pools is asked in place of a node.
SUBGRAPH = "/api/a_key/subgraphs/id/5zvR82QoaXYFyDEKLZ9t6v9adgnptxYpKpSbxtgVENFV"
KEY = {"FINNHUB_API_KEY": "a-key"}
# The first instruments of each venue: one more than are hit, so that one is left to be disturbed.
INSTRUMENTS = 3
# Messages per second of each venue.
RATE = 40
DEADLINE_S = 40.0
# A state observed is taken for recorded when the collector's clock is so far beyond it.
ARRIVED_NS = 300_000_000
# Changes that wait to be sent together, without a number, have been sent so long after the last.
BATCHED_NS = 75_000_000
# Kinds whose rows are data.
DATA = ("quote", "trade", "book")

T = TypeVar("T")
Row = dict[str, Any]


class Recorded(NamedTuple):
    """All that came of a run."""

    rows: dict[str, list[Row]]
    injected: dict[str, Counter[str]]
    strikes: dict[str, list[Row]]
    observations: list[Observation]
    tls: int
    stderr: str

    def statuses(self, venue: str, kind: str) -> list[Row]:
        """Return the rows of a kind that are not repeated for each symbol."""
        return [
            row
            for row in self.rows["status"]
            if (row["venue"], row["kind"]) == (venue, kind) and row["scope"] != "symbol"
        ]

    def of(self, table: str, venue: str, symbol: str) -> list[Row]:
        return [r for r in self.rows[table] if (r["venue"], r["symbol"]) == (venue, symbol)]


class Run:
    """A collector at work: what it records as it comes, and how to ask the exchange."""

    def __init__(
        self,
        folder: Path,
        simulator: Simulator,
        venues: Sequence[str],
        channels: str = "",
        settings: str = "",
        ports: tuple[int, int] | None = None,
        instruments: int = INSTRUMENTS,
        path: str = "",
        flags: Sequence[str] = (),
    ) -> None:
        self.folder, self.simulator, self.venues = folder, simulator, venues
        self.followed = {venue: canonical(venue, instruments) for venue in venues}
        self.statuses: list[Row] = []
        self.observations: list[Observation] = []
        # Of each instrument: the connection that brought its last data, and how many rows.
        self.data: dict[tuple[str, str], tuple[int, int]] = {}
        # The ids of the trades that came.
        self.trade_ids: dict[tuple[str, str], set[str]] = {}
        self.now_ns = 0
        self._sequences: set[tuple[str, str, int]] = set()
        self._with_books = [
            venue
            for venue in venues
            if venue not in BOOKLESS and (not channels or "+book" in channels)
        ]
        self._news = threading.Condition()
        self._questions = 0
        self._command = self._arguments(channels, settings, ports or (simulator.port,) * 2, path)
        self._command += flags
        self._follower = Follower(lambda: locks.holder(folder), self._take)

    def __enter__(self) -> Run:
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **KEY},
        )
        self._follower.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._follower.close()
        self._process.kill()
        self._process.communicate()

    def until(self, probe: Callable[[], T | None], what: str, deadline_s: float = DEADLINE_S) -> T:
        """Ask `probe` whenever rows have come, until it gives something."""
        end_s = time.monotonic() + deadline_s
        while not (found := probe()):
            with self._news:
                if not self._news.wait(end_s - time.monotonic()):
                    told = Counter((row["venue"], row["kind"]) for row in self.statuses)
                    raise AssertionError(f"expected {what} in {deadline_s:g} s, found {told}")
        return found

    def has_data(self) -> bool:
        """Tell whether each instrument has had data since its venue's last loss of connection."""
        lost = {
            row["venue"]: row["conn"]
            for row in self.statuses
            if row["kind"] == "disconnected" and row["scope"] == "connection"
        }
        return all(
            self.data.get((venue, symbol), (0, 0))[0] > lost.get(venue, 0)
            for venue in self.venues
            for symbol in self.followed[venue].values()
        )

    def injected(self) -> dict[str, Counter[str]]:
        told = self._ask("")["faults"]
        return {venue: Counter(told[venue]) for venue in self.venues}

    def strikes(self, venue: str) -> list[Row]:
        told: list[Row] = self._ask(f"/strikes?venue={venue}")
        return told

    def made(self) -> dict[tuple[str, str], list[Row]]:
        """Ask the exchange for the newest trades that it made: it remembers so many of each."""
        return {
            (venue, symbol): self._ask(f"/trades?venue={venue}&symbol={quote(raw)}")
            for venue in self.venues
            if venue not in POLLED
            for raw, symbol in self.followed[venue].items()
        }

    def control(self, action: str, *sources: str, mode: str | None = None) -> None:
        """Have the running collector start, stop, add or remove, as the page does."""
        held = locks.holder(self.folder)
        assert held is not None
        how = {} if mode is None else {"mode": mode}
        wanted = {"action": action, "sources": [{"source": source, **how} for source in sources]}
        headers = {"Authorization": f"Bearer {held.token}", "Content-Type": "application/json"}
        url, data = f"http://{held.address}/sources", dumps(wanted).encode()
        request = urllib.request.Request(url, data, headers)
        try:
            urllib.request.urlopen(request, timeout=DEADLINE_S).close()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{action} {sources}: {error.read().decode()}") from error

    def calm(self) -> None:
        """End the faults."""
        self._ask("/calm", "POST")

    def observe(self, states: int) -> None:
        """Look at the exchange's own books until each was seen in so many states that arrived."""
        if not self._with_books:
            return
        seen: dict[tuple[str, str], set[tuple[int | None, int]]] = {
            (venue, raw): set() for venue in self._with_books for raw in self.followed[venue]
        }

        # A book that is seldom at rest is not waited for as often; but the first state may be one
        # of before its snapshot, which no message tells the time of.
        wanted = {v: 2 if v in UNPROVABLE_BOOKS else states for v in self._with_books}

        def wanting() -> list[tuple[str, str]]:
            return [
                (venue, raw)
                for (venue, raw), told in seen.items()
                if sum(self._has(venue, raw, sequence) for sequence, _ in told) < wanted[venue]
            ]

        def enough() -> bool:
            for venue, raw in wanting():
                asked_ns = time.time_ns()
                told = self._ask(f"/book?venue={venue}&symbol={raw}")
                if venue not in UNPROVABLE_BOOKS or asked_ns - told["changed_ns"] > BATCHED_NS:
                    seen[venue, raw].add((told["sequence"], told["changed_ns"]))
                symbol = self.followed[venue][raw]
                self.observations.append(Observation(venue, symbol, asked_ns, told))
            return not wanting()

        self.until(enough, f"{states} states of each book")
        last_ns = self.observations[-1].asked_ns + ARRIVED_NS
        self.until(lambda: self.now_ns > last_ns, "rows beyond the last observation")

    def stop(self) -> Recorded:
        """End the collector as a user does, and read what it recorded."""
        self._process.send_signal(signal.SIGTERM)
        _, stderr = self._process.communicate(timeout=DEADLINE_S)
        assert self._process.returncode == 0, stderr
        (listed,) = recordings.catalogue(self.folder)
        rows: dict[str, list[Row]] = {kind: [] for kind in (*DATA, "status")}
        with recordings.open_recording(self.folder, listed["id"]) as recording:
            for batch in recording.batches():
                for kind in rows:
                    rows[kind] += plain(batch[kind])
        told = self._ask("")
        tls = told["tls"] - self._questions
        return Recorded(
            rows,
            {venue: Counter(told["faults"][venue]) for venue in self.venues},
            {venue: self.strikes(venue) for venue in self.venues},
            self.observations,
            tls,
            stderr,
        )

    def _has(self, venue: str, raw: str, sequence: int | None) -> bool:
        """Tell whether a good book was in a state; messages of several changes pass over some."""
        if sequence is None or venue not in NUMBERED_BOOKS:
            return True
        return (venue, self.followed[venue][raw], sequence) in self._sequences

    def _arguments(
        self, channels: str, settings: str, ports: tuple[int, int], path: str
    ) -> list[str]:
        command = [sys.executable, "-m", "monitor.cli", "record", "--recordings", str(self.folder)]
        s = self.simulator.ws_url("").partition(":")[0].removeprefix("ws")
        for venue in self.venues:
            chosen = "" if venue in BOOKLESS else channels
            command += [f"{venue}:{name}{chosen}" for name in self.followed[venue].values()]
            urls = f"http{s}://127.0.0.1:{ports[1]}/{venue}{path}"
            if venue not in POLLED:
                urls += f",ws{s}://127.0.0.1:{ports[0]}/{venue}"
            command += ["--endpoint", f"{venue}={urls}"]
        if settings:
            file = self.folder.with_suffix(".toml")
            file.write_text("".join(f"[venues.{venue}]\n{settings}\n" for venue in self.venues))
            command += ["--config", str(file)]
        return command

    def _take(self, batch: Batch) -> None:
        with self._news:
            self.statuses += plain(batch["status"])
            self.now_ns = max(self.now_ns, batch.now_ns or 0)
            for kind in DATA:
                columns = (batch[kind][name].to_pylist() for name in _PLACE)
                for venue, symbol, conn, flags in zip(*columns, strict=True):
                    if not flags & INVALID:
                        count = self.data.get((venue, symbol), (0, 0))[1]
                        self.data[venue, symbol] = (conn, count + 1)
            ids = (batch["trade"][name].to_pylist() for name in ("venue", "symbol", "trade_id"))
            for venue, symbol, trade_id in zip(*ids, strict=True):
                self.trade_ids.setdefault((venue, symbol), set()).add(trade_id)
            places = (batch["book"][name].to_pylist() for name in (*_PLACE, "seq"))
            for venue, symbol, _, flags, seq in zip(*places, strict=True):
                if not flags & MAYBE_BAD_BOOK:
                    self._sequences.add((venue, symbol, seq))
            self._news.notify_all()

    def _ask(self, path: str, method: str = "GET") -> Any:
        url = f"{self.simulator.http_url('').removesuffix('/')}/_simulate{path}"
        self._questions += url.startswith("https")
        request = urllib.request.Request(url, method=method)
        with urllib.request.urlopen(request, timeout=DEADLINE_S, context=_TRUSTING) as answer:
            return loads(answer.read())


# The exchange's certificate may be the very fault.
_TRUSTING = ssl._create_unverified_context()
_PLACE = ("venue", "symbol", "conn", "flags")


def canonical(venue: str, count: int = INSTRUMENTS) -> dict[str, str]:
    """Return the canonical names of the first instruments of a venue, by the venue's own."""
    if venue in POLLED:
        return {name: name for name in POLLED[venue][:count]}
    return {item.raw_symbol: f"{item.base}-{item.quote_asset}" for item in listings(venue)[:count]}


def plain(rows: pa.RecordBatch) -> list[Row]:
    """Return rows with their times in ns since 1970."""
    columns = [
        column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        for column in rows.columns
    ]
    taken: list[Row] = pa.RecordBatch.from_arrays(columns, names=rows.schema.names).to_pylist()
    return taken


@contextmanager
def collecting(
    folder: Path,
    faults: Sequence[str],
    venues: Sequence[str] = VENUES,
    channels: str = "",
    settings: str = "",
    seed: int = SEED,
    instruments: int = INSTRUMENTS,
    path: str = "",
    flags: Sequence[str] = (),
) -> Iterator[Run]:
    """Run the exchange with these faults, and a collector on it."""
    with (
        Simulator(venues, rate=RATE * len(venues), seed=seed, faults=faults) as simulator,
        Run(folder, simulator, venues, channels, settings, None, instruments, path, flags) as run,
    ):
        yield run
