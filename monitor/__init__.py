"""A self-hosted live market-data monitor and recorder."""

from importlib.metadata import version
from typing import Any

__version__ = version("monitor")


def __getattr__(name: str) -> Any:
    """Give `monitor.open`, whose libraries a command may not need."""
    if name == "open":
        from monitor import api

        return api.open
    raise AttributeError(f"module 'monitor' has no attribute {name!r}")
