"""What a seek brings back: everything is as if the recording had been played to there."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import until
from rows import batch_of

from monitor.hub.hub import Hub
from monitor.recordings import rows_before
from monitor.recordings.merge import Merged, open_recordings
from monitor.recordings.player import WINDOW_NS, Player
from monitor.recordings.reading import Recording
from monitor.recordings.segments import About, Segment
from monitor.rows.batches import BACKFILL, DUPLICATE, LAST, SCHEMAS, SNAPSHOT, Batch

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


def shaken(rows: list[Row], seed: int) -> list[Row]:
    """Rows that came up to 35 ms after they were numbered: their times go back now and then."""
    chance = random.Random(seed)
    return [
        (kind, row | {"ts_recv": row["ts_recv"] + chance.randrange(35) * 1_000_000})
        for kind, row in rows
    ]


def write(folder: Path, rows: list[Row]) -> None:
    """Write a recording of two segments."""
    folder.mkdir()
    half = len(rows) // 2
    for number, part in enumerate((rows[:half], rows[half:])):
        about = About(folder.name, START, None, "open", ["test:X"], None)
        segment = Segment(folder / f"{number:03}.duckdb", about)
        segment.write(batch_of(part))
        segment.seal(START, None)


def played(rows: Iterator[Batch]) -> Hub:
    hub = Hub()
    for batch in rows:
        hub(batch)
    return hub


def sought(recording: Recording | Merged, to_ns: int) -> Hub:
    hub = Hub()
    hub.remember(recording.past(to_ns - WINDOW_NS))
    for batch in recording.batches(to_ns - WINDOW_NS, to_ns):
        hub(batch)
    return hub


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


@pytest.mark.parametrize("names", [("one",), ("one", "two")])
def test_after_a_seek_all_is_as_if_it_had_been_played_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    # Small pieces: some are whole, the last is not.
    monkeypatch.setattr(rows_before, "PIECE_ORDS", 500)
    for seed, name in enumerate(names):
        write(tmp_path / name, market(seed))
    chance = random.Random(7)
    with open_recordings(tmp_path, names) as recording:
        for _ in range(6):
            to_ns = START + int(chance.uniform(30, SECONDS) * S)
            wanted = shown(played(recording.batches(None, to_ns)))
            found = shown(sought(recording, to_ns))
            for what, value in wanted.items():
                assert found[what] == value, what


@pytest.mark.parametrize("names", [("one",), ("one", "two")])
def test_what_is_played_on_after_a_seek_ends_as_if_played_from_the_start(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    for seed, name in enumerate(names):
        write(tmp_path / name, shaken(market(seed), seed))
    chance = random.Random(3)
    with open_recordings(tmp_path, names) as recording:
        wanted = shown(played(recording.batches()))
        if len(names) > 1:
            # In the past of several recordings rows of one moment may stand in another order.
            del wanted["lasts"]
        places = [START + int(chance.uniform(30, SECONDS) * S) for _ in range(5)]
        # The first file ends half way: its last rows may be later than the first of the next.
        for to_ns in [*places, *(START + SECONDS // 2 * S + n * 5_000_000 for n in range(1, 4))]:
            hub = Hub()
            player = Player(recording, hub, speed=None, on_past=hub.remember)
            player.pause()
            player.seek(to_ns)
            player.start()
            until(lambda at=player, ns=to_ns: at.position_ns == ns, "the seek")
            player.play()
            until(lambda at=player: at.ended, "the end")
            player.close()
            found = shown(hub)
            for what, value in wanted.items():
                assert found[what] == value, what


def test_after_a_seek_counts_and_bars_are_those_of_sql(tmp_path: Path) -> None:
    write(tmp_path / "one", market(0))
    to_ns = START + 200 * S
    with open_recordings(tmp_path, ["one"]) as recording:
        assert isinstance(recording, Recording)
        hub = sought(recording, to_ns)

        def sql(statement: str) -> list[tuple[Any, ...]]:
            made = [tuple(r.values()) for t in recording.select(statement) for r in t.to_pylist()]
            return sorted(made)

        upto = f"epoch_ns(ts_recv) <= {to_ns}"
        updates = Counter[tuple[str, str]]()
        for kind, which in (("quote", "true"), ("trade", "true"), ("book", f"flags & {LAST} > 0")):
            for venue, symbol, count in sql(
                f"SELECT venue, symbol, count(*) FROM {kind} WHERE {upto} AND {which} GROUP BY ALL"
            ):
                updates[venue, symbol] += count
        assert {(s.venue, s.symbol): s.updates for s in hub.sources()} == updates
        marks = sql(f"SELECT epoch_ns(ts_recv), kind FROM status WHERE {upto} AND kind <> 'origin'")
        lost = [at for at, kind in marks if kind in LOSSES]
        assert [mark.ts_recv for mark in hub.marks()[1] if mark.kind in LOSSES] == lost
        assert lost[0] < to_ns - 2 * WINDOW_NS
        old = f"flags & {SNAPSHOT | BACKFILL} > 0"
        bars = sql(
            f"""SELECT traded // {60 * S} * {60 * S} AS start, max(price), min(price), sum(size),
                    count(*)
                FROM (SELECT *, epoch_ns(CASE WHEN {old} THEN ts_event ELSE ts_recv END) AS traded
                    FROM trade WHERE {upto} AND flags & {DUPLICATE} = 0 AND venue = 'binance')
                GROUP BY ALL"""
        )
        folded = Counter[int]()
        for start, *_, count in bars:
            folded[start] += count
        _, found = hub.candles(PLACES[0], 60, 0)
        assert dict(zip(found["start"].tolist(), found["trades"].tolist(), strict=True)) == folded
