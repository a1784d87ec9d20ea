"""Hooks: the built-in ones, those of a user, and the thread that runs a user's hook."""

from monitor.hooks.builtin.alerts import Hook as AlertRules
from monitor.hooks.builtin.cross_venue import Hook as CrossVenue
from monitor.hooks.hook_thread import Apart
from monitor.hooks.signal_rows import signals

__all__ = [
    "AlertRules",
    "Apart",
    "CrossVenue",
    "builtin",
    "signals",
    "user_hooks",
]
