"""The frames that the benchmarks share: Binance combined streams."""

from __future__ import annotations

import random
import struct
from typing import Any, NamedTuple

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT")
QUOTE_SHARE = 7 / 9
TIME_MS = 1_723_161_255_308


class QuoteTick(NamedTuple):
    symbol: str
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    seq: int


class TradeTick(NamedTuple):
    symbol: str
    price: float
    size: float
    side: str
    trade_id: int
    ts_event: int


def messages(count: int, seed: int = 1) -> list[bytes]:
    """Make `count` bookTicker and trade messages, 7 to 2, numbered as the venue numbers them."""
    draw = random.Random(seed)
    updates = 40_000_000_000
    trades = dict.fromkeys(SYMBOLS, 1_520_000_000)
    made = []
    for at in range(count):
        symbol, price = draw.choice(SYMBOLS), 2683 + draw.random() * 10
        if draw.random() < QUOTE_SHARE:
            updates += draw.randint(1, 9)
            text = (
                f'{{"stream":"{symbol.lower()}@bookTicker","data":{{"u":{updates},"s":"{symbol}",'
                f'"b":"{price:.8f}","B":"{draw.random() * 30:.8f}","a":"{price + 0.01:.8f}",'
                f'"A":"{draw.random() * 30:.8f}"}}}}'
            )
        else:
            trades[symbol] += 1
            maker = "true" if draw.random() < 0.5 else "false"
            now = TIME_MS + at
            text = (
                f'{{"stream":"{symbol.lower()}@trade","data":{{"e":"trade","E":{now},'
                f'"s":"{symbol}","t":{trades[symbol]},"p":"{price:.8f}",'
                f'"q":"{draw.random():.8f}","T":{now},"m":{maker},"M":true}}}}'
            )
        made.append(text.encode())
    return made


def framed(payloads: list[bytes]) -> bytes:
    """Frame payloads as a WebSocket server does."""
    parts = []
    for payload in payloads:
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", 0x81, size)
        elif size < 1 << 16:
            head = struct.pack("!BBH", 0x81, 126, size)
        else:
            head = struct.pack("!BBQ", 0x81, 127, size)
        parts += [head, payload]
    return b"".join(parts)


def tick(message: dict[str, Any]) -> QuoteTick | TradeTick:
    """Turn a decoded message into a tick, as a plain Python client does."""
    data = message["data"]
    if "e" in data:
        side = "sell" if data["m"] else "buy"
        price, size = float(data["p"]), float(data["q"])
        return TradeTick(data["s"], price, size, side, data["t"], data["T"])
    bid, ask = float(data["b"]), float(data["a"])
    return QuoteTick(data["s"], bid, float(data["B"]), ask, float(data["A"]), data["u"])
