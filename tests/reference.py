"""An independent decoder of captured frames, from the venues' documents alone, in Decimal."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

Row = dict[str, Any]
QUOTE_ASSETS = ["FDUSD", "USDT", "USDC", "BUSD", "TUSD", "BTC", "ETH", "BNB", "EUR", "TRY", "USD"]


def rows(file: Path, venue: str) -> Iterator[Row]:
    """Yield the quotes and trades of a capture in the order in which they were received."""
    decode = {"binance": _binance, "kraken": _kraken, "coinbase": _coinbase}[venue]
    records, previous = [], 0
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if isinstance(record.get("recv_ns"), int):
                previous = record["recv_ns"]
            elif record.get("recv_ts") is not None:
                previous = round(record["recv_ts"] * 1e9)
            elif isinstance(record.get("rx_ns"), int):
                previous = record["rx_ns"]
            records.append((previous, record))
    records.sort(key=lambda pair: pair[0])
    for ts_recv, record in records:
        if record.get("kind", "ws") == "ws":
            frame = json.loads(record["raw"], parse_float=Decimal)
            for row in decode(frame):
                yield {"venue": venue, "ts_recv": ts_recv, **row}


def _binance(frame: Any) -> Iterator[Row]:
    data = frame.get("data", frame) if isinstance(frame, dict) else {}
    if "b" in data and "B" in data and "u" in data and "e" not in data:
        yield {
            "kind": "quote",
            "symbol": _split(data["s"]),
            "ts_event": None,
            "ts_sent": None,
            "seq": data["u"],
            "bid": Decimal(data["b"]),
            "bid_size": Decimal(data["B"]),
            "ask": Decimal(data["a"]),
            "ask_size": Decimal(data["A"]),
            "snapshot": False,
        }
    elif data.get("e") in ("trade", "aggTrade"):
        number = data["t"] if data["e"] == "trade" else data["a"]
        yield {
            "kind": "trade",
            "symbol": _split(data["s"]),
            "ts_event": data["T"] * _unit(data["T"]),
            "ts_sent": data["E"] * _unit(data["E"]),
            "seq": number,
            "price": Decimal(data["p"]),
            "size": Decimal(data["q"]),
            "side": "sell" if data["m"] else "buy",
            "trade_id": str(number),
            "snapshot": False,
        }


def _kraken(frame: Any) -> Iterator[Row]:
    snapshot = frame.get("type") == "snapshot"
    for item in frame.get("data", []) if frame.get("channel") in ("ticker", "trade") else []:
        common = {
            "symbol": item["symbol"].replace("/", "-"),
            "ts_event": _rfc3339(item["timestamp"]) if "timestamp" in item else None,
            "ts_sent": None,
            "snapshot": snapshot,
        }
        if frame["channel"] == "ticker":
            prices = {"bid": "bid", "bid_size": "bid_qty", "ask": "ask", "ask_size": "ask_qty"}
            values = {name: Decimal(item[key]) for name, key in prices.items()}
            yield {"kind": "quote", **common, "seq": None, **values}
        else:
            yield {
                "kind": "trade",
                **common,
                "seq": item["trade_id"],
                "price": Decimal(item["price"]),
                "size": Decimal(item["qty"]),
                "side": item["side"],
                "trade_id": str(item["trade_id"]),
            }


def _coinbase(frame: Any) -> Iterator[Row]:
    for event in frame.get("events", []):
        common = {
            "ts_sent": _rfc3339(frame["timestamp"]),
            "seq": frame["sequence_num"],
            "snapshot": event.get("type") == "snapshot",
        }
        for item in event.get("tickers", []) if frame["channel"] == "ticker" else []:
            names = {
                "bid": "best_bid",
                "bid_size": "best_bid_quantity",
                "ask": "best_ask",
                "ask_size": "best_ask_quantity",
            }
            values = {name: Decimal(item[key]) for name, key in names.items()}
            yield {
                "kind": "quote",
                **common,
                "ts_event": None,
                "symbol": item["product_id"],
                **values,
            }
        for item in event.get("trades", []) if frame["channel"] == "market_trades" else []:
            yield {
                "kind": "trade",
                **common,
                "ts_event": _rfc3339(item["time"]),
                "symbol": item["product_id"],
                "price": Decimal(item["price"]),
                "size": Decimal(item["size"]),
                # The venue names the maker's side.
                "side": {"BUY": "sell", "SELL": "buy"}[item["side"]],
                "trade_id": item["trade_id"],
            }


def _split(raw: str) -> str:
    quote = next(asset for asset in QUOTE_ASSETS if raw.endswith(asset))
    return f"{raw.removesuffix(quote)}-{quote}"


def _unit(time: int) -> int:
    return 10 ** (19 - len(str(time)))


def _rfc3339(text: str) -> int:
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole + "+00:00").timestamp())
    return seconds * 10**9 + int(fraction.ljust(9, "0") or "0")
