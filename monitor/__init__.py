"""A self-hosted live market-data monitor and recorder."""

from __future__ import annotations

# Each command loads this first: `typing` takes as long as all else does until signals are handled.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def __getattr__(name: str) -> Any:
    """Give `__version__` and `monitor.open`, whose libraries a command may not need."""
    if name == "__version__":
        from importlib.metadata import version

        return version("monitor")
    if name == "open":
        from monitor.recordings import notebook

        return notebook.open
    raise AttributeError(f"module 'monitor' has no attribute {name!r}")
