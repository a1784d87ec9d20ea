"""Parse and write times: texts of people, and ns since 1970 in rows."""

from __future__ import annotations

import re
from datetime import UTC, datetime

# ISO 8601 or a datetime, both UTC by default, or ns since 1970.
Time = str | datetime | int
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The range of 64 bits, without the lowest value, which means no time.
FIRST_NS, LAST_NS = -(2**63) + 1, 2**63 - 1
# Digits below the µs, which `datetime` drops silently.
NANOSECONDS = re.compile(r"[.,]\d{6}(\d{1,3})")


def ns_of(time: Time) -> int:
    """Return a time in ns since 1970; ValueError says in one line what was expected."""
    found, nanosecond = time, 0
    if isinstance(time, str):
        below = NANOSECONDS.search(time)
        try:
            found = datetime.fromisoformat(time)
        except ValueError:
            raise ValueError(f"expected an ISO 8601 time, found {time!r}") from None
        nanosecond = int(below[1].ljust(3, "0")) if below else 0
    if isinstance(found, datetime):
        aware = found if found.tzinfo else found.replace(tzinfo=UTC)
        # Timestamps of pandas have nanoseconds.
        nanosecond += getattr(aware, "nanosecond", 0)
        since = aware - EPOCH
        whole = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        found = whole * 1000 + nanosecond
    assert isinstance(found, int)
    if not FIRST_NS <= found <= LAST_NS:
        raise ValueError(f"expected a time from 1677-09-22 to 2262-04-11, found {time!r}")
    return found


def iso(ns: int | None) -> str | None:
    """Return ns since 1970 as ISO 8601 in UTC, to the µs."""
    if ns is None:
        return None
    return datetime.fromtimestamp(ns // 1000 / 1e6, UTC).isoformat(timespec="microseconds")
