"""The recent rows that a page shows: live from the collector, or from a replay."""

from monitor.hub.hub import ALERT_LEVELS, Hub
from monitor.hub.live_hub import Live
from monitor.hub.readings import Instrument, Mark, Quote, SourceStatus, Totals

__all__ = [
    "ALERT_LEVELS",
    "Hub",
    "Instrument",
    "Live",
    "Mark",
    "Quote",
    "SourceStatus",
    "Totals",
]
