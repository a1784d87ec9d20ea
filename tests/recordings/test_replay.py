"""Replay on real DuckDB files: the terminal, several recordings as one, recording it anew."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import reference_digest
from support.made_rows import MS, batch_of, ignore, record, row
from support.running import DEADLINE_S, until

from monitor import recordings
from monitor.graph.pipeline import Graph
from monitor.hooks import builtin
from monitor.recordings.merge import open_recordings
from monitor.recordings.recorder import Recorder
from monitor.rows.batches import Batch
from monitor.settings.configuration import HookSettings

START = 1_700_000_000_000_000_000
# Pauses before each row; a clock may go back.
PAUSES = st.lists(st.integers(-50 * MS, 200 * MS), min_size=1, max_size=30)


class Screen:
    """A terminal as its user sees it; `end` is the program's."""

    def __init__(self) -> None:
        self._terminal, self.end = pty.openpty()
        self.shown = b""

    def shows(self, text: str) -> bool:
        """Tell whether a text was shown since `shown` was last emptied."""
        if select.select([self._terminal], [], [], 0)[0]:
            self.shown += os.read(self._terminal, 65536)
        return text.encode() in self.shown

    def types(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def close(self) -> None:
        os.close(self._terminal)
        os.close(self.end)


def stream(numbers: list[tuple[int, int]], value: float) -> list[tuple[str, dict[str, Any]]]:
    """Quotes and trades by turns at these (`ord`, `ts_recv`)."""
    kinds = ("quote", "trade")
    return [(kinds[n % 2], row(kinds[n % 2], n, time, value)) for n, time in numbers]


def plain(batches: list[Batch]) -> list[tuple[int, str, int, float]]:
    """Rows as (ord, kind, ts_recv, a value), in `ord` order."""
    found = []
    for batch in batches:
        for kind, name in (("quote", "bid"), ("trade", "price")):
            for made in batch[kind].to_pylist():
                found.append((made["ord"], kind, made["ts_recv"].value, made[name]))
    return found


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    pauses=st.lists(PAUSES, min_size=2, max_size=3),
    batch_rows=st.integers(1, 9),
    start=st.one_of(st.none(), st.floats(0, 1)),
)
def test_several_recordings_are_one_stream_in_order_of_arrival(
    tmp_path_factory: pytest.TempPathFactory,
    pauses: list[list[int]],
    batch_rows: int,
    start: float | None,
) -> None:
    folder = tmp_path_factory.mktemp("recordings")
    expected = []
    for at, waits in enumerate(pauses):
        name, now, latest, numbers = "abc"[at], START, 0, []
        for number, wait in enumerate(waits):
            now += wait
            latest = max(latest, now)
            numbers.append((number, now))
            expected.append((latest, name, number, now, float(at)))
        record(folder / name, [batch_of(stream(numbers, float(at)))])
    # The contract: by the running maximum of `ts_recv`, then by id; numbered from 0.
    expected.sort()
    wanted = [
        (number, ("quote", "trade")[old % 2], time, value)
        for number, (_, _, old, time, value) in enumerate(expected)
    ]
    from_ns = None
    if start is not None:
        from_ns = expected[int(start * (len(expected) - 1))][0]
        reached = next(at for at, made in enumerate(expected) if made[0] >= from_ns)
        wanted = wanted[reached:]
    with open_recordings(folder, "abc"[: len(pauses)]) as opened:
        found = list(opened.batches(from_ns, None, batch_rows))
    assert sorted(plain(found)) == wanted
    for one, next_one in pairwise(found):
        assert one.ords is not None and next_one.ords is not None
        assert one.ords[1] < next_one.ords[0]


def test_a_signal_of_one_of_several_recordings_stands_at_its_cause(tmp_path: Path) -> None:
    record(tmp_path / "a", [batch_of(stream([(0, START), (1, START + 2)], 1.0))])
    caused = row("signal", 0, START + 1) | {"cause_ord": 1}
    rows = [*stream([(0, START + 1), (1, START + 1)], 2.0), ("signal", caused)]
    record(tmp_path / "b", [batch_of(rows)])
    with open_recordings(tmp_path, ["b", "a"]) as opened:
        found = [n for batch in opened.batches() for n in batch["signal"]["cause_ord"].to_pylist()]
    assert found == [2]


def test_a_recording_is_named_once(tmp_path: Path) -> None:
    record(tmp_path / "a", [batch_of(stream([(0, START)], 1.0))])
    with (
        pytest.raises(ValueError, match="each recording once"),
        open_recordings(tmp_path, ["a", str(tmp_path / "a")]),
    ):
        pass


