"""The example strategy with a viewer's own parameters: hypothetical results only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from monitor.hooks import CrossVenue
from monitor.hub import Hub, Instrument
from monitor.page.views.tables import clock
from monitor.rows import FIRST_ORIGIN, SCHEMAS, Batch, quote_assets
from monitor.state import Columns

# The bid in the text of a signal.
BID = re.compile(r" bid (\S+) > ")
# Older findings are counted, but no longer listed.
KEPT = 2_000


class Parameters(NamedTuple):
    """Parameters of the strategy, then of the result: fee per side, size per deal."""

    threshold_bps: float
    fresh_ms: float
    fee_bps: float = 0.0
    size: float = 1.0


class WhatIf:
    """Runs the hook `cross_venue` over the hub's quotes of one symbol's legs."""

    def __init__(self, parameters: Parameters, taken_for: quote_assets.TakenFor) -> None:
        self._parameters, self._taken_for = parameters, taken_for
        # Increased each time everything is computed again.
        self.turn = 0
        self.begin()

    @property
    def parameters(self) -> Parameters:
        return self._parameters

    @parameters.setter
    def parameters(self, parameters: Parameters) -> None:
        is_same = parameters[:2] == self._parameters[:2]
        self._parameters = parameters
        if not is_same:
            self.turn += 1

    def begin(self) -> None:
        """Clear the findings: another time, symbol or parameter follows."""
        self._hook = CrossVenue(*self._parameters[:2], "recomputed", self._taken_for)
        self._state = self._hook.start()
        self._cursors: dict[Instrument, int] = {}
        self._since_ns, self._count = 0, 0
        self._found: Columns = {n: np.empty(0) for n in ("time", "bid", "bps")}
        self._texts: list[str] = []

    def take(self, hub: Hub, legs: Sequence[Instrument]) -> Columns | None:
        """Take new quotes; return `time`, `bid`, `bps` and `text` of the findings."""
        rows = self._new(hub, legs)
        if not len(rows["ts_recv"]):
            return None
        self._since_ns = self._since_ns or int(rows["ts_recv"][0])
        self._state, signals = self._hook.step(self._state, _batch(rows))
        if signals is None:
            return None
        at, texts = np.asarray(signals["cause_ord"]), signals["text"].to_pylist()
        new = {
            "time": rows["ts_recv"][at],
            "bid": np.array([float(BID.findall(text)[0]) for text in texts]),
            "bps": np.asarray(signals["value"]),
        }
        self._count += len(at)
        self._found = {n: np.append(self._found[n], v)[-KEPT:] for n, v in new.items()}
        self._texts = [*self._texts, *texts][-KEPT:]
        return {**new, "text": np.array(texts, object)}

    def html(self, symbol: str) -> str:
        """Return the result in the quote asset, after fees, as HTML."""
        base, _, quote = symbol.partition("-")
        threshold_bps, _, fee_bps, size = self._parameters
        label = 'What if: <span class="badge simulated">HYPOTHETICAL</span> no orders are placed'
        if not self._since_ns:
            return f'<div class="panel">{label} · no quotes yet</div>'
        since = clock(self._since_ns)
        if not self._count:
            told = f"no bid stood {threshold_bps:g} bps above another venue's ask"
            return f'<div class="panel">{label} · since {since} {told}</div>'
        net_bps = self._found["bps"] - 2 * fee_bps
        asks = self._found["bid"] / (1 + self._found["bps"] / 1e4)
        gains = net_bps / 1e4 * asks * size
        best, won = int(np.argmax(net_bps)), net_bps > 0
        return (
            f'<div class="panel">{label} · since {since} the strategy saw <b>{self._count}</b>'
            f" chances; of the last {len(gains)}, <b>{int(won.sum())}</b> were worth more than"
            f" the fees: {gains[won].sum():+,.2f} {escape(quote)} if each had been had for {size:g}"
            f" {escape(base)} · best {net_bps[best]:+.2f} bps at"
            f" {clock(int(self._found['time'][best]))} ({escape(self._texts[best])})</div>"
        )

    def _new(self, hub: Hub, legs: Sequence[Instrument]) -> Columns:
        """Return the legs' new quotes in the order of time."""
        # Quotes that arrive during this reading come next time, for every leg.
        until_ns = hub.now_ns
        parts = []
        for place, leg in enumerate(legs):
            written, rows = hub.since("quote", leg, self._cursors.get(leg, 0))
            if not rows:
                continue
            count = int(np.searchsorted(rows["ts_recv"], until_ns, "right"))
            self._cursors[leg] = written - len(rows["ts_recv"]) + count
            names = ("ts_recv", "bid", "ask")
            parts.append({n: rows[n][:count] for n in names} | {"leg": np.full(count, place)})
        if not parts:
            return {"ts_recv": np.empty(0, np.int64)}
        whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        order = np.argsort(whole["ts_recv"], kind="stable")
        ordered: Columns = {name: values[order] for name, values in whole.items()}
        for name, place in (("venue", 0), ("symbol", 1)):
            of_legs = np.array([leg[place] for leg in legs], object)
            ordered[name] = of_legs[ordered["leg"]]
        return ordered


def _batch(rows: Columns) -> Batch:
    """Make a batch of quotes, numbered by position."""
    count = len(rows["ts_recv"])
    given = {
        **{name: rows[name] for name in ("ts_recv", "bid", "ask", "venue", "symbol")},
        "ord": np.arange(count, dtype=np.uint64),
        **dict.fromkeys(("conn", "flags"), np.zeros(count, np.uint32)),
        "origin": np.full(count, FIRST_ORIGIN, object),
    }
    schema = SCHEMAS["quote"]
    columns = [
        pa.array(given[field.name], from_pandas=True).cast(field.type)
        if field.name in given
        else pa.nulls(count, field.type)
        for field in schema
    ]
    return Batch({"quote": pa.RecordBatch.from_arrays(columns, schema=schema)})
