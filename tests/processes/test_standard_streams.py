"""Standard streams that nobody reads, or that are closed: recording and the end go on."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from support.collectors import free_port
from support.process_tree import answers, runs
from support.running import DEADLINE_S, collector_of, simulator_urls, until

from monitor import recordings
from monitor.processes import locks, standard_streams
from monitor.verify.verification import verify

Run = Callable[..., Any]
COMMAND = [sys.executable, "-m", "monitor.cli"]
# More than what a line may have to wait for; less than what a pipe is given here.
LEFT = 16


@contextmanager
def unread() -> Iterator[int]:
    """Yield the end of a pipe that is full, and that nobody reads."""
    reading, writing = os.pipe()
    size = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, b"x" * (size - LEFT))
    try:
        yield writing
    finally:
        os.close(writing)
        os.close(reading)


def started(folder: Path, *arguments: object, **streams: Any) -> subprocess.Popen[bytes]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.Popen(command, cwd=folder, **{"stdout": subprocess.DEVNULL, **streams})


def rows(held: locks.Held) -> int:
    headers = {"Authorization": f"Bearer {held.token}"}
    answer = requests.get(f"http://{held.address}/sources", headers=headers, timeout=DEADLINE_S)
    return int(answer.json()["rows"])


def clock_rows(held: locks.Held) -> float:
    text = requests.get(f"http://{held.address}/metrics", timeout=DEADLINE_S).text
    wanted = 'monitor_rows_total{kind="clock"}'
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(wanted))


def ended(process: subprocess.Popen[bytes], after: Callable[[], object]) -> int:
    """Do something, then have the process end; return its exit code."""
    try:
        after()
        process.terminate()
        return process.wait(DEADLINE_S)
    finally:
        process.kill()
        process.wait()


def lines_told(held: locks.Held) -> bool:
    """Tell whether so many status rows came that the pipe must be full."""
    text = requests.get(f"http://{held.address}/metrics", timeout=DEADLINE_S).text
    lost = [line for line in text.splitlines() if line.startswith("monitor_disconnects_total")]
    return sum(float(line.split()[-1]) for line in lost) >= 3


def test_a_standard_error_that_nobody_reads_holds_up_neither_rows_nor_the_end(
    tmp_path: Path, background: Run
) -> None:
    folder = tmp_path / "recordings"
    # Each line that is lost is told on standard error.
    exchange = background("simulate", "binance", "--fault", "reset@0.2", "--rate", 50)
    source = ("binance:BTC-USDT", "--endpoint", simulator_urls(exchange))
    with unread() as full:
        process = started(tmp_path, "record", *source, stdout=full, stderr=full)

        def see() -> None:
            held = collector_of(folder)
            until(lambda: lines_told(held), "lost lines")
            before = rows(held)
            until(lambda: rows(held) > before, "further rows")

        assert ended(process, see) == 0
    (described,) = recordings.catalogue(folder)
    assert described["state"] == "sealed"
    assert not verify(folder, described["id"]).is_damaged


def test_a_page_answers_and_ends_though_nobody_reads_its_streams(tmp_path: Path) -> None:
    folder, port = tmp_path / "recordings", free_port()
    pids: list[int] = []
    with unread() as full:
        process = started(tmp_path, "serve", "--port", port, stdout=full, stderr=full)

        def see() -> None:
            until(lambda: answers(port), "the page")
            pids.append(collector_of(folder).pid)
            for _ in range(3):
                # Tornado has a line for each.
                url = f"http://127.0.0.1:{port}/no/such"
                assert requests.get(url, timeout=DEADLINE_S).status_code == 404

        assert ended(process, see) == 0
    until(lambda: not runs(pids[0]), "the end of the collector")
    assert [item["state"] for item in recordings.catalogue(folder)] == ["sealed"]


def test_a_terminal_that_is_not_read_holds_up_neither_rows_nor_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    ours, theirs = pty.openpty()
    streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    # On one that can do no more than print there is no progress line.
    environment = {**os.environ, "TERM": "xterm"}
    process = started(tmp_path, "record", "--simulated", **streams, env=environment)

    def see() -> None:
        held = collector_of(folder)
        os.set_blocking(theirs, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(theirs, b"x" * 4096)
        os.set_blocking(theirs, True)
        before = clock_rows(held)
        # Ten come in a second, and more than ten progress lines.
        until(lambda: clock_rows(held) > before + 50, "further rows")

    try:
        assert ended(process, see) == 0
    finally:
        os.close(ours)
        os.close(theirs)
    assert [item["state"] for item in recordings.catalogue(folder)] == ["sealed"]


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_as_if_they_led_nowhere(tmp_path: Path, closed: str) -> None:
    command = " ".join([*COMMAND, "record", "--simulated", "--for", "2s", closed])
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    (described,) = recordings.catalogue(tmp_path / "recordings")
    assert described["state"] == "sealed" and described["rows"]["clock"] > 0
    assert done.stdout == ("" if ">&- " in closed else described["digest"] + "\n")


def test_an_error_is_not_printed_on_standard_output_if_standard_error_is_closed(
    tmp_path: Path,
) -> None:
    command = " ".join([*COMMAND, "ingest", "nofile", "--venue", "binance", "2>&-"])
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")


def test_lines_that_find_no_room_are_counted_and_told() -> None:
    reading, writing = os.pipe()
    size = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, b"x" * size)
    with os.fdopen(writing, "w") as stream, os.fdopen(reading, "rb") as reader:
        patient = standard_streams.Patient(stream, "the pipe")
        most = standard_streams.MOST_LINES
        for number in range(most + 10):
            print(number, file=patient)
        assert reader.read(size) == b"x" * size
        first = [reader.readline() for _ in range(2)]
        print("later", file=patient)
        told = []
        while not told or told[-1] != b"later\n":
            told.append(reader.readline())
    found = [line for line in first + told if b"dropped" not in line]
    (said,) = [line for line in first + told if b"dropped" in line]
    count = int(said.split()[1])
    assert said.endswith(b" lines were dropped: the pipe was not read\n")
    # What was kept is in order and whole, and all the rest is counted.
    assert len(found) + count == most + 11
    assert found[:-1] == [b"%d\n" % number for number in range(len(found) - 1)]
