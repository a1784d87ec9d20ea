"""The value of each rule kind that is compared with its threshold, for all instruments."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from monitor.hooks.builtin.alerts.observed import Sight
from monitor.hooks.builtin.alerts.tracks import Floats, Window
from monitor.settings import Counted, PriceMove, RateDrop, Rule

# Lowest and highest value since the last sample; NaN without one.
Values = tuple[Floats, Floats]
Measure = Callable[[Sight], Values]


def measure(rule: Rule) -> Measure:
    """Return the function that measures for a rule; call it at every sample."""
    if isinstance(rule, Counted):
        return _counted(rule)
    if isinstance(rule, PriceMove):
        return _price_move(rule)
    if isinstance(rule, RateDrop):
        return _rate_drop(rule)
    return PLAIN[rule.kind]


def _alike(values: Floats) -> Values:
    return values, values


def _stale(sight: Sight) -> Values:
    age_s = (sight.now_ns - sight.last_ns) / 1e9
    return _alike(np.where(sight.seen & ~sight.stopped, age_s, np.nan))


def _disconnected(sight: Sight) -> Values:
    down = sight.down_ns > 0
    return _alike(np.where(down, (sight.now_ns - sight.down_ns) / 1e9, 0.0))


def _latency(sight: Sight) -> Values:
    return _alike(sight.latency_ms)


def _crossed(sight: Sight) -> Values:
    low, high = sight.spread
    told = np.where(sight.events["crossed"] > 0, 0.0, np.nan)
    # Not the negative, which is -0 of a locked book.
    return 0.0 - high, np.fmax(0.0 - low, told)


def _spread(sight: Sight) -> Values:
    return sight.spread


def _lag(sight: Sight) -> Values:
    return _alike(np.full(len(sight.seen), sight.lag_ms))


def _space(sight: Sight) -> Values:
    return _alike(np.full(len(sight.seen), sight.low_space))


PLAIN: dict[str, Measure] = {
    "stale": _stale,
    "disconnected": _disconnected,
    "latency_p99": _latency,
    "crossed": _crossed,
    "spread": _spread,
    "recorder_lag": _lag,
    "disk_space": _space,
}
EVENTS = {"gap_rate": "gap", "checksum": "checksum", "unrecorded": "unrecorded"}


def _counted(rule: Counted) -> Measure:
    window, event = Window(np.add, 0.0, rule.window_s), EVENTS[rule.kind]
    return lambda sight: _alike(window.add(sight.now_ns, sight.events[event]))


def _price_move(rule: PriceMove) -> Measure:
    lows = Window(np.fmin, np.nan, rule.window_s)
    highs = Window(np.fmax, np.nan, rule.window_s)

    def move(sight: Sight) -> Values:
        low, high = sight.price
        lowest, highest = lows.add(sight.now_ns, low), highs.add(sight.now_ns, high)
        with np.errstate(divide="ignore", invalid="ignore"):
            up, down = (high / lowest - 1) * 100, (1 - low / highest) * 100
        return _alike(np.fmax(up, down))

    return move


def _rate_drop(rule: RateDrop) -> Measure:
    recent, usual = (Window(np.add, 0.0, s) for s in (rule.window_s, rule.baseline_s))
    began_ns = np.empty(0, np.int64)

    def rest(sight: Sight) -> Values:
        nonlocal began_ns
        now_ns = sight.now_ns
        known = np.full(len(sight.seen), now_ns)
        known[: len(began_ns)] = began_ns
        # Instruments that are not followed have no usual rate.
        began_ns = np.where(sight.seen & ~sight.stopped, known, now_ns)
        few, many = recent.add(now_ns, sight.messages), usual.add(now_ns, sight.messages)
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = few / rule.window_s
            share = rate / ((many - few) / (rule.baseline_s - rule.window_s)) * 100
        return _alike(np.where(now_ns - began_ns >= rule.baseline_s * 1e9, share, np.nan))

    return rest
