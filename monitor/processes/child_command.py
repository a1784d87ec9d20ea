"""Commands that start another process of this program."""

from __future__ import annotations

import sys


def command_of(module: str, *arguments: str) -> list[str]:
    """Return the command of a module; it imports nothing from the current directory (-P)."""
    return [sys.executable, "-P", "-m", f"monitor.{module}", *arguments]
