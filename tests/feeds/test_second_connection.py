"""Two connections to one stream: each message counts once, and one that ends leaves no gap."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import requests
from support.faulty import DEADLINE_S, RATE, Recorded, Row, Run, canonical
from support.recorded_books import compare, messages
from support.side_by_side import done, judging, side_by_side
from support.tap import Tap

from monitor import recordings
from monitor.feeds.all_feeds import Feeds
from monitor.rows.batches import INVALID, KEYFRAME, REST, SYNTHETIC
from monitor.settings import configuration
from monitor.simulate import Simulator

__all__ = ["done"]

VENUES = ("binance", "kraken")
INSTRUMENTS = 2
KILLS = 4
# Nothing is lost, so nothing may be told of.
LOSSES = ("gap", "duplicate", "late", "checksum", "crossed", "resync", "mismatch", "undecodable")
# Of RFC 6455, 5.2: the code of a text frame, and the lengths that stand for a longer one behind.
TEXT, LONG, LONGER = 0x1, 126, 127


class Killed(NamedTuple):
    """A recording, what each connection brought, and what the exchange and the collector say."""

    folder: Path
    recorded: Recorded
    received: list[bytes]
    trades: dict[str, list[Row]]


def kill(folder: Path, venue: str) -> Killed:
    """Cut the first of two connections again and again, and once the second."""
    settings = 'connections = 2\ngap_fill = false\nmode = "ws"'
    with (
        Simulator([venue], rate=4 * RATE) as simulator,
        Tap(simulator.port) as tap,
        Run(
            folder,
            simulator,
            [venue],
            "",
            settings,
            (tap.port, simulator.port),
            instruments=INSTRUMENTS,
        ) as run,
    ):

        def joined(times: int) -> None:
            def told() -> bool:
                return sum("beside" in (r["detail"] or "") for r in run.statuses) == times

            run.until(told, f"a second connection beside the first, {times} times")

        joined(1)
        run.until(run.has_data, "data of every instrument")
        for at in range(KILLS):
            run.observe(2)
            tap.cut(at)
            joined(at + 2)
        tap.cut(KILLS + 1)
        joined(KILLS + 2)
        run.observe(2)
        made = {symbol: asked(simulator, venue, raw) for raw, symbol in run.followed[venue].items()}

        def is_beyond() -> bool:
            wanted = {symbol: int(trades[-1]["trade_id"]) for symbol, trades in made.items()}
            return all(
                max(map(int, run.trade_ids[venue, symbol])) > last
                for symbol, last in wanted.items()
            )

        run.until(is_beyond, "all trades that were asked for")
        tap.hold()
        held_ns = run.now_ns + 1_000_000_000
        run.until(lambda: run.now_ns > held_ns, "all that was passed on")
        return Killed(folder, run.stop(), tap.received(), made)


def asked(simulator: Simulator, venue: str, raw: str) -> list[Row]:
    """Ask the exchange for the trades that it made."""
    url = f"{simulator.http_url('').removesuffix('/')}/_simulate/trades"
    told: list[Row] = requests.get(url, {"venue": venue, "symbol": raw}, timeout=DEADLINE_S).json()
    return told


started = side_by_side({venue: lambda folder, v=venue: kill(folder, v) for venue in VENUES})


def venue_of(done: Killed) -> str:
    (venue,) = done.recorded.injected
    return venue


def texts(received: bytes) -> Iterator[str]:
    """Read the whole text frames of a WebSocket's bytes, behind the answer to its opening."""
    at = received.index(b"\r\n\r\n") + 4
    while at + 2 <= len(received):
        code, size = received[at] & 0xF, received[at + 1]
        at += 2
        if size in (LONG, LONGER):
            wide = 2 if size == LONG else 8
            size, at = int.from_bytes(received[at : at + wide], "big"), at + wide
        if at + size <= len(received) and code == TEXT:
            yield received[at : at + size].decode()
        at += size


def told_in(received: bytes) -> int:
    """Count what a connection told of the market: a message may hold several."""
    found = 0
    for text in texts(received):
        message = json.loads(text)
        if "stream" in message:
            found += 1
        elif message.get("channel") in ("ticker", "trade", "book"):
            found += len(message["data"])
    return found


@judging(*VENUES)
def test_a_killed_connection_leaves_no_gap_and_ends_no_quote(done: Killed) -> None:
    statuses = done.recorded.rows["status"]
    assert not [row for row in statuses if row["kind"] in LOSSES]
    lost = done.recorded.statuses(venue_of(done), "disconnected")
    # The numbers go up as connections are opened: the first, and behind each loss one more.
    assert [row["conn"] for row in lost] == [*range(1, KILLS + 1), KILLS + 2]
    assert {(row["scope"], row["state"]) for row in lost} == {("connection", "connected")}
    assert all(f"connection {row['conn'] + 1} goes on" in row["detail"] for row in lost[:-1])
    assert f"connection {KILLS + 1} goes on" in lost[-1]["detail"]
    last = max(row["ord"] for row in statuses if row["kind"] == "redundant")
    ended = [row for row in done.recorded.rows["quote"] if row["flags"] & INVALID]
    assert all(row["ord"] > last for row in ended)
    states = {row["state"] for row in statuses if row["scope"] == "symbol" and row["ord"] < last}
    assert states <= {"initialising", "connected", "quiet"}


