"""State folded from rows: rings, candles, incidents, sources, latencies and active alerts."""

from monitor.state.active_alerts import (
    ACKNOWLEDGED,
    HOOK,
    LEVELS,
    MUTED,
    UNMUTED,
    Alert,
    Alerts,
    Mute,
    told_acknowledged,
    told_muted,
    told_unmuted,
)
from monitor.state.candles import KEPT_BARS, KEPT_S, Candles, folded
from monitor.state.incidents import LOSSES, MARK_KINDS, MISSING, REFUSALS, RESTATED, Incident, Place
from monitor.state.present import SILENT_NS, TICK_S, UP, Present
from monitor.state.recent_faults import Minute, Quality
from monitor.state.rings import BOUNDS, WINDOW_ROWS, Columns, Ring, columns_of, is_overrun
from monitor.state.source_state import ENDED, GONE, MIDS, Followed, in_order, updates
from monitor.state.stage_latency import Stage

__all__ = [
    "ACKNOWLEDGED",
    "BOUNDS",
    "ENDED",
    "GONE",
    "HOOK",
    "KEPT_BARS",
    "KEPT_S",
    "LEVELS",
    "LOSSES",
    "MARK_KINDS",
    "MIDS",
    "MISSING",
    "MUTED",
    "REFUSALS",
    "RESTATED",
    "SILENT_NS",
    "TICK_S",
    "UNMUTED",
    "UP",
    "WINDOW_ROWS",
    "Alert",
    "Alerts",
    "Candles",
    "Columns",
    "Followed",
    "Incident",
    "Minute",
    "Mute",
    "Place",
    "Present",
    "Quality",
    "Ring",
    "Stage",
    "columns_of",
    "folded",
    "in_order",
    "is_overrun",
    "told_acknowledged",
    "told_muted",
    "told_unmuted",
    "updates",
]
