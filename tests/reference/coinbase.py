"""Coinbase Advanced Trade: one envelope for every channel, numbered per connection."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from .capture import Record
from .row import SNAPSHOT, Level, Row, book, quote, rfc3339, trade


class Decoder:
    def rows(self, record: Record) -> Iterator[Row]:
        frame = record.frame() if record.kind == "ws" else {}
        for event in frame.get("events", []):
            header = {
                "ts_sent": rfc3339(frame["timestamp"]),
                "seq": frame["sequence_num"],
                "flags": SNAPSHOT if event.get("type") == "snapshot" else 0,
            }
            yield from _event(frame["channel"], event, header)


def _event(channel: str, event: dict[str, Any], header: dict[str, Any]) -> Iterator[Row]:
    if channel == "ticker":
        for item in event["tickers"]:
            bid = item["best_bid"], item["best_bid_quantity"]
            ask = item["best_ask"], item["best_ask_quantity"]
            yield from quote(item["product_id"], bid, ask, **header)
    elif channel == "market_trades":
        # Within a message the venue lists the newest first; rows are in the order of events.
        happened = sorted(event["trades"], key=lambda t: (rfc3339(t["time"]), int(t["trade_id"])))
        for item in happened:
            yield trade(
                item["product_id"],
                item["price"],
                item["size"],
                # The venue names the maker's side.
                side={"BUY": "sell", "SELL": "buy"}[item["side"]],
                trade_id=item["trade_id"],
                ts_event=rfc3339(item["time"]),
                **header,
            )
    elif channel == "l2_data":
        sides = (
            [
                Level(Decimal(update["price_level"]), Decimal(update["new_quantity"]))
                for update in event["updates"]
                if update["side"] == side
            ]
            for side in ("bid", "offer")
        )
        yield from book(event["product_id"], *sides, **header)
