"""From venues to batches: transports carry bytes, sessions decode them, the feed is drained."""

from monitor.feeds.feeds import Feeds

__all__ = ["Feeds"]
