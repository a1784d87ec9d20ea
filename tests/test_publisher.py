"""A follower of the collector's stream: what it gets when it is slow, and what it is told."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from made_recording import Made

from monitor.batches import WIRE_SCHEMA, Batch, from_wire
from monitor.publisher import Publisher, Stream

ASK = ("ask", 101.0, 1.0)


class Line:
    """A publisher whose clock is set by hand, and the rows that are published."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.publisher = Publisher(lambda: self.now_s)
        self.made = Made()
        self._published = 0

    def publish(self) -> None:
        """Pack what was made since the last time into one chunk."""
        self.publisher(self.made.batch(self._published))
        self._published = self.made.order
        self.publisher.pack()

    def quote(self, bid: float, symbol: str = "BTC-USDT", origin: str = "native") -> None:
        self.made.symbol = symbol
        self.made.quote(self.now_s, ("bid", bid, 1.0), ASK, origin)


def read(stream: Stream) -> list[Batch]:
    return [from_wire(pa.ipc.read_record_batch(data, WIRE_SCHEMA)) for data in stream.next_bytes()]


def rows(batches: list[Batch], kind: str, *names: str) -> list[tuple[Any, ...]]:
    return [
        tuple(row[name] for name in names) for batch in batches for row in batch[kind].to_pylist()
    ]


def fall_behind(line: Line) -> None:
    """Twelve seconds of quotes a second, with a failure and another instrument in between."""
    for second in range(12):
        line.now_s = 1.0 + second
        line.quote(100.0 + second)
        line.quote(100.5 + second, origin="book")
        if second == 3:
            line.quote(7.0, "ETH-USDT")
            line.made.told(line.now_s, "disconnected", scope="symbol", state="failed")
            line.made.change(line.now_s, [("bid", 7.0, 1.0), ("ask", 8.0, 1.0)])
        line.publish()


def test_a_slow_follower_that_wants_the_present_skips_forward() -> None:
    line = Line()
    line.quote(99.0)
    line.publish()
    stream = Stream(line.publisher, skips=True)
    assert len(read(stream)) == 1
    fall_behind(line)
    got = read(stream)
    # Of each second of before the last quote of each origin, here all of them; no book rows.
    assert rows(got, "book", "ord") == []
    assert rows(got, "status", "kind")[0] == ("disconnected",)
    assert ("ETH-USDT", 7.0) in rows(got, "quote", "symbol", "bid")
    assert rows(got, "quote", "bid")[-2:] == [(111.0,), (111.5,)]
    overflow = [row for row in rows(got, "status", "kind", "count") if row[0] == "overflow"]
    assert overflow == [("overflow", 2)]
    # It is at the present again: the next chunk comes whole.
    line.quote(120.0)
    line.publish()
    assert rows(read(stream), "quote", "bid") == [(120.0,)]


def test_of_skipped_rows_the_last_of_each_instrument_and_origin_is_kept() -> None:
    line = Line()
    line.quote(1.0)
    line.publish()
    stream = Stream(line.publisher, skips=True)
    assert len(read(stream)) == 1
    line.now_s = 1.0
    for bid in (10.0, 11.0, 12.0):
        line.quote(bid)
        line.quote(bid + 100, "ETH-USDT")
    line.quote(12.5, origin="book")
    first = line.made.order - 7
    line.publish()
    line.now_s = 15.0
    line.quote(13.0)
    line.publish()
    got = read(stream)
    assert rows(got, "quote", "symbol", "bid") == [
        ("BTC-USDT", 12.0),
        ("ETH-USDT", 112.0),
        ("BTC-USDT", 12.5),
        ("BTC-USDT", 13.0),
    ]
    told = rows(got, "status", "kind", "expected", "got", "count")
    assert told == [("overflow", first, first + 7, 4)]


def test_one_that_wants_all_rows_gets_them_however_slow_it_is() -> None:
    line = Line()
    line.quote(99.0)
    line.publish()
    stream = Stream(line.publisher)
    read(stream)
    fall_behind(line)
    got = read(stream)
    assert len(rows(got, "book", "ord")) == 2
    assert [row[0] for row in rows(got, "status", "kind")] == ["disconnected"]


def test_what_has_left_the_ring_is_counted() -> None:
    line = Line()
    line.quote(99.0)
    line.publish()
    stream = Stream(line.publisher)
    read(stream)
    line.quote(100.0)
    line.publish()
    # Five minutes later the ring has let go of it.
    line.now_s = 400.0
    line.quote(101.0)
    line.publish()
    got = read(stream)
    assert rows(got, "status", "kind", "expected", "got", "count") == [("overflow", 1, 2, 1)]
    assert rows(got, "quote", "bid") == [(101.0,)]
