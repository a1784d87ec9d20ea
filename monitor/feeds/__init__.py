"""From venues to batches: transports carry bytes, sessions decode them, the feed is drained."""

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