@judging(*VENUES)
def test_every_trade_of_the_exchange_is_there_once(done: Killed) -> None:
    venue = venue_of(done)
    for symbol, made in done.trades.items():
        rows = done.recorded.of("trade", venue, symbol)
        found = [int(row["trade_id"]) for row in rows]
        assert {row["flags"] for row in rows} <= {0, 128}
        assert found == sorted(set(found))
        wanted = [int(trade["trade_id"]) for trade in made]
        first, last = max(found[0], wanted[0]), wanted[-1]
        assert [at for at in found if first <= at <= last] == [
            at for at in wanted if first <= at <= last
        ]
        assert len(wanted) > 20


@judging(*VENUES)
def test_books_are_the_exchanges_own_all_the_time(done: Killed) -> None:
    venue = venue_of(done)
    for symbol in canonical(venue, INSTRUMENTS).values():
        seen = [look for look in done.recorded.observations if look.symbol == symbol]
        best = 25 if venue == "kraken" else None
        rows = done.recorded.of("book", venue, symbol)
        equality = compare(rows, seen, [], [], best)
        assert (equality.unequal, equality.difference) == (0, "")
        assert equality.equal >= KILLS


@judging(*VENUES)
def test_what_was_left_out_and_counted_is_what_came_twice(done: Killed) -> None:
    venue = venue_of(done)
    came = sum(map(told_in, done.received))
    quotes = [row for row in done.recorded.rows["quote"] if row["origin"] == "native"]
    kept = sum(not row["flags"] & INVALID for row in quotes)
    kept += len(done.recorded.rows["trade"])
    for symbol in canonical(venue, INSTRUMENTS).values():
        own = messages(done.recorded.of("book", venue, symbol))
        # Of Binance's books the changes before the snapshot are written again, behind it.
        again = KEYFRAME | REST | (SYNTHETIC if venue == "binance" else 0)
        kept += sum(not message.flags & again for message in own)
    told = [row["count"] for row in done.recorded.statuses(venue, "redundant")]
    assert sum(told) == came - kept > came / 10
    # Told a few times for each loss, however much there was.
    assert len(told) <= 3 * (KILLS + 1)


@judging(*VENUES)
def test_both_connections_brought_rows_first(done: Killed) -> None:
    conns = Counter(row["conn"] for row in done.recorded.rows["trade"])
    assert len(conns) >= 2
    assert set(conns) <= {*range(1, KILLS + 4)}


@judging(*VENUES)
def test_its_recording_replays_and_verifies(done: Killed) -> None:
    (listed,) = recordings.catalogue(done.folder)
    for command in (
        ["replay", "--speed", "max", "--digest", listed["id"]],
        ["verify", listed["id"]],
    ):
        ran = subprocess.run(
            [sys.executable, "-m", "monitor.cli", *command, "--recordings", str(done.folder)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        if command[0] == "replay":
            assert ran.stdout.split()[-1] == listed["digest"]


@pytest.mark.parametrize(
    ("toml", "why"),
    [
        (
            "[venues.coinbase]\nconnections = 2",
            "expected 1 connection to coinbase, found 2: "
            "each connection numbers its messages for itself",
        ),
        (
            'sources = [{ source = "finnhub:AAPL", connections = 2 }]',
            "expected 1 connection to finnhub, found 2: its trades have no number",
        ),
        ("[venues.binance]\nconnections = 3", "venues.binance.connections: Input should be"),
    ],
)
def test_where_two_cannot_be_told_apart_they_are_refused(
    tmp_path: Path, toml: str, why: str
) -> None:
    file = tmp_path / "monitor.toml"
    file.write_text(toml)
    with pytest.raises(ValueError, match=re.escape(why)) as refused:
        configuration.load(file).parsed()
    assert "\n" not in str(refused.value)


def test_a_source_may_have_two_where_its_venue_has_one(tmp_path: Path) -> None:
    file = tmp_path / "monitor.toml"
    file.write_text(
        'sources = [{ source = "binance:BTC-USDT", connections = 2 }, "binance:ETH-USDT"]'
    )
    settings = configuration.load(file)
    ways = Feeds(settings.parsed(), {}, settings.venues).ways()
    assert [way.connections for _, way in ways] == [2, 1]
    with pytest.raises(ValueError, match="expected 1 connection to binance:BTC-USDT with --raw"):
        Feeds(settings.parsed(), {}, settings.venues, raw=True)
