"""What a seek brings back: everything is as if the recording had been played to there."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.past_market import LOSSES, PLACES, SECONDS, START, Row, S, market, shown, write
from support.running import until

from monitor.hub.hub import Hub
from monitor.recordings import rows_before
from monitor.recordings.merge import Merged, open_recordings
from monitor.recordings.player import WINDOW_NS, Player
from monitor.recordings.reading import Recording
from monitor.rows.batches import BACKFILL, DUPLICATE, LAST, SNAPSHOT, Batch


def shaken(rows: list[Row], seed: int) -> list[Row]:
    """Rows that came up to 35 ms after they were numbered: their times go back now and then."""
    chance = random.Random(seed)
    return [
        (kind, row | {"ts_recv": row["ts_recv"] + chance.randrange(35) * 1_000_000})
        for kind, row in rows
    ]


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
