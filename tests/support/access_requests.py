"""HTTP requests as they reach the page from an address."""

from __future__ import annotations

from typing import Any

from requests.adapters import HTTPAdapter


class From(HTTPAdapter):
    """Connects from another address of this machine."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options, source_address=(self._address, 0))
