"""The book path, wire to Arrow, against cryptofeed: 40-level changes, checks on, one core.

cryptofeed comes with a group of its own: .venv/bin/python -m pip install --group bench
Run: taskset -c 0 .venv/bin/python tests/bench/bench_book.py
Binance: both get the same messages. Kraken: the same changes, each in the protocol it speaks, of
one side each, since cryptofeed looks at no checksum where both changed. The messages are 100 ms
apart, as the venue sends them: read one by one, each also brings a `depth` row. Times are of the
process, so that what else runs on the machine counts less.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from books import STEP_MS, TIME_MS, binance, coinbase_snapshot, kraken
from cryptofeed.defines import L2_BOOK
from cryptofeed.exchanges import Binance, Kraken
from cryptofeed.symbols import Symbols

from monitor._rust_feed import Feed, Session
from monitor.cli.bench import framed

COUNT, RUNS, DRAIN_ROWS = 10_000, 5, 10_000
# Messages of a read: as the venue sends them, and as they come under load (about 64 KB).
TOGETHER = (1, 32)
SNAPSHOT_LEVELS, SNAPSHOT_RUNS, CHUNK = 44_000, 11, 1 << 16
CAPACITY_ROWS = 1_000_000
TOP = 20
MAYBE_BAD_BOOK = 4
STEP_NS = STEP_MS * 1_000_000

FIRST_NS = TIME_MS * 1_000_000

# Bytes and the time they came at.
Read = tuple[bytes, int]
Timed = tuple[float, list[list[float]]]


def reads(frames: list[bytes], together: int) -> list[Read]:
    """Let so many frames arrive at once, at the time of the last of them."""
    return [
        (b"".join(frames[at : at + together]), FIRST_NS + (at + together) * STEP_NS)
        for at in range(0, len(frames), together)
    ]


def ours(feed: Feed, session: Session, arriving: list[Read]) -> Timed:
    """WebSocket bytes to Arrow record batches; seconds, and the best levels at the end."""
    began_s = time.process_time()
    for data, now_ns in arriving:
        session.receive(data, now_ns)
        if len(feed) > DRAIN_ROWS:
            drain(feed)
    # Ends the connection, which tells what is withheld of the last 100 ms.
    session.closed(0, arriving[-1][1], "ended", "no more messages")
    kinds = drain(feed)
    took_s = time.process_time() - began_s
    assert not kinds["book"]["flags"][-1].as_py() & MAYBE_BAD_BOOK
    last = kinds["depth"].slice(kinds["depth"].num_rows - 1).to_pylist()[0]
    sides = ("bid_prices", "bid_sizes", "ask_prices", "ask_sizes")
    return took_s, [last[side] for side in sides]


def drain(feed: Feed) -> dict[str, pa.RecordBatch]:
    return {kind: pa.record_batch(rows) for kind, rows in (feed.drain(0, 0) or {}).items()}


def ours_binance(snapshot: str, arriving: list[Read]) -> Timed:
    feed = Feed(CAPACITY_ROWS)
    session = Session(feed, "binance", "{}")
    path = "/api/v3/depth?symbol=ETHUSDT&limit=1000"
    session.fetched(0, path, snapshot, FIRST_NS, 0)
    return ours(feed, session, arriving)


def ours_kraken(first: bytes, arriving: list[Read]) -> Timed:
    feed = Feed(CAPACITY_ROWS)
    session = Session(feed, "kraken", "{}")
    ack = (
        '{"method":"subscribe","result":{"channel":"book","depth":100,"snapshot":true,'
        '"symbol":"XRP/USD"},"success":true,"time_in":"2026-09-25T17:00:00.000000Z",'
        '"time_out":"2026-09-25T17:00:00.000030Z"}'
    )
    for frame in (framed([ack.encode()]), first):
        session.receive(frame, FIRST_NS)
    return ours(feed, session, arriving)


class Rest:
    """What cryptofeed asks for a snapshot."""

    def __init__(self, body: str) -> None:
        self._body = body

    async def read(self, address: str) -> str:
        return self._body


def theirs(feed: Any, first: list[str], messages: list[str]) -> Timed:
    """JSON texts, already cut out of the WebSocket, to its book; seconds, and the best levels."""
    (symbol,) = feed.normalized_symbols

    async def drive() -> float:
        for message in first:
            await feed.message_handler(message, None, 0.0)
        began_s = time.process_time()
        for message in messages:
            await feed.message_handler(message, None, 0.0)
        return time.process_time() - began_s

    took_s = asyncio.run(drive())
    book = feed._l2_book[symbol].book
    tops = [list(side.to_dict().items())[:TOP] for side in (book.bids, book.asks)]
    return took_s, [[float(level[at]) for level in top] for top in tops for at in (0, 1)]


def cryptofeed(exchange: Any, symbol: str, raw_symbol: str, **options: Any) -> Any:
    async def seen(book: Any, receipt_timestamp: float) -> None:
        """Take the book, as a user's callback does."""

    # Otherwise it asks the venue for its symbols.
    Symbols.set(exchange.id, {symbol: raw_symbol}, {"instrument_type": {symbol: "spot"}})
    return exchange(symbols=[symbol], channels=[L2_BOOK], callbacks={L2_BOOK: seen}, **options)


