"""The worked example of a strategy: one venue's best bid above another's best ask, both fresh.

A signal is given when the crossing begins; the next one only after it has ended. No orders.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.authority import Authority
from monitor.batches import SCHEMAS, Batch, column

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Columns = dict[str, npt.NDArray[Any]]


@dataclass
class State:
    """What is known at the end of a batch, by venue (first axis) and symbol (last axis).

    `bid` and `ask` are NaN where there is no quote; `when` is its `ts_recv` in ns. `crossed` is
    true where the bid of the first axis' venue stands above the ask of the second axis'.
    """

    venues: list[str] = field(default_factory=list)
    symbols: dict[str, int] = field(default_factory=dict)
    bid: Floats = field(default_factory=lambda: np.empty((0, 0)))
    ask: Floats = field(default_factory=lambda: np.empty((0, 0)))
    when: Ints = field(default_factory=lambda: np.empty((0, 0), np.int64))
    crossed: Bools = field(default_factory=lambda: np.empty((0, 0, 0), np.bool_))
    authority: Authority = field(default_factory=Authority)

    def know(self, venues: list[str], symbols: list[str]) -> None:
        """Make room for venues and symbols that are new."""
        self.venues += [venue for venue in dict.fromkeys(venues) if venue not in self.venues]
        for symbol in symbols:
            self.symbols.setdefault(symbol, len(self.symbols))
        venues_more = len(self.venues) - self.bid.shape[0]
        symbols_more = len(self.symbols) - self.bid.shape[1]
        if venues_more or symbols_more:
            more = ((0, venues_more), (0, symbols_more))
            self.bid, self.ask = (
                np.pad(leg, more, constant_values=np.nan) for leg in (self.bid, self.ask)
            )
            self.when = np.pad(self.when, more)
            self.crossed = np.pad(self.crossed, (more[0], *more))


class Hook:
    """Finds crossings of at least `threshold_bps` with both quotes at most `fresh_ms` old."""

    name = "cross_venue"

    def __init__(self, threshold_bps: float, fresh_ms: float, origin: str) -> None:
        self._threshold_bps = threshold_bps
        self._fresh_ns = int(fresh_ms * 1e6)
        self._origin = origin

    def start(self) -> State:
        return State()

    def step(self, state: State, batch: Batch) -> tuple[State, pa.RecordBatch | None]:
        quotes, codes, instruments = state.authority.quotes(batch)
        if not quotes.num_rows:
            return state, None
        state.know([venue for venue, _ in instruments], [symbol for _, symbol in instruments])
        place = {venue: at for at, venue in enumerate(state.venues)}
        small = codes.dtype if len(state.symbols) <= np.iinfo(np.int16).max else np.int64
        venue = np.array([place[venue] for venue, _ in instruments], small)[codes]
        symbol = np.array([state.symbols[symbol] for _, symbol in instruments], small)[codes]
        # Symbol by symbol, in `ord` order within each.
        order = np.argsort(symbol, kind="stable")
        rows = {name: column(quotes, name)[order] for name in ("bid", "ask", "ts_recv")}
        rows |= {"venue": venue[order], "symbol": symbol[order]}
        names = list(state.symbols)
        found = [
            self._signal(quotes, int(order[at]), bid_venue, names[rows["symbol"][at]], bps, text)
            for at, bid_venue, bps, text in self._fold(state, rows)
        ]
        if not found:
            return state, None
        found.sort(key=lambda signal: (signal["cause_ord"], signal["text"]))
        return state, pa.RecordBatch.from_pylist(found, schema=SCHEMAS["signal"])

    def _fold(self, state: State, rows: Columns) -> list[tuple[int, str, float, str]]:
        """Take in quotes, those of each symbol together.

        Returns, for each onset of a crossing, the row, the bid's venue, how far in bps, and a text.
        """
        symbol = rows["symbol"]
        is_first = np.empty(len(symbol), np.bool_)
        is_first[0], is_first[1:] = True, symbol[1:] != symbol[:-1]
        begins = np.flatnonzero(is_first)
        ends = np.append(begins[1:], len(symbol)) - 1
        bid, ask, when = _carry(state, rows, is_first, ends)
        # Where no bid reaches the lowest ask, nothing is crossed: most rows are looked at no more.
        lowest = np.fmin.reduce(ask)
        is_near = (np.fmax.reduce(bid) >= lowest) | (lowest <= 0)
        near = np.flatnonzero(is_near)
        bid, ask = bid[:, near], ask[:, near]
        fresh = rows["ts_recv"][near] - when[:, near] <= self._fresh_ns
        # Of each of these rows: what was crossed before it, if the row before is one of them too.
        follows = np.flatnonzero(is_near[near - 1] & ~is_first[near])
        opens = np.flatnonzero(is_first[near])
        near_ends = ends[is_near[ends]]
        closes = np.searchsorted(near, near_ends)
        found = []
        for at_bid, bid_venue in enumerate(state.venues):
            with np.errstate(invalid="ignore", divide="ignore"):
                bps = np.where(fresh & fresh[at_bid], (bid[at_bid] - ask) / ask * 1e4, np.nan)
            crossed = bps >= self._threshold_bps
            crossed[at_bid] = False
            before = np.zeros_like(crossed)
            before[:, follows] = crossed[:, follows - 1]
            before[:, opens] = state.crossed[at_bid][:, symbol[near[opens]]]
            state.crossed[at_bid][:, symbol[ends]] = False
            state.crossed[at_bid][:, symbol[near_ends]] = crossed[:, closes]
            for at_ask, at in np.argwhere(crossed & ~before):
                text = (
                    f"{bid_venue} bid {bid[at_bid, at]:.10g} > {state.venues[at_ask]}"
                    f" ask {ask[at_ask, at]:.10g} by {bps[at_ask, at]:.2f} bps"
                )
                found.append((int(near[at]), bid_venue, float(bps[at_ask, at]), text))
        return found

    def _signal(
        self, rows: pa.RecordBatch, at: int, venue: str, symbol: str, bps: float, text: str
    ) -> dict[str, Any]:
        return {
            "ts_recv": rows["ts_recv"][at],
            "venue": venue,
            "symbol": symbol,
            "conn": 0,
            "flags": 0,
            "cause_ord": rows["ord"][at].as_py(),
            "hook": self.name,
            "level": "info",
            "value": bps,
            "text": text,
            "origin": self._origin,
        }


def _carry(state: State, rows: Columns, is_first: Bools, ends: Ints) -> tuple[Floats, Floats, Ints]:
    """Carry every venue's last bid, ask and `ts_recv` forward over all rows: venue by row.

    `is_first` tells the first row of each symbol, `ends` are the last; before a venue's first row
    the state holds, which is brought up to date.
    """
    symbol, shape = rows["symbol"], (len(state.venues), len(is_first))
    bid, ask, when = np.empty(shape), np.empty(shape), np.empty(shape, np.int64)
    legs = (("bid", state.bid, bid), ("ask", state.ask, ask), ("ts_recv", state.when, when))
    for venue in range(len(state.venues)):
        is_own = rows["venue"] == venue
        at = np.flatnonzero(is_own | is_first)
        lengths = np.diff(at, append=len(is_first))
        others = np.flatnonzero(~is_own[at])
        for name, known, carried in legs:
            values = rows[name][at]
            values[others] = known[venue, symbol[at[others]]]
            carried[venue] = np.repeat(values, lengths)
            known[venue, symbol[ends]] = carried[venue, ends]
    return bid, ask, when
