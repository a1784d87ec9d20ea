"""Recordings made by hand, row by row, for tests that know every number in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import strategies as st

from monitor.recordings.recorder import Recorder
from monitor.rows.batches import (
    KEYFRAME,
    KINDS,
    LAST,
    SCHEMAS,
    SNAPSHOT,
    Batch,
)

S = 1_000_000_000
# Some moment on a whole second.
T0 = 1_700_000_000 * S
Level = tuple[str, float, float]


class Made:
    """Rows in the order they are said, numbered from 0; times are seconds since `T0`."""

    def __init__(self, venue: str = "binance", symbol: str = "BTC-USDT") -> None:
        self.venue, self.symbol = venue, symbol
        self.rows: list[tuple[str, dict[str, Any]]] = []
        self.order = 0

    def say(self, table: str, at_s: float, /, **values: Any) -> int:
        """Add a row; return its `ord`."""
        header = {
            "ord": self.order,
            "ts_recv": T0 + round(at_s * S),
            "venue": self.venue,
            "symbol": self.symbol,
            "conn": 1,
            "flags": 0,
        }
        names = SCHEMAS[table].names
        self.rows.append((table, dict.fromkeys(names) | header | values))
        self.order += 1
        return self.order - 1

    def clock(self, at_s: float) -> int:
        own = {"venue": "monitor", "symbol": None}
        return self.say("clock", at_s, offset_ns=0, buffered_rows=0.0, recorder_lag_ms=0.0, **own)

    def listed(self, at_s: float, **values: Any) -> int:
        return self.say("instrument", at_s, **{"raw_symbol": "X", "seq_scope": "symbol"} | values)

    def told(self, at_s: float, kind: str, scope: str = "channel", **values: Any) -> int:
        return self.say("status", at_s, scope=scope, kind=kind, **{"state": "connected"} | values)

    def change(self, at_s: float, levels: list[Level], flags: int = 0, **values: Any) -> int:
        """Add a message of changes; return the first `ord`."""
        numbers = {"seq_first": self.order, "seq": self.order} | values
        first = self.order
        for at, (side, price, size) in enumerate(levels):
            last = LAST if at == len(levels) - 1 else 0
            level = {"side": side, "price": price, "size": size}
            self.say("book", at_s, flags=flags | last, **level, **numbers)
        return first

    def whole(self, at_s: float, levels: list[Level], flags: int = 0, **values: Any) -> int:
        """Add a snapshot with its clearing row; return the first `ord`."""
        none = {"side": None, "price": None, "size": None, "seq_first": None, "seq": None}
        flags |= SNAPSHOT
        first = self.say("book", at_s, flags=flags if levels else flags | LAST, **none | values)
        if levels:
            self.change(at_s, levels, flags, **{"seq_first": None, "seq": None} | values)
        return first

    def keyframe(self, at_s: float, levels: list[Level]) -> int:
        return self.whole(at_s, levels, KEYFRAME)

    def depth(self, at_s: float, levels: list[Level]) -> int:
        sides = {
            f"{side}_{name}s": [level[at] for level in levels if level[0] == side]
            for side in ("bid", "ask")
            for at, name in ((1, "price"), (2, "size"))
        }
        return self.say("depth", at_s, **sides)

    def quote(self, at_s: float, bid: Level, ask: Level, origin: str, **values: Any) -> int:
        prices = {"bid": bid[1], "bid_size": bid[2], "ask": ask[1], "ask_size": ask[2]}
        return self.say("quote", at_s, origin=origin, **prices, **values)

    def signal(self, at_s: float, cause: int) -> None:
        """Add a signal, which has its cause's place instead of one of its own."""
        self.say("signal", at_s, cause_ord=cause, hook="h", level="info", origin="recorded")
        del self.rows[-1][1]["ord"]
        self.order -= 1

    def batch(self, first: int = 0, behind: int | None = None) -> Batch:
        """Return the rows of some `ord`s."""
        kinds = {}
        for kind in KINDS:
            mine = [
                row
                for of, row in self.rows
                if of == kind and first <= _place(row) and (behind is None or _place(row) < behind)
            ]
            if mine:
                kinds[kind] = pa.RecordBatch.from_pylist(mine, schema=SCHEMAS[kind])
        return Batch(kinds)

    def record(self, folder: Path, without: tuple[int, ...] = ()) -> Path:
        """Record the rows, but for some that are lost; return the file."""
        self.rows = [(kind, row) for kind, row in self.rows if _place(row) not in without]
        recorder = Recorder(folder, ["made:by-hand"], lambda *_: None)
        recorder.start()
        recorder(self.batch())
        recorder.close()
        return folder / "000.duckdb"


def _place(row: dict[str, Any]) -> int:
    return int(row["ord"] if "ord" in row else row["cause_ord"])


def alter(file: Path, statement: str) -> None:
    """Change a sealed file with its digest left as it was, as nothing of the program ever does."""
    with duckdb.connect(str(file)) as con:
        con.execute(statement)
        con.execute("CHECKPOINT")


# What happens, to which of two instruments, at which levels.
LEVEL = st.tuples(
    st.sampled_from(["bid", "ask"]), st.integers(1, 6).map(float), st.integers(0, 3).map(float)
)


MESSAGE = st.tuples(
    st.sampled_from(["change", "change", "change", "again", "bad", "whole"]),
    st.sampled_from(["A-B", "C-D"]),
    st.lists(LEVEL, min_size=1, max_size=4),
)
