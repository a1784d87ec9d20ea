"""A follower of the collector's stream: what it gets when it is slow, and what it is told."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from support.made_recording import Made

from monitor.collector.publisher import BehindError, Publisher, Stream
from monitor.rows.batches import WIRE_SCHEMA, Batch, from_wire

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

    def quote(self, bid: float) -> None:
        self.made.quote(self.now_s, ("bid", bid, 1.0), ASK, "native")


def read(stream: Stream) -> list[Batch]:
    return [from_wire(pa.ipc.read_record_batch(data, WIRE_SCHEMA)) for data in stream.next_bytes()]


def rows(batches: list[Batch], kind: str, *names: str) -> list[tuple[Any, ...]]:
    return [
        tuple(row[name] for name in names) for batch in batches for row in batch[kind].to_pylist()
    ]


def fall_behind(line: Line) -> None:
    """Twelve seconds of a quote a second, with a failure in between."""
    for second in range(12):
        line.now_s = 1.0 + second
        line.quote(100.0 + second)
        if second == 3:
            line.made.told(line.now_s, "disconnected", scope="symbol", state="failed")
            line.made.change(line.now_s, [("bid", 7.0, 1.0), ("ask", 8.0, 1.0)])
        line.publish()


def test_a_slow_follower_that_shows_the_present_is_sent_to_attach_anew() -> None:
    line = Line()
    line.quote(99.0)
    line.publish()
    stream = Stream(line.publisher, leads_to_now=True)
    assert len(read(stream)) == 1
    fall_behind(line)
    with pytest.raises(BehindError):
        stream.next_bytes()
    # It gets all that is kept when it attaches, and what comes from then on.
    again = Stream(line.publisher, leads_to_now=True)
    assert rows(read(again), "quote", "bid")[-1] == (111.0,)
    line.quote(120.0)
    line.publish()
    assert rows(read(again), "quote", "bid") == [(120.0,)]


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
    stream, present = Stream(line.publisher), Stream(line.publisher, leads_to_now=True)
    read(stream)
    read(present)
    line.quote(100.0)
    line.publish()
    # Five minutes later the ring has let go of it.
    line.now_s = 400.0
    line.quote(101.0)
    line.publish()
    with pytest.raises(BehindError):
        present.next_bytes()
    got = read(stream)
    assert rows(got, "status", "kind", "expected", "got", "count") == [("overflow", 1, 2, 1)]
    # The loss is told at the time of the rows after it.
    assert rows(got, "status", "ts_recv") == rows(got, "quote", "ts_recv")
    assert rows(got, "quote", "bid") == [(101.0,)]


def head(stream: Stream) -> list[Batch]:
    """Return what stands between the schema and the first row."""
    with pa.ipc.open_stream(stream.head) as records:
        return [from_wire(record) for record in records]


def test_one_that_shows_the_present_is_told_the_states_of_before_the_ring() -> None:
    line = Line()
    for second, state in enumerate(("initialising", "connected", "stale")):
        line.now_s = float(second)
        line.made.told(line.now_s, state, scope="symbol", state=state)
        line.publish()
    assert rows(head(Stream(line.publisher, leads_to_now=True)), "status", "state") == []
    # The ring lets go of the first two.
    line.now_s = 301.5
    line.quote(101.0)
    line.publish()
    present = Stream(line.publisher, leads_to_now=True)
    assert rows(head(present), "status", "state") == [("connected",)]
    assert rows(read(present), "status", "state") == [("stale",)]
    line.now_s = 1000.0
    line.publish()
    assert rows(head(Stream(line.publisher, leads_to_now=True)), "status", "state") == [("stale",)]
    # Who writes rows down is sent rows alone.
    assert head(Stream(line.publisher)) == []
