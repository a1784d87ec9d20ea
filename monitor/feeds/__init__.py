"""Feeds: transports receive bytes, sessions decode them, and the buffer is drained to batches."""

from monitor.feeds.all_feeds import Feeds
from monitor.feeds.captured_feed import Ingested
from monitor.feeds.reachability import place, proxy

__all__ = [
    "Feeds",
    "Ingested",
    "captured_feed",
    "place",
    "proxy",
    "reachability",
]
