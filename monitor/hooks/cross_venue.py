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
Columns = dict[str, npt.NDArray[Any]]


@dataclass
class Leg:
    """A venue's last quote: prices (NaN once it ended) and its `ts_recv` in ns."""

    bid: float = np.nan
    ask: float = np.nan
    ts_recv: int = 0


@dataclass
class State:
    """Per symbol: the last leg of each venue, and the (bid venue, ask venue) pairs now crossed."""

    legs: dict[str, dict[str, Leg]] = field(default_factory=dict)
    crossed: set[tuple[str, str, str]] = field(default_factory=set)
    authority: Authority = field(default_factory=Authority)


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
        quotes = state.authority.quotes(batch)
        if not quotes.num_rows:
            return state, None
        symbols = quotes["symbol"].dictionary_encode()
        codes = symbols.indices.to_numpy(zero_copy_only=False)
        order = np.argsort(codes, kind="stable")
        bounds = np.searchsorted(codes[order], np.arange(len(symbols.dictionary) + 1))
        found: list[dict[str, Any]] = []
        columns = {name: column(quotes, name) for name in ("venue", "bid", "ask", "ts_recv")}
        for code, symbol in enumerate(symbols.dictionary.to_pylist()):
            rows = order[bounds[code] : bounds[code + 1]]
            mine = {name: values[rows] for name, values in columns.items()}
            for at, venue, bps, text in self._step_symbol(state, symbol, mine):
                found.append(self._signal(quotes, int(rows[at]), venue, bps, text))
        if not found:
            return state, None
        found.sort(key=lambda signal: (signal["cause_ord"], signal["text"]))
        return state, pa.RecordBatch.from_pylist(found, schema=SCHEMAS["signal"])

    def _step_symbol(
        self, state: State, symbol: str, rows: Columns
    ) -> list[tuple[int, str, float, str]]:
        """Fold one symbol's quotes of all venues, given in `ord` order.

        Returns, for each onset of a crossing, the row, the bid's venue, how far in bps, and a text.
        """
        legs = state.legs.setdefault(symbol, {})
        venues = sorted({*legs, *rows["venue"].tolist()})
        if len(venues) == 1:
            bid, ask, when = (rows[name][-1] for name in ("bid", "ask", "ts_recv"))
            legs[venues[0]] = Leg(float(bid), float(ask), int(when))
            return []
        now = rows["ts_recv"]
        filled = {venue: _fill(venue, rows, legs.get(venue, Leg())) for venue in venues}
        for venue, (bids, asks, whens) in filled.items():
            legs[venue] = Leg(float(bids[-1]), float(asks[-1]), int(whens[-1]))
        found = []
        for bid_venue, (bid, _, bid_when) in filled.items():
            for ask_venue, (_, ask, ask_when) in filled.items():
                if bid_venue == ask_venue:
                    continue
                fresh = (now - bid_when <= self._fresh_ns) & (now - ask_when <= self._fresh_ns)
                bps = np.where(fresh, (bid - ask) / ask * 1e4, np.nan)
                crossed = bps >= self._threshold_bps
                key = (symbol, bid_venue, ask_venue)
                onset = crossed & ~np.concatenate(([key in state.crossed], crossed[:-1]))
                if crossed[-1]:
                    state.crossed.add(key)
                else:
                    state.crossed.discard(key)
                for at in np.flatnonzero(onset):
                    text = (
                        f"{bid_venue} bid {bid[at]:g} > {ask_venue} ask {ask[at]:g}"
                        f" by {bps[at]:.2f} bps"
                    )
                    found.append((int(at), bid_venue, float(bps[at]), text))
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


def _fill(venue: str, rows: Columns, before: Leg) -> tuple[Floats, Floats, Ints]:
    """Carry a venue's last bid, ask and `ts_recv` forward over the rows of all venues."""
    mine = rows["venue"] == venue
    last = np.maximum.accumulate(np.where(mine, np.arange(len(mine)), -1))
    known = last >= 0
    bid = np.where(known, rows["bid"][last], before.bid)
    ask = np.where(known, rows["ask"][last], before.ask)
    when = np.where(known, rows["ts_recv"][last], before.ts_recv)
    return bid, ask, when
