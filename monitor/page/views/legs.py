"""The legs of one symbol, one per venue: when each quote counts, and which is best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from monitor.hub import Hub, Instrument
from monitor.rows import MINUTE_NS
from monitor.state import Columns, is_overrun

Reals = npt.NDArray[np.float64]


class Span(NamedTuple):
    """A time without a counting quote: from the last mid to the next one."""

    start_ns: int
    end_ns: int
    mid: float


class Leg:
    """The quotes of one venue; the last one counts for `fresh_ns` after it arrived."""

    def __init__(self, fresh_ns: int) -> None:
        self._fresh_ns = fresh_ns
        self._cursor = self._last_ns = 0
        # The last counting mid, and whether it has stopped counting.
        self.mid_ns, self.mid, self.is_stale = 0, np.nan, False
        self._is_over = True
        # Rows were lost before they were read.
        self.has_hole = False

    def take(self, hub: Hub, owner: Instrument, until_ns: int) -> tuple[Columns, list[Span]]:
        """Return new quotes, and a quote without prices wherever the last one stops counting.

        The spans are the ended ones. Quotes after `until_ns`, when the reading began, come next
        time.
        """
        written, rows = hub.since("quote", owner, self._cursor)
        self.has_hole = is_overrun(self._cursor, written, rows)
        count = int(np.searchsorted(rows["ts_recv"], until_ns, "right")) if rows else 0
        self._cursor = written - (len(rows["ts_recv"]) - count if rows else 0)
        return self.follow({name: values[:count] for name, values in rows.items()}, until_ns)

    def follow(self, rows: Columns, now_ns: int) -> tuple[Columns, list[Span]]:
        """Do as `take`, with given quotes."""
        times = rows["ts_recv"] if rows else np.empty(0, np.int64)
        before = np.concatenate([[self._last_ns], times])
        after = np.append(times, now_ns)
        over = after - before > self._fresh_ns
        over[0] &= not self._is_over
        at = np.flatnonzero(over)
        ends = before[at] + self._fresh_ns
        if len(times):
            self._last_ns, self._is_over = int(times[-1]), False
        self._is_over |= bool(over[-1])
        events: Columns = {"ts_recv": np.insert(times, at, ends)}
        for name in ("bid", "ask"):
            events[name] = np.insert(rows[name] if rows else np.empty(0), at, np.nan)
        return events, self._spans(events)

    def _spans(self, events: Columns) -> list[Span]:
        mids = (events["bid"] + events["ask"]) / 2
        known = np.flatnonzero(np.isfinite(mids))
        times = events["ts_recv"]
        if not len(known):
            self.is_stale |= bool(len(mids)) and np.isfinite(self.mid)
            return []
        spans = []
        if np.isfinite(self.mid) and (self.is_stale or known[0] > 0):
            spans.append(Span(self.mid_ns, int(times[known[0]]), self.mid))
        for place in np.flatnonzero(np.diff(known) > 1):
            start, end = known[place], known[place + 1]
            spans.append(Span(int(times[start]), int(times[end]), float(mids[start])))
        self.mid_ns, self.mid = int(times[known[-1]]), float(mids[known[-1]])
        self.is_stale = bool(known[-1] < len(mids) - 1)
        return spans


class Across:
    """All legs together, in the order of time."""

    def __init__(self, count: int) -> None:
        self._last = np.full((2, count), np.nan)
        self._newest_ns = 0

    def take(self, events: Sequence[Columns]) -> tuple[npt.NDArray[np.int64], Reals, Reals]:
        """Return the times of the legs' new quotes, and by (leg, time) each one's bid and ask."""
        times = np.concatenate([of_leg["ts_recv"] for of_leg in events])
        order = np.argsort(times, kind="stable")
        leg = np.repeat(np.arange(len(events)), [len(of_leg["ts_recv"]) for of_leg in events])
        leg, legs = leg[order], np.arange(len(events))[:, None]
        last = np.maximum.accumulate(np.where(leg == legs, np.arange(len(leg)), -1), axis=1)
        filled = []
        for at, side in enumerate(("bid", "ask")):
            values = np.concatenate([of_leg[side] for of_leg in events])[order]
            known = self._last[at][:, None]
            filled.append(np.where(last >= 0, values[last], known) if len(leg) else last + known)
            if len(leg):
                self._last[at] = filled[at][:, -1]
        # Rows of one leg may arrive a little after later ones of another leg.
        times = np.maximum(np.maximum.accumulate(times[order]), self._newest_ns)
        self._newest_ns = int(times[-1]) if len(times) else self._newest_ns
        return times, filled[0], filled[1]


class Share(NamedTuple):
    """Shares of the last minute in which a leg was at the best bid, at the best ask, or stale."""

    bid: float
    ask: float
    stale: float


def shares(hub: Hub, owners: Sequence[Instrument], fresh_ns: int) -> tuple[float, list[Share]]:
    """Return the known seconds of the last minute, and every leg's shares of them."""
    now_ns = hub.now_ns
    start_ns = now_ns - MINUTE_NS
    events, begins = [], []
    for owner in owners:
        _, rows = hub.since("quote", owner, 0)
        if not rows:
            rows = {"ts_recv": np.empty(0, np.int64), "bid": np.empty(0), "ask": np.empty(0)}
        # Including the quote in force when the minute began.
        at = max(0, int(np.searchsorted(rows["ts_recv"], start_ns)) - 1)
        rows = {name: values[at:] for name, values in rows.items()}
        found, _ = Leg(fresh_ns).follow(rows, now_ns)
        events.append(found)
        begins.extend(rows["ts_recv"][:1].tolist())
    if not begins:
        return 0.0, [Share(0.0, 0.0, 0.0)] * len(owners)
    times, bids, asks = Across(len(owners)).take(events)
    times = np.clip(times, max(start_ns, *begins), now_ns)
    lasted = np.diff(np.append(times, now_ns)).astype(float)
    total = max(float(lasted.sum()), 1.0)
    best_bid, best_ask = np.fmax.reduce(bids, axis=0), np.fmin.reduce(asks, axis=0)
    parts = [
        is_so @ lasted / total
        for is_so in (bids == best_bid, asks == best_ask, np.isnan(bids) & np.isnan(asks))
    ]
    return total / 1e9, [Share(*map(float, of_leg)) for of_leg in zip(*parts, strict=True)]
