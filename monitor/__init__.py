"""A self-hosted live market-data monitor and recorder."""

from importlib.metadata import version

__version__ = version("monitor")
