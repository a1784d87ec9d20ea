"""Times as text in the viewer's time zone, and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from monitor.page.views.style import look

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def zone() -> str:
    """Return the name of the zone."""
    return look().zone.key


def local(ns: int) -> str:
    """Return a time to the microsecond; with the zone's offset only where it is ambiguous."""
    aware = (EPOCH + ns // 1000 * MICROSECOND).astimezone(look().zone)
    naive = aware.replace(tzinfo=None)
    # An hour that occurs twice, when clocks go back, needs its offset.
    is_plain = naive.replace(tzinfo=look().zone).utcoffset() == aware.utcoffset()
    return (naive if is_plain else aware).isoformat(timespec="microseconds")


def local_ns(text: str) -> int:
    """Parse a time in the viewer's zone, or in the zone it names; ValueError if it is none."""
    found = datetime.fromisoformat(text)
    aware = found if found.tzinfo else found.replace(tzinfo=look().zone)
    return (aware - EPOCH) // MICROSECOND * 1000
