"""Checks of what we use inside other libraries; `tests/README.md` lists them."""

from __future__ import annotations

import logging
from functools import cache

log = logging.getLogger(__name__)


def is_usable(internal: str, is_as_expected: bool, without: str) -> bool:
    """Return whether a library's internal is as expected; if not, log once what we do without."""
    if not is_as_expected:
        _log_once(internal, without)
    return is_as_expected


@cache
def _log_once(internal: str, without: str) -> None:
    log.warning("expected %s, found another version of the library: %s", internal, without)
