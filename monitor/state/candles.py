"""Candles: fold trades into bars of a second and a minute, and those into longer ones."""

from __future__ import annotations

import numpy as np

from monitor.rows import SECOND_NS
from monitor.state.rings import Columns

# The bars that are kept, in s; every other interval is a multiple of one of them.
KEPT_S = (1, 60)
KEPT_BARS = 3_600
# Trades that may wait to be folded until a view reads the bars.
WAITING_TRADES = 20_000


class Candles:
    """The bars of one instrument; a second or a minute without a trade has none."""

    def __init__(self, bars: dict[int, Columns] | None = None, since_ns: int = 0) -> None:
        """Begin with bars of the kept lengths, if there are any.

        `since_ns` is the start of the known trades: a bar that began earlier is not shown.
        """
        self._waiting: list[Columns] = []
        self._bars: dict[int, Columns] = {}
        self._waiting_rows, self._folds = 0, int(bool(bars))
        # The start of the first bar of each length that has all of its trades.
        self._whole_ns = dict.fromkeys(KEPT_S, since_ns)
        for kept_s, of_length in (bars or {}).items():
            self._keep(kept_s, of_length)

    def take(self, trades: Columns) -> None:
        """Add trades in order: `traded` in ns, `price`, `size`."""
        self._waiting.append({name: trades[name] for name in ("traded", "price", "size")})
        self._waiting_rows += len(trades["traded"])
        if self._waiting_rows >= WAITING_TRADES:
            self._fold_waiting()

    def since(self, interval_s: int, cursor: int) -> tuple[int, Columns]:
        """Return the next cursor, and the bars that changed since `cursor`, by start.

        A bar has `start` in ns, `open`, `high`, `low`, `close`, `volume` and `trades`.
        """
        self._fold_waiting()
        kept_s = max(kept for kept in KEPT_S if interval_s % kept == 0)
        bars = self._bars.get(kept_s, {})
        if not bars or not (bars["fold"] > cursor).any():
            return self._folds, {}
        interval_ns = interval_s * SECOND_NS
        first = int(bars["start"][bars["fold"] > cursor][0]) // interval_ns * interval_ns
        bars = folded(_from(bars, first), interval_ns)
        changed = (bars["fold"] > cursor) & (bars["start"] >= self._whole_ns[kept_s])
        return self._folds, {name: values[changed] for name, values in bars.items()}

    def _fold_waiting(self) -> None:
        if not self._waiting:
            return
        parts, self._waiting, self._waiting_rows = self._waiting, [], 0
        traded, price, size = (
            np.concatenate([part[name] for part in parts]) for name in ("traded", "price", "size")
        )
        known = np.isfinite(price)
        if not known.any():
            return
        traded, price, size = traded[known], price[known], np.nan_to_num(size[known])
        self._folds += 1
        # An unfolded trade is a bar of its own.
        trades: Columns = {"start": traded, "first": traded, "last": traded, "volume": size}
        trades |= dict.fromkeys(("open", "high", "low", "close"), price)
        trades["trades"] = np.ones(len(traded), np.int64)
        trades["fold"] = np.full(len(traded), self._folds)
        for kept_s in KEPT_S:
            new = folded(trades, kept_s * SECOND_NS)
            old = self._bars.get(kept_s)
            if old is not None:
                at = int(np.searchsorted(old["start"], new["start"][0]))
                touched = {name: np.concatenate([old[name][at:], new[name]]) for name in new}
                touched = folded(touched, kept_s * SECOND_NS)
                new = {name: np.concatenate([old[name][:at], touched[name]]) for name in new}
            self._keep(kept_s, new)

    def _keep(self, kept_s: int, bars: Columns) -> None:
        """Keep the last bars of a length; a longer bar that begins before them is incomplete."""
        kept = {name: values[-KEPT_BARS:] for name, values in bars.items()}
        if len(bars["start"]) >= KEPT_BARS:
            self._whole_ns[kept_s] = max(self._whole_ns[kept_s], int(kept["start"][0]))
        self._bars[kept_s] = kept


def _from(bars: Columns, start_ns: int) -> Columns:
    at = int(np.searchsorted(bars["start"], start_ns))
    return {name: values[at:] for name, values in bars.items()}


def folded(bars: Columns, interval_ns: int) -> Columns:
    """Fold bars (equal times in order of arrival) into bars of an interval, by start."""
    start = bars["start"] // interval_ns * interval_ns
    opening = np.lexsort((bars["first"], start))
    closing = np.lexsort((bars["last"], start))
    starts, at = np.unique(start[opening], return_index=True)
    ends = np.append(at[1:], len(start)) - 1
    bar: Columns = {"start": starts}
    bar |= {name: bars[name][opening][at] for name in ("first", "open")}
    bar |= {name: bars[name][closing][ends] for name in ("last", "close")}
    bar["high"] = np.maximum.reduceat(bars["high"][opening], at)
    bar["low"] = np.minimum.reduceat(bars["low"][opening], at)
    bar |= {n: np.add.reduceat(bars[n][opening], at) for n in ("volume", "trades")}
    bar["fold"] = np.maximum.reduceat(bars["fold"][opening], at)
    return bar
