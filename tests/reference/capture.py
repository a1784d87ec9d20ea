"""The records of a captured file, in the order in which they were received."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit


class Record(NamedTuple):
    ts_recv: int
    kind: str
    conn: str
    url: str
    raw: str
    request: Any
    about: dict[str, Any]

    def frame(self) -> Any:
        """Parse the payload; a Decimal keeps every digit of the wire's own text."""
        return json.loads(self.raw, parse_float=Decimal)

    def path(self) -> str:
        return urlsplit(self.url).path

    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.url).query).items()}


def records(file: Path) -> list[Record]:
    """Read a file and merge its connections by the receive clock, equal times in file order."""
    return sorted(_stamped(file), key=lambda record: record.ts_recv)


def _stamped(file: Path) -> Iterator[Record]:
    previous = 0
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            values = json.loads(line)
            # Other markets of the venue share its frame shapes but are not its spot market.
            if values.get("market_type", "Spot") != "Spot":
                continue
            previous = _received(values, previous)
            yield Record(
                ts_recv=previous,
                kind=values.get("kind", "ws"),
                conn=values["conn"],
                url=values["url"] or "",
                raw=values["raw"],
                request=json.loads(values["request"]) if "request" in values else None,
                about=values,
            )


def _received(values: dict[str, Any], previous: int) -> int:
    if isinstance(values.get("recv_ns"), int):
        return int(values["recv_ns"])
    if values.get("recv_ts") is not None:
        return round(values["recv_ts"] * 1e9)
    return int(values.get("rx_ns") or previous)
