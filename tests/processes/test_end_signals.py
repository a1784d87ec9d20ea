"""Commands that are told to end while they start, and as the first process of a container."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.collectors import answers, free_port
from support.made_rows import MS, batch_of, record, row
from support.process_tree import children, runs
from support.running import DEADLINE_S, ROOT, collector_of, missing, until

from monitor import recordings
from monitor.processes import end_signals, locks

Run = Callable[..., Any]
COMMANDS = {
    "serve": ("serve", "--port", "0"),
    "record": ("record", "--simulated"),
    "simulate": ("simulate", "kraken"),
    "tail": ("tail",),
    "replay": ("replay", "x"),
}
ASKED = (signal.SIGTERM, signal.SIGINT)
START, HOURS = 1_700_000_000_000_000_000, 3_600_000 * MS


def catches(pid: int) -> bool:
    """Tell whether a process has said what it does when it is told to end."""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return all(int(mask, 16) >> (number - 1) & 1 for number in ASKED)


def loads(pid: int, library: str) -> bool:
    return catches(pid) and library in Path(f"/proc/{pid}/maps").read_text()


def of_folder(folder: Path) -> list[str]:
    """Return the processes that run in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if Path(process / "cwd").readlink() == folder and runs(int(process.name)):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_told_to_end_while_it_starts_ends_in_order(
    command: str, tmp_path: Path, background: Run
) -> None:
    folder = tmp_path / "recordings"
    if command == "replay":
        rows = [batch_of([("quote", row("quote", n, START + n * HOURS))]) for n in range(2)]
        record(folder / "x", rows)
    if command == "tail":
        background("record", "--simulated")
        collector_of(folder)
    others = len(of_folder(tmp_path))
    library = "aiohttp" if command == "simulate" else "libarrow"
    for is_there in (catches, lambda pid: loads(pid, library)):
        for number in ASKED:
            child = subprocess.Popen(
                [sys.executable, "-m", "monitor", *COMMANDS[command]],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            until(lambda child=child, at=is_there: at(child.pid), "the moment")
            child.send_signal(number)
            _, err = child.communicate(timeout=DEADLINE_S)
            # A replay has an end of its own: this one was broken off.
            expected = 128 + number if command == "replay" else 0
            assert (child.returncode, err) == (expected, ""), (command, number)
            until(lambda: len(of_folder(tmp_path)) == others, "the end of its children")


def test_a_signal_waits_until_a_child_that_is_being_started_is_known() -> None:
    before = signal.getsignal(signal.SIGTERM)
    steps = []
    try:
        end_signals.exit_on_signal()
        with pytest.raises(SystemExit) as ended, end_signals.later():
            signal.raise_signal(signal.SIGTERM)
            steps.append("the child is known")
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        end_signals._heard.clear()
    assert steps == ["the child is known"]
    assert ended.value.code == 128 + signal.SIGTERM


@pytest.fixture
def first(tmp_path: Path) -> Run:
    """Start a command as the first process of a namespace; return it as it is seen from here."""
    apart = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        missing("unshare, and the right to use it")

    def start(*arguments: object) -> tuple[subprocess.Popen[bytes], int]:
        command = [*apart, sys.executable, "-m", "monitor", *map(str, arguments)]
        outside = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        until(lambda: children(outside.pid), "the first process")
        (pid,) = children(outside.pid)
        return outside, pid

    return start


def test_the_first_process_of_a_container_ends_when_told_and_leaves_no_zombies(
    tmp_path: Path, first: Run
) -> None:
    folder, port = tmp_path / "recordings", free_port()
    outside, pid = first("serve", "--port", port)
    until(lambda: answers(f"http://127.0.0.1:{port}/health"), "the page")
    # What a collector leaves when it is killed becomes a child of the first process.
    (page,) = children(pid)
    (collector,) = children(page)
    assert children(collector)
    before = locks.holder(folder)
    os.kill(collector, signal.SIGKILL)
    until(lambda: locks.holder(folder) not in (None, before), "another collector")
    until(lambda: children(pid) == [page], "the end of what it left")
    os.kill(pid, signal.SIGTERM)
    assert outside.wait(DEADLINE_S) == 0
    assert locks.holder(folder) is None
    assert {one["state"] for one in recordings.catalogue(folder)} <= {"sealed", "unclean"}


@pytest.mark.parametrize("number", ASKED)
def test_the_first_process_of_a_container_heeds_signals_while_it_starts(
    number: signal.Signals, first: Run
) -> None:
    outside, pid = first("record", "--simulated")
    until(lambda: catches(pid), "the moment")
    os.kill(pid, number)
    assert outside.wait(DEADLINE_S) == 0