def test_what_is_recorded_anew_from_a_replay_is_the_same(tmp_path: Path) -> None:
    numbers = [(n, START + n * MS) for n in range(50)]
    caused = row("signal", 0, START) | {"cause_ord": 30, "origin": "recorded"}
    recorder = record(tmp_path / "a", [batch_of([*stream(numbers, 1.5), ("signal", caused)])])
    command = [sys.executable, "-m", "monitor.cli", "replay", "a", "--speed", "max", "--digest"]
    command += ["--record", "again", "--recordings", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [recorder.digest]
    described = {item["id"]: item for item in recordings.catalogue(tmp_path)}
    assert described["again"]["digest"] == recorder.digest
    assert described["again"]["sources"] == ["test:X"]
    kept = {}
    for name in ("a", "again"):
        with recordings.open_recording(tmp_path, name) as opened:
            kept[name] = [batch["signal"].to_pylist() for batch in opened.batches()]
            assert reference_digest.digest(opened.batches()) == recorder.digest
    assert kept["a"] == kept["again"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "monitor: expected the name of a new recording, found 'again'\n"


def test_recorded_and_recomputed_signals_are_compared(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a", ["test:X"], ignore)
    recorder.start()
    graph = Graph({"recorder": recorder}, builtin.load(HookSettings(), "recorded"))
    # Five times the first venue's bid rises 100 basis points above the other's ask.
    for n in range(20):
        legs = {"venue": "ab"[n % 2], "bid": 101.0 if n % 4 == 0 else 99.0, "origin": "native"}
        legs["ask"] = legs["bid"] + 1.0
        graph.emit(batch_of([("quote", row("quote", n, START + n * MS) | legs)]))
    recorder.close()
    command = [sys.executable, "-m", "monitor.cli", "replay", "a", "--speed", "max"]
    command += ["--recordings", str(tmp_path)]
    stricter = tmp_path / "stricter.toml"
    stricter.write_text("[hooks.cross_venue]\nthreshold_bps = 500.0\n")
    for options, told in (
        ([], "signals: 5 recorded, 5 recomputed, 5 equal"),
        (["--config", str(stricter)], "signals: 5 recorded, 0 recomputed, 0 equal"),
    ):
        done = subprocess.run(
            [*command, *options], capture_output=True, text=True, timeout=60, check=True
        )
        assert told in done.stderr.splitlines()


def test_a_replay_on_a_terminal_is_steered_by_its_keys(tmp_path: Path) -> None:
    rows = [("quote", row("quote", n, START + n * 100 * MS)) for n in range(3000)]
    record(tmp_path / "a", [batch_of(rows)])
    screen = Screen()
    command = [sys.executable, "-m", "monitor.cli", "replay", "a", "--recordings", str(tmp_path)]
    with subprocess.Popen(
        command, stdin=screen.end, stderr=screen.end, stdout=subprocess.PIPE
    ) as replay:
        try:
            until(lambda: screen.shows("playing 1×"), "the replay")
            screen.types(b" ")
            until(lambda: screen.shows("paused 1×"), "a pause")
            screen.shown = b""
            screen.types(b"\x1b[C" * 5)
            # Fifty seconds on: it would have taken as long to play that far.
            until(lambda: screen.shows("22:14:1"), "the seeks")
            screen.types(b"+")
            until(lambda: screen.shows("paused 10×"), "another speed")
            screen.types(b"q")
            assert replay.wait(DEADLINE_S) == 0
        finally:
            replay.kill()
    screen.close()


def test_a_loop_without_a_page_goes_on_until_it_is_interrupted(tmp_path: Path) -> None:
    rows = [("quote", row("quote", n, START + n * 100 * MS)) for n in range(10)]
    record(tmp_path / "a", [batch_of(rows)])
    command = [sys.executable, "-m", "monitor.cli", "replay", "a", "--loop", "--speed", "max"]
    command += ["--recordings", str(tmp_path)]
    wrong = [*command, "--from", "2024-01-01", "--to", "2023-01-01"]
    refused = subprocess.run(wrong, capture_output=True, text=True, timeout=60, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert (
        refused.stderr == "monitor: expected --from before --to, found 2024-01-01 and 2023-01-01\n"
    )
    screen = Screen()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=screen.end) as replay:
        try:
            until(lambda: screen.shows("in a loop") and screen.shows("22:13:20.9"), "the last row")
            screen.shown = b""
            replay.send_signal(signal.SIGINT)
            assert replay.wait(DEADLINE_S) == 0
            until(lambda: screen.shows(" quote"), "what was played")
        finally:
            replay.kill()
    screen.close()
