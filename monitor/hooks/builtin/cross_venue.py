"""The example strategy: the best bid of one venue above the best ask of another, both fresh.

A signal is sent when a crossing begins; the next one only after it has ended. No orders.
Instruments are compared if their symbols are equal, or the user treats them as equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.rows import SCHEMAS, Authority, Batch, column, quote_assets

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Columns = dict[str, npt.NDArray[Any]]


class Leg(NamedTuple):
    """A venue, and the quote asset that is treated as another, if any."""

    venue: str
    asset: str = ""


class Price(NamedTuple):
    leg: Leg
    price: float


@dataclass
class State:
    """The state at the end of a batch, by leg (first axis) and symbol (last axis).

    `bid` and `ask` are NaN where there is no quote; `when` is its `ts_recv` in ns. `crossed` is
    true where the bid of the first axis' leg stands above the ask of the second axis'.
    """

    legs: list[Leg] = field(default_factory=list)
    symbols: dict[str, int] = field(default_factory=dict)
    bid: Floats = field(default_factory=lambda: np.empty((0, 0)))
    ask: Floats = field(default_factory=lambda: np.empty((0, 0)))
    when: Ints = field(default_factory=lambda: np.empty((0, 0), np.int64))
    crossed: Bools = field(default_factory=lambda: np.empty((0, 0, 0), np.bool_))
    authority: Authority = field(default_factory=Authority)

    def know(self, legs: list[Leg], symbols: list[str]) -> None:
        """Add room for new legs and symbols."""
        self.legs += [leg for leg in dict.fromkeys(legs) if leg not in self.legs]
        for symbol in symbols:
            self.symbols.setdefault(symbol, len(self.symbols))
        legs_more = len(self.legs) - self.bid.shape[0]
        symbols_more = len(self.symbols) - self.bid.shape[1]
        if legs_more or symbols_more:
            more = ((0, legs_more), (0, symbols_more))
            self.bid, self.ask = (
                np.pad(leg, more, constant_values=np.nan) for leg in (self.bid, self.ask)
            )
            self.when = np.pad(self.when, more)
            self.crossed = np.pad(self.crossed, (more[0], *more))


class Hook:
    """Finds crossings of at least `threshold_bps` with both quotes at most `fresh_ms` old."""

    name = "cross_venue"

    def __init__(
        self,
        threshold_bps: float,
        fresh_ms: float,
        origin: str,
        taken_for: quote_assets.TakenFor | None = None,
    ) -> None:
        self._taken_for = taken_for or {}
        self._threshold_bps = threshold_bps
        self._fresh_ns = int(fresh_ms * 1e6)
        self._origin = origin

    def start(self) -> State:
        return State()

    def step(self, state: State, batch: Batch) -> tuple[State, pa.RecordBatch | None]:
        quotes, codes, instruments = state.authority.quotes(batch)
        if not quotes.num_rows:
            return state, None
        legs = [self._leg(*instrument) for instrument in instruments]
        symbols = [quote_assets.compared(symbol, self._taken_for) for _, symbol in instruments]
        state.know(legs, symbols)
        place = {leg: at for at, leg in enumerate(state.legs)}
        small = codes.dtype if len(state.symbols) <= np.iinfo(np.int16).max else np.int64
        leg = np.array([place[leg] for leg in legs], small)[codes]
        symbol = np.array([state.symbols[symbol] for symbol in symbols], small)[codes]
        # Symbol by symbol, in `ord` order within each.
        order = np.argsort(symbol, kind="stable")
        rows = {name: column(quotes, name)[order] for name in ("bid", "ask", "ts_recv")}
        rows |= {"leg": leg[order], "symbol": symbol[order]}
        names = list(state.symbols)
        found = [
            self._signal(quotes, int(order[at]), bid, ask, names[rows["symbol"][at]])
            for at, bid, ask in self._fold(state, rows)
        ]
        if not found:
            return state, None
        found.sort(key=lambda signal: (signal["cause_ord"], signal["text"]))
        return state, pa.RecordBatch.from_pylist(found, schema=SCHEMAS["signal"])

    def _leg(self, venue: str, symbol: str) -> Leg:
        asset = quote_assets.asset(symbol)
        return Leg(venue, asset if asset in self._taken_for else "")

    def _fold(self, state: State, rows: Columns) -> list[tuple[int, Price, Price]]:
        """Take quotes, grouped by symbol.

        Returns, for each onset of a crossing, the row, and the bid and the ask that cross.
        """
        symbol = rows["symbol"]
        is_first = np.empty(len(symbol), np.bool_)
        is_first[0], is_first[1:] = True, symbol[1:] != symbol[:-1]
        begins = np.flatnonzero(is_first)
        ends = np.append(begins[1:], len(symbol)) - 1
        bid, ask, when = _carry(state, rows, is_first, ends)
        # If no bid reaches the lowest ask nothing is crossed: most rows need no further check.
        lowest = np.fmin.reduce(ask)
        is_near = (np.fmax.reduce(bid) >= lowest) | (lowest <= 0)
        near = np.flatnonzero(is_near)
        bid, ask = bid[:, near], ask[:, near]
        fresh = rows["ts_recv"][near] - when[:, near] <= self._fresh_ns
        # For each of these rows the crossings before it, if the previous row is one of them.
        follows = np.flatnonzero(is_near[near - 1] & ~is_first[near])
        opens = np.flatnonzero(is_first[near])
        near_ends = ends[is_near[ends]]
        closes = np.searchsorted(near, near_ends)
        found = []
        for at_bid, bid_leg in enumerate(state.legs):
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
                own = Price(bid_leg, float(bid[at_bid, at]))
                other = Price(state.legs[at_ask], float(ask[at_ask, at]))
                found.append((int(near[at]), own, other))
        return found

    def _signal(
        self, rows: pa.RecordBatch, at: int, bid: Price, ask: Price, symbol: str
    ) -> dict[str, Any]:
        bps = (bid.price - ask.price) / ask.price * 1e4
        own, other = (self._name(price.leg) for price in (bid, ask))
        text = f"{own} bid {bid.price:.10g} > {other} ask {ask.price:.10g} by {bps:.2f} bps"
        return {
            "ts_recv": rows["ts_recv"][at],
            "venue": bid.leg.venue,
            "symbol": quote_assets.quoted_in(symbol, bid.leg.asset),
            "conn": 0,
            "flags": 0,
            "cause_ord": rows["ord"][at].as_py(),
            "hook": self.name,
            "level": "info",
            "value": bps,
            "text": text,
            "origin": self._origin,
        }

    def _name(self, leg: Leg) -> str:
        taken = f" ({leg.asset} as {self._taken_for[leg.asset]})" if leg.asset else ""
        return f"{leg.venue}{taken}"


def _carry(state: State, rows: Columns, is_first: Bools, ends: Ints) -> tuple[Floats, Floats, Ints]:
    """Carry every leg's last bid, ask and `ts_recv` forward over all rows: leg by row.

    `is_first` marks the first row of each symbol, `ends` are the last rows. Before a leg's first
    row the state's values apply; the state is updated.
    """
    symbol, shape = rows["symbol"], (len(state.legs), len(is_first))
    bid, ask, when = np.empty(shape), np.empty(shape), np.empty(shape, np.int64)
    columns = (("bid", state.bid, bid), ("ask", state.ask, ask), ("ts_recv", state.when, when))
    for leg in range(len(state.legs)):
        is_own = rows["leg"] == leg
        at = np.flatnonzero(is_own | is_first)
        lengths = np.diff(at, append=len(is_first))
        others = np.flatnonzero(~is_own[at])
        for name, known, carried in columns:
            values = rows[name][at]
            values[others] = known[leg, symbol[at[others]]]
            carried[leg] = np.repeat(values, lengths)
            known[leg, symbol[ends]] = carried[leg, ends]
    return bid, ask, when