def theirs_binance(snapshot: str, messages: list[str]) -> Timed:
    feed = cryptofeed(Binance, "ETH-USDT", "ETHUSDT")
    feed.http_conn = Rest(snapshot)
    return theirs(feed, [], messages)


def theirs_kraken(messages: list[str]) -> Timed:
    options = {"max_depth": 100, "checksum_validation": True, "cross_check": True}
    feed = cryptofeed(Kraken, "XRP-USD", "XRP/USD", **options)
    return theirs(feed, messages[:1], messages[1:])


def compare(name: str, fast: Callable[[int], Timed], slow: Callable[[], Timed]) -> None:
    taken: dict[int, list[float]] = {together: [] for together in (0, *TOGETHER)}
    for _ in range(RUNS):
        their_s, their_top = slow()
        taken[0].append(their_s)
        for together in TOGETHER:
            our_s, our_top = fast(together)
            assert our_top == their_top
            taken[together].append(our_s)
    print(f"{name}, cryptofeed          {COUNT / min(taken[0]):10,.0f} msg/s")
    for together in TOGETHER:
        ratios = sorted(
            their_s / our_s for their_s, our_s in zip(taken[0], taken[together], strict=True)
        )
        print(
            f"{name}, to Arrow, {together:2} a read  {COUNT / min(taken[together]):10,.0f} msg/s, "
            f"ratio {statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})"
        )


def snapshot_ms(chunks: list[bytes]) -> float:
    """A large snapshot, read in chunks, to Arrow record batches; milliseconds."""
    feed = Feed(CAPACITY_ROWS)
    session = Session(feed, "coinbase", "{}")
    began_s = time.process_time()
    for chunk in chunks:
        session.receive(chunk, FIRST_NS)
    kinds = drain(feed)
    took_ms = (time.process_time() - began_s) * 1e3
    # The first row clears the book.
    assert kinds["book"].num_rows == SNAPSHOT_LEVELS + 1
    return took_ms


def main() -> None:
    snapshot, diffs = binance(COUNT)
    frames = [framed([text.encode()]) for text in diffs]
    compare(
        "Binance",
        lambda together: ours_binance(snapshot, reads(frames, together)),
        lambda: theirs_binance(snapshot, diffs),
    )
    updates = kraken(COUNT)
    first, *rest = (framed([text.encode()]) for text in updates.v2)
    compare(
        "Kraken",
        lambda together: ours_kraken(first, reads(rest, together)),
        lambda: theirs_kraken(updates.v1),
    )
    wire = framed([coinbase_snapshot(SNAPSHOT_LEVELS).encode()])
    chunks = [wire[at : at + CHUNK] for at in range(0, len(wire), CHUNK)]
    times = sorted(snapshot_ms(chunks) for _ in range(SNAPSHOT_RUNS))
    print(
        f"Coinbase, snapshot of {SNAPSHOT_LEVELS:,} levels, {len(wire) / 1e6:.1f} MB: "
        f"{statistics.median(times):.1f} ms ({times[0]:.1f} to {times[-1]:.1f})"
    )


if __name__ == "__main__":
    main()
