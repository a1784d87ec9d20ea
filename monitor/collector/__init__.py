"""The collector: the process that receives, records and publishes, and its HTTP port."""

from monitor.collector.follower import Follower
from monitor.collector.keeper import Keeper, KeeperError, kept

__all__ = [
    "Follower",
    "Keeper",
    "KeeperError",
    "bounded_server",
    "collector_process",
    "kept",
]
