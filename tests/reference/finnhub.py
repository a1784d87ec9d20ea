"""Finnhub trades: no side, no number, and conditions where the source has any."""

from __future__ import annotations

from collections.abc import Iterator

from .capture import Record
from .row import Row, split, trade


class Decoder:
    def rows(self, record: Record) -> Iterator[Row]:
        frame = record.frame() if record.kind == "ws" else {}
        for item in frame.get("data", []) if frame.get("type") == "trade" else []:
            yield trade(
                _symbol(item["s"]),
                item["p"],
                # A volume of zero is a price without a trade.
                item["v"] or None,
                ts_event=item["t"] * 10**6,
                conditions=item.get("c"),
            )


def _symbol(raw: str) -> str:
    source, _, pair = raw.rpartition(":")
    if not source:
        return f"{raw}-USD"
    return pair.replace("_", "-") if "_" in pair else split(pair)
