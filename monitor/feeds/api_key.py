"""The API key of a venue: where it comes from, how it is sent, and that it is never shown."""

from __future__ import annotations

import os
from typing import NamedTuple

from monitor.settings import VenueSettings

HIDDEN = "…"


class Key(NamedTuple):
    """The API key of a venue; `variable` is empty if it needs none."""

    variable: str = ""
    parameter: str = ""
    header: str = ""
    value: str = ""

    @property
    def is_missing(self) -> bool:
        return bool(self.variable) and not self.value

    @property
    def parameters(self) -> dict[str, str]:
        """Return the key as the query of a WebSocket address."""
        return {self.parameter: self.value} if self.value else {}

    @property
    def headers(self) -> dict[str, str]:
        """Return the key as the headers of a REST request."""
        return {self.header: self.value} if self.value else {}

    def explain(self, kind: str, why: str) -> str:
        """Return the venue's reason for a refusal, with advice if the key is the cause."""
        if self.value:
            # A venue may repeat the request, with the key, in its answer.
            why = why.replace(self.value, HIDDEN)
        if kind != "auth_failed" or not self.variable:
            return why
        return f"{why}; expected a key that is valid in {self.variable} or api_key"

    def missing(self) -> str:
        return f"expected a key in {self.variable} or api_key, found none"


def find(wanted: tuple[str, str, str] | None, settings: VenueSettings) -> Key:
    """Find the venue's key: in the environment first, then in the settings."""
    if wanted is None:
        return Key()
    configured = settings.api_key.get_secret_value() if settings.api_key else ""
    return Key(*wanted, value=os.environ.get(wanted[0]) or configured)
