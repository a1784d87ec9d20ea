"""A Kraken v1 book folded in Python."""

from __future__ import annotations

import zlib
from decimal import Decimal
from typing import Any


class Folded:
    """A book folded as the venue's guide says, its levels kept as the texts that came."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.sides: dict[str, dict[str, str]] = {"a": {}, "b": {}}

    def snapshot(self, payload: dict[str, list[list[str]]]) -> None:
        for side in "ab":
            self.sides[side] = {price: size for price, size, _ in payload[side + "s"]}

    def update(self, payloads: list[dict[str, Any]]) -> None:
        for payload in payloads:
            for side in payload.keys() & {"a", "b"}:
                for price, size, *_ in payload[side]:
                    self.sides[side][price] = size
                    if not Decimal(size):
                        del self.sides[side][price]
        for side in "ab":
            self.sides[side] = dict(self.best(side)[: self.depth])

    def best(self, side: str) -> list[tuple[str, str]]:
        def rank(level: tuple[str, str]) -> Decimal:
            return Decimal(level[0])

        return sorted(self.sides[side].items(), key=rank, reverse=side == "b")

    def checksum(self) -> int:
        levels = self.best("a")[:10] + self.best("b")[:10]
        digits = [text.replace(".", "").lstrip("0") for level in levels for text in level]
        return zlib.crc32("".join(digits).encode())
