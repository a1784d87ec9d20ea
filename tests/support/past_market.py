"""A made market whose past is known."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from monitor.hub.hub import Hub
from monitor.recordings.segments import About, Segment
from monitor.rows.batches import BACKFILL, DUPLICATE, LAST, SCHEMAS, SNAPSHOT
from support.made_rows import batch_of

S = 1_000_000_000


START = 1_700_000_000 * S


SECONDS = 240


PLACES = [("binance", "BTC-USDT"), ("coinbase", "BTC-USD"), ("kraken", "ETH-USD")]


# The last is named late, and falls silent long before the end.
APPEARS_S, FALLS_SILENT_S = 70, 120


LOSSES = ("gap", "checksum", "crossed")


Row = tuple[str, dict[str, Any]]


def market(seed: int) -> list[Row]:
    """Four minutes of three instruments with losses, late trades, two origins and signals."""
    chance = random.Random(seed)
    made: list[Row] = []

    def add(kind: str, at_ns: int, venue: str, symbol: str | None, /, **values: Any) -> None:
        nameless = {field.name: None for field in SCHEMAS[kind]}
        fixed = {"ts_recv": at_ns, "venue": venue, "symbol": symbol, "conn": 1, "flags": 0}
        made.append((kind, {**nameless, **fixed, **values}))

    for tick in range(SECONDS * 10):
        # Of two recordings no trades are at the very same time.
        now = START + tick * S // 10 + seed * 7_000_000
        for at, (name, symbol) in enumerate(PLACES):
            # Two recordings share the instrument of one origin: a switch holds within its own.
            venue = f"{name}-{seed}" if seed and at < 2 else name
            if at == 2 and not APPEARS_S * 10 <= tick < FALLS_SILENT_S * 10:
                continue
            what = chance.random()
            if tick % (APPEARS_S * 10 if at == 2 else SECONDS * 10) == 0:
                told = {"scope": "symbol", "state": "connected", "kind": "connected"}
                add("status", now, venue, symbol, channel="quote", **told)
            if tick % 10 == at:
                counts = {n: float(chance.randrange(2)) for n in ("gaps", "duplicates", "late")}
                for channel in ("quote", "book"):
                    add(
                        "stat",
                        now,
                        venue,
                        symbol,
                        channel=channel,
                        latency_p50_ms=float(tick),
                        latency_p99_ms=float(tick + at),
                        book_health="ok",
                        rows=5.0,
                        **counts,
                    )
            elif what < 0.4:
                price = 100.0 + chance.randrange(200) / 8
                origin = chance.choice(["native", "native", "book"][: 2 if at == 2 else 3])
                flags = DUPLICATE if chance.random() < 0.1 else 0
                add(
                    "quote",
                    now,
                    venue,
                    symbol,
                    bid=price,
                    ask=price + 1,
                    bid_size=1.0,
                    ask_size=2.0,
                    origin=origin,
                    flags=flags,
                    ts_event=now - S // 50,
                )
            elif what < 0.6:
                price, size = 100.0 + chance.randrange(200) / 8, chance.randrange(1, 9) / 4
                flags = chance.choice([0, 0, 0, DUPLICATE, SNAPSHOT, BACKFILL])
                event = now - chance.randrange(20) * S if flags else now - S // 50
                add(
                    "trade",
                    now,
                    venue,
                    symbol,
                    price=price,
                    size=size,
                    side="buy",
                    flags=flags,
                    ts_event=event,
                )
            elif what < 0.8:
                for flags in (0, LAST):
                    add("book", now, venue, symbol, side="bid", price=1.0, size=1.0, flags=flags)
            elif what < 0.85:
                levels = {
                    f"{side}_{of}": [1.0, 2.0]
                    for side in ("bid", "ask")
                    for of in ("prices", "sizes")
                }
                add("depth", now, venue, symbol, **levels)
            elif what < 0.87:
                kind = chance.choice(
                    [*LOSSES, "late", "rate_limited", "resync", "disconnected", "handback"]
                )
                whose = chance.choice([symbol, None])
                add(
                    "status",
                    now,
                    venue,
                    whose,
                    scope="symbol" if whose else "connection",
                    channel="book",
                    state="connected",
                    kind=kind,
                    count=1,
                )
            elif what < 0.875:
                add(
                    "status",
                    now,
                    venue,
                    symbol,
                    scope="symbol",
                    state="connected",
                    kind="origin",
                    channel="quote",
                    detail="native" if at == 2 else chance.choice(["native", "book"]),
                )
            elif what < 0.89:
                level = chance.choice(["info", "warn"])
                text = f"rule: {'over' if level == 'info' else 'broken'}"
                add(
                    "signal",
                    now,
                    venue,
                    symbol,
                    hook="alerts",
                    level=level,
                    value=1.0,
                    text=text,
                    origin="recorded",
                    cause_ord=len(made) - 1,
                )
    order = 0
    for kind, row in made:
        if kind == "signal":
            row["cause_ord"] = order - 1
        else:
            row["ord"] = order
            order += 1
    return made


def write(folder: Path, rows: list[Row]) -> None:
    """Write a recording of two segments."""
    folder.mkdir()
    half = len(rows) // 2
    for number, part in enumerate((rows[:half], rows[half:])):
        about = About(folder.name, START, None, "open", ["test:X"], None)
        segment = Segment(folder / f"{number:03}.duckdb", about)
        segment.write(batch_of(part))
        segment.seal(START, None)


def shown(hub: Hub) -> dict[str, Any]:
    """All that views show."""
    instruments = hub.instruments()
    bars = {}
    for instrument in instruments:
        for interval_s in (1, 5, 60, 300):
            found = hub.candles(instrument, interval_s, 0)[1]
            names = ("start", "open", "high", "low", "close", "volume", "trades")
            bars[instrument, interval_s] = {name: found[name].tolist() for name in names}
    lasts = {
        (kind, instrument): {n: v.tolist() for n, v in hub.last(kind, instrument, most).items()}
        for kind, most in (("quote", 1), ("trade", 40), ("depth", 1), ("stat", 120))
        for instrument in instruments
    }
    # Rows of several recordings are numbered anew while they are played.
    signals = [{**signal, "cause_ord": None} for signal in hub.signals()]
    active = [alert._asdict() for alert in hub.alerts.active()]
    return {
        "sources": repr(hub.sources()),
        "totals": hub.totals(),
        "quotes": repr(hub.quotes()),
        "quality": hub.quality(),
        "marks": sorted(hub.marks()[1]),
        "signals": signals,
        "alerts": active,
        "updates": hub.updates,
        "bars": bars,
        "lasts": repr(lasts),
    }
