"""The player: when a row comes, seeking, loops, holes, and what it says of itself."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from support.made_rows import MS, batch_of, ignore, record, row
from support.running import DEADLINE_S, until

from monitor import recordings
from monitor.hub.hub import Hub
from monitor.page import permalink
from monitor.page.viewer_replay import Replaying, Start
from monitor.recordings.player import Player
from monitor.rows.batches import Batch
from monitor.settings.configuration import HookSettings

START = 1_700_000_000_000_000_000
SECOND = 1_000 * MS


def test_a_loop_plays_its_range_over_and_over_and_nothing_else(tmp_path: Path) -> None:
    numbers = [(n, START + n * 100 * MS) for n in range(100)]
    record(tmp_path / "a", [batch_of([("quote", row("quote", n, at)) for n, at in numbers])])
    rounds: list[list[int]] = [[]]
    third = threading.Event()

    def see(batch: Batch) -> None:
        rounds[-1] += batch["quote"]["ord"].to_pylist()

    def reset() -> None:
        rounds.append([])
        if len(rounds) > 4:
            third.set()

    with recordings.open_recording(tmp_path, "a") as opened:
        player = Player(opened, see, reset, speed=100.0)
        player.repeat((START + 20 * 100 * MS, START + 29 * 100 * MS))
        player.start()
        assert third.wait(DEADLINE_S)
        player.set_speed(None)
        player.repeat(None)
        until(lambda: player.ended, "the end")
        player.close()
    # Behind each seek the minute before fills the views.
    assert rounds[1] == rounds[2] == list(range(30))
    assert rounds[-1][-1] == 99
    with pytest.raises(ValueError, match="ends after it starts"):
        player.repeat((START, START))


def test_behind_a_seek_the_states_and_origins_of_before_hold(tmp_path: Path) -> None:
    start, minute = 1_700_000_000_000_000_000, 60_000 * MS
    of_symbol = {"venue": "v", "symbol": "S", "scope": "symbol", "state": "connected"}
    switch = {"venue": "v", "symbol": "S", "scope": "symbol", "kind": "origin", "detail": "book"}
    rows = [
        ("status", row("status", 0, start) | of_symbol | {"kind": "connected"}),
        ("status", row("status", 1, start + 1) | switch | {"state": "connected"}),
    ]
    for number in range(2, 10):
        origin = {"venue": "v", "symbol": "S", "origin": "book" if number % 2 else "native"}
        rows.append(("quote", row("quote", number, start + number * minute) | origin))
    record(tmp_path / "x", [batch_of(rows)])
    hub = Hub()
    seen = threading.Event()

    def see(batch: Batch) -> None:
        hub(batch)
        if hub.updates >= 2:
            seen.set()

    with recordings.open_recording(tmp_path, "x") as opened:
        player = Player(opened, see, hub.reset)
        player.pause()
        player.start()
        player.seek(start + 9 * minute)
        assert seen.wait(DEADLINE_S)
        player.close()
    (source,) = hub.sources()
    assert source.state == "connected"
    _, quotes = hub.since("quote", ("v", "S"), 0)
    # Of the minute before, the one quote that counts: that of the book.
    assert quotes["ts_recv"].tolist() == [start + 9 * minute]


def test_a_row_comes_when_it_is_due_however_often_it_is_paused_or_the_speed_changes(
    tmp_path: Path,
) -> None:
    rows = [("quote", row("quote", n, START + n * 2 * SECOND)) for n in range(4)]
    record(tmp_path / "x", [batch_of(rows)])
    seen: list[int] = []
    at_reset: list[list[int]] = []

    def see(batch: Batch) -> None:
        seen.extend(batch["quote"]["ord"].to_pylist())

    with recordings.open_recording(tmp_path, "x") as opened:
        player = Player(opened, see, lambda: at_reset.append(list(seen)), speed=0.001)
        player.start()
        until(lambda: seen == [0], "the first row")
        # More than a quarter of an hour is left of the wait for the second, whatever is asked for.
        for change in range(2000):
            player.pause()
            os.sched_yield()
            player.set_speed(0.001 + change % 2 / 1000)
            os.sched_yield()
            player.play()
            os.sched_yield()
        assert seen == [0]
        player.set_speed(1.0)
        until(lambda: seen == [0, 1], "the second row, after two seconds")
        player.set_speed(0.001)
        player.step()
        until(lambda: seen == [0, 1, 2], "the third row")
        player.seek(START)
        until(lambda: player.position_ns == START, "the seek")
        player.close()
    # To step while a row is waited for gives that one alone.
    assert at_reset == [[0, 1, 2]]


def test_a_fast_replay_gives_large_slices_and_steps_give_small_ones(tmp_path: Path) -> None:
    rows = [("quote", row("quote", n, START + n * 50 * MS)) for n in range(4000)]
    record(tmp_path / "x", [batch_of(rows)])
    slices: list[list[int]] = []
    with recordings.open_recording(tmp_path, "x") as opened:
        player = Player(opened, lambda batch: slices.append(batch["quote"]["ord"].to_pylist()))
        player.pause()
        player.start()
        player.set_speed(1000.0)
        player.step()
        until(lambda: len(slices) == 1, "one step")
        player.play()
        until(lambda: player.ended, "the end")
        player.close()
    # A step is of 100 ms; then 40 ms of the viewer's time are 40 s of the rows'.
    assert slices[0] == [0, 1]
    assert [number for part in slices for number in part] == list(range(4000))
    assert len(slices) <= 2 + 200 // 40 + 1


def test_a_time_without_rows_is_passed_over_while_the_clock_moves(tmp_path: Path) -> None:
    times = [START, START + 2 * SECOND, START + 600 * SECOND, START + 601 * SECOND]
    record(
        tmp_path / "x", [batch_of([("quote", row("quote", n, at)) for n, at in enumerate(times)])]
    )
    seen: list[int] = []
    clock: set[int] = set()

    def all_seen() -> bool:
        clock.add(player.position_ns)
        return len(seen) == 3

    with recordings.open_recording(tmp_path, "x") as opened:
        player = Player(opened, lambda batch: seen.extend(batch["quote"]["ord"].to_pylist()))
        player.start()
        until(all_seen, "the row after ten minutes")
        assert "skipped 598 s without rows" in player.told
        player.close()
    assert any(times[0] < at < times[1] for at in clock)
    assert any(times[1] < at < times[2] for at in clock)


def test_a_seek_out_of_a_loop_ends_it(tmp_path: Path) -> None:
    rows = [("quote", row("quote", n, n * SECOND)) for n in range(1, 101)]
    record(tmp_path / "x", [batch_of(rows)])
    with recordings.open_recording(tmp_path, "x") as opened:
        player = Player(opened, ignore)
        player.pause()
        player.start()
        player.repeat((20 * SECOND, 30 * SECOND))
        player.seek(25 * SECOND)
        until(lambda: player.position_ns == 25 * SECOND, "a place in the loop")
        assert player.loop == (20 * SECOND, 30 * SECOND)
        player.seek(50 * SECOND)
        until(lambda: player.position_ns == 50 * SECOND, "a place out of the loop")
        assert player.loop is None
        player.set_speed(None)
        player.play()
        until(lambda: player.ended, "the end")
        player.close()


def test_seek_pause_and_step(tmp_path: Path) -> None:
    second = 1_000_000_000
    rows = [("quote", row("quote", n, n * second)) for n in range(1, 101)]
    record(tmp_path / "x", [batch_of(rows)])
    seen: list[int] = []
    resets: list[bool] = []

    def see(batch: Batch) -> None:
        seen.extend(batch["quote"]["ord"].to_pylist())

    with recordings.open_recording(tmp_path, "x") as opened:
        player = Player(opened, see, lambda: resets.append(True), speed=0.1)
        player.pause()
        player.start()
        player.seek(80 * second)
        until(lambda: player.position_ns == 80 * second, "the seek")
        # The minute before the target fills the views at once.
        assert seen == list(range(20, 81))
        player.step()
        until(lambda: player.position_ns == 81 * second, "one step")
        player.set_speed(None)
        player.play()
        until(lambda: player.ended, "the end")
        player.close()
    assert seen == list(range(20, 101))
    assert resets == [True]


def test_it_is_told_to_be_paused_only_where_it_rests(tmp_path: Path) -> None:
    rows = [("quote", row("quote", n, n * SECOND)) for n in range(1, 101)]
    record(tmp_path / "x", [batch_of(rows)])
    fills, may_fill = threading.Semaphore(0), threading.Semaphore(0)

    def reset() -> None:
        fills.release()
        may_fill.acquire(timeout=DEADLINE_S)

    with recordings.open_recording(tmp_path, "x") as opened:
        player = Player(opened, lambda batch: None, reset, speed=1000.0)
        player.repeat((40 * SECOND, 60 * SECOND))
        player.start()
        # Somebody asked for the first; a loop's turn goes on playing.
        for told in ("seeking", "playing"):
            # On its way to the loop's start its position is still that of before.
            assert fills.acquire(timeout=DEADLINE_S)
            player.pause()
            assert player.told.startswith(f"{told} 1000×")
            may_fill.release()
            until(lambda: player.told.startswith("paused"), "a pause")
            assert player.position_ns == 40 * SECOND
            player.play()
        may_fill.release()
        player.close()


def test_a_file_that_cannot_be_read_any_more_stops_it_with_one_line(tmp_path: Path) -> None:
    rows = [("quote", row("quote", n, START + n * MS)) for n in range(200_000)]
    record(tmp_path / "x", [batch_of(rows)])
    with recordings.open_recording(tmp_path, "x") as opened:
        player = Player(opened, ignore)
        player.pause()
        player.start()
        file = tmp_path / "x" / "000.duckdb"
        content = file.read_bytes()
        # All but the headers: what is known of the file already is that it has rows.
        file.write_bytes(content[:12_288] + bytes(len(content) - 12_288))
        player.seek(START + 150_000 * MS)
        until(lambda: player.trouble, "the trouble")
        assert player.told.startswith("stopped: cannot read x: ")
        assert "\n" not in player.told
        assert player.is_alive and player.ended
        file.write_bytes(content)
        player.close()


def test_to_close_it_does_not_wait_until_the_views_are_filled(tmp_path: Path) -> None:
    # Several batches are read of the minute before.
    rows = [("quote", row("quote", n, START + n)) for n in range(300_000)]
    record(tmp_path / "x", [batch_of(rows)])
    seen: list[int] = []
    is_closing = threading.Event()

    def see(batch: Batch) -> None:
        seen.append(batch["quote"].num_rows)
        assert is_closing.wait(DEADLINE_S)

    with recordings.open_recording(tmp_path, "x") as opened:
        player = Player(opened, see)
        player.pause()
        player.seek(START + 300_000)
        player.start()
        until(lambda: seen, "the first batch")
        closer = threading.Thread(target=player.close, name="closer")
        closer.start()
        until(lambda: player.is_closing, "the wish to end it")
        is_closing.set()
        closer.join(DEADLINE_S)
    assert len(seen) == 1


@pytest.mark.parametrize("value", ["1e300", "1e30", "1e9", "inf", "nan", "-1", "x"])
def test_an_address_with_a_time_that_makes_no_sense_is_as_without(value: str) -> None:
    found = permalink.parse({"at": [value.encode()], "loop": [f"1,{value}".encode()]})
    assert (found.at_s, found.loop_s) == (0.0, None)


def test_a_loop_has_only_times_that_are_recorded(tmp_path: Path) -> None:
    rows = [("quote", row("quote", n, n * SECOND)) for n in range(1, 11)]
    record(tmp_path / "x", [batch_of(rows)])
    asked = {(5, 900): (6 * SECOND, 10 * SECOND), (100, 200): None}
    for (first, last), expected in asked.items():
        start = Start(loop=(first * SECOND, last * SECOND))
        replaying = Replaying(tmp_path, ["x"], HookSettings(), start=start)
        assert replaying.player.loop == expected
        replaying.close()
    # A place beyond the end is the end.
    replaying = Replaying(tmp_path, ["x"], HookSettings(), start=Start(10**18, True))
    until(lambda: replaying.player.position_ns == 10 * SECOND, "the end")
    replaying.close()


def test_damaged_segments_are_told_of_and_nothing_else_is_not_played(tmp_path: Path) -> None:
    record(tmp_path / "x", [batch_of([("quote", row("quote", 0, START))])])
    (tmp_path / "x" / "001.duckdb").write_bytes(b"not a database")
    replaying = Replaying(tmp_path, ["x"], HookSettings())
    assert replaying.trouble == "1 damaged segment left out"
    replaying.player.seek(START)
    until(lambda: replaying.hub.updates == 1 and replaying.player.ended, "the one row")
    assert replaying.trouble == "1 damaged segment left out"
    replaying.close()
    (tmp_path / "x" / "000.duckdb").write_bytes(b"not a database")
    with pytest.raises(ValueError, match="damaged: no file of x can be read"):
        Replaying(tmp_path, ["x"], HookSettings())


def test_at_its_end_it_says_what_limited_it_until_another_speed_is_asked_for(
    tmp_path: Path,
) -> None:
    rows = [("quote", row("quote", n, START + n * 100 * MS)) for n in range(20)]
    record(tmp_path / "x", [batch_of(rows)])

    def see(_: Batch) -> None:
        # A slow machine: two seconds at 1000x are over after 2 ms.
        threading.Event().wait(0.2)

    with recordings.open_recording(tmp_path, "x") as opened:
        player = Player(opened, see, speed=1000.0)
        assert player.told == "playing 1000×"
        player.start()
        until(lambda: player.ended, "the end")
        assert player.told.startswith("ended 1000× (actual ")
        assert player.told.endswith("×: limited by this machine)")
        player.set_speed(1.0)
        assert player.told == "ended 1×"
        player.close()
