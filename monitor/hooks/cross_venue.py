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
        venue = np.array([place[venue] for venue, _ in instruments])[codes]
        symbol = np.array([state.symbols[symbol] for _, symbol in instruments])[codes]
        # Symbol by symbol, in `ord` order within each.
        order = np.argsort(symbol, kind="stable")
        rows = {name: column(quotes, name)[order] for name in ("bid", "ask", "ts_recv")}
        rows |= {"venue": venue[order], "symbol": symbol[order]}
        found = [
            self._signal(quotes, int(order[at]), bid_venue, bps, text)
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
        symbol, now = rows["symbol"], rows["ts_recv"]
        begins = np.flatnonzero(np.diff(symbol, prepend=-1))
        ends = np.append(begins[1:], len(symbol)) - 1
        first = np.repeat(begins, np.diff(begins, append=len(symbol)))
        bid, ask, when = (
            _fill(rows, first, name, known)
            for name, known in (("bid", state.bid), ("ask", state.ask), ("ts_recv", state.when))
        )
        for known, filled in ((state.bid, bid), (state.ask, ask), (state.when, when)):
            known[:, symbol[ends]] = filled[:, ends]
        fresh = now - when <= self._fresh_ns
        found = []
        for at_bid, bid_venue in enumerate(state.venues):
            with np.errstate(invalid="ignore"):
                bps = np.where(fresh & fresh[at_bid], (bid[at_bid] - ask) / ask * 1e4, np.nan)
            crossed = bps >= self._threshold_bps
            crossed[at_bid] = False
            before = np.empty_like(crossed)
            before[:, 1:] = crossed[:, :-1]
            before[:, begins] = state.crossed[at_bid][:, symbol[begins]]
            state.crossed[at_bid][:, symbol[ends]] = crossed[:, ends]
            for at_ask, at in np.argwhere(crossed & ~before):
                text = (
                    f"{bid_venue} bid {bid[at_bid, at]:.10g} > {state.venues[at_ask]}"
                    f" ask {ask[at_ask, at]:.10g} by {bps[at_ask, at]:.2f} bps"
                )
                found.append((int(at), bid_venue, float(bps[at_ask, at]), text))
        return found

    def _signal(
        self, rows: pa.RecordBatch, at: int, venue: str, bps: float, text: str
    ) -> dict[str, Any]:
        return {
            "ts_recv": rows["ts_recv"][at],
            "venue": venue,
            "symbol": rows["symbol"][at],
            "conn": 0,
            "flags": 0,
            "cause_ord": rows["ord"][at].as_py(),
            "hook": self.name,
            "level": "info",
            "value": bps,
            "text": text,
            "origin": self._origin,
        }


def _fill(rows: Columns, first: Ints, name: str, known: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Carry every venue's last value forward over the rows of all venues: venue by row.

    `first` is, for each row, the first of its symbol; before a venue's first row, `known` holds.
    """
    venues = np.arange(len(known))[:, None]
    last = np.where(rows["venue"] == venues, np.arange(len(first)), -1)
    last = np.maximum.accumulate(last, axis=1)
    return np.where(last >= first, rows[name][last], known[:, rows["symbol"]])
