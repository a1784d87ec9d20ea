"""A page and its collector as processes: who ends with whom, and what starts again."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from support.collectors import free_port, statuses
from support.process_tree import answers, children, runs
from support.running import DEADLINE_S, collector_of, until

from monitor import recordings
from monitor.processes import locks

Run = Callable[..., Any]


def states(folder: Path) -> list[str]:
    return [item["state"] for item in recordings.catalogue(folder)]


def test_only_the_last_page_of_a_folder_stops_the_collector(
    tmp_path: Path, background: Run
) -> None:
    folder, ports = tmp_path / "recordings", [free_port(), free_port()]
    first, second = (background("serve", "--port", port) for port in ports)
    for port in ports:
        until(lambda port=port: answers(port), "the page")
    held = collector_of(folder)
    # The page that started the collector goes first: which one that is does not matter.
    is_first = held.pid in children(first.pid)
    ending, staying = (first, second) if is_first else (second, first)
    ending.terminate()
    assert ending.wait(DEADLINE_S) == 0
    assert locks.holder(folder) == held
    assert answers(ports[1] if is_first else ports[0])
    staying.terminate()
    assert staying.wait(DEADLINE_S) == 0
    until(lambda: locks.holder(folder) is None, "the end of the collector")
    assert states(folder) == ["sealed"]


def test_a_page_that_came_later_leaves_the_collector_to_the_first(
    tmp_path: Path, background: Run
) -> None:
    folder, ports = tmp_path / "recordings", [free_port(), free_port()]
    first = background("serve", "--port", ports[0])
    until(lambda: answers(ports[0]), "the page")
    held = collector_of(folder)
    second = background("serve", "--port", ports[1])
    until(lambda: answers(ports[1]), "the second page")
    second.send_signal(signal.SIGINT)
    assert second.wait(DEADLINE_S) == 0
    assert locks.holder(folder) == held
    assert answers(ports[0])
    # A page that is killed is counted no more.
    third = background("serve", "--port", ports[1])
    until(lambda: answers(ports[1]), "the third page")
    first.kill()
    first.wait(DEADLINE_S)
    third.terminate()
    assert third.wait(DEADLINE_S) == 0
    until(lambda: locks.holder(folder) is None, "the end of the collector")


def test_a_killed_collector_is_started_again_and_that_is_told(
    tmp_path: Path, background: Run
) -> None:
    folder, port = tmp_path / "recordings", free_port()
    with (tmp_path / "log").open("w") as log:
        page = background("serve", "--port", port, stderr=log)
        until(lambda: answers(port), "the page")
        died = collector_of(folder)
        exchanges = children(died.pid)
        assert exchanges
        os.kill(died.pid, signal.SIGKILL)
        for exchange in exchanges:
            until(lambda exchange=exchange: not runs(exchange), "the end of its exchange")
        held = until(
            lambda: (now := locks.holder(folder)) and now.pid != died.pid and now, "another one"
        )
        until(lambda: answers(port), "the page with the new collector")
        until(lambda: "runs again" in (tmp_path / "log").read_text(), "the word that it runs")
        page.terminate()
        assert page.wait(DEADLINE_S) == 0
    told = (tmp_path / "log").read_text()
    assert f"the collector (PID {died.pid}) died: starting it again" in told
    assert f"the collector runs again: PID {held.pid}, recording {held.recording}" in told
    rows = {
        name: [row for row in statuses(folder, name) if row["kind"] == "collector_restarted"]
        for name in (died.recording, held.recording)
    }
    assert rows[died.recording] == []
    (row,) = rows[held.recording]
    assert (row["scope"], row["state"]) == ("feed", "connected")
    assert f"PID {died.pid}, recording {died.recording}" in row["detail"]


def test_the_end_of_the_terminal_is_the_end_of_page_collector_and_exchange(
    tmp_path: Path, background: Run
) -> None:
    folder, port = tmp_path / "recordings", free_port()
    page = background("serve", "--port", port)
    until(lambda: answers(port), "the page")
    exchanges = children(collector_of(folder).pid)
    page.send_signal(signal.SIGHUP)
    assert page.wait(DEADLINE_S) == 0
    until(lambda: locks.holder(folder) is None, "the end of the collector")
    assert states(folder) == ["sealed"]
    until(lambda: not any(map(runs, exchanges)), "the end of the exchange")
    alone = background("record", "--simulated")
    exchanges = children(collector_of(folder).pid)
    alone.send_signal(signal.SIGHUP)
    assert alone.wait(DEADLINE_S) == 0
    digests = {item["digest"] for item in recordings.catalogue(folder)}
    assert alone.stdout.read().split()[-1] in digests
    assert (states(folder), any(map(runs, exchanges))) == (["sealed"] * 2, False)


def test_nohup_keeps_page_and_collector_running(tmp_path: Path) -> None:
    folder, port = tmp_path / "recordings", free_port()
    command = ["nohup", sys.executable, "-m", "monitor.cli", "serve", "--port", str(port)]
    page = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: answers(port), "the page")
        held = collector_of(folder)
        for pid in (page.pid, held.pid):
            os.kill(pid, signal.SIGHUP)
        assert answers(port)
        assert locks.holder(folder) == held
    finally:
        page.terminate()
        assert page.wait(DEADLINE_S) == 0


def test_of_two_that_want_one_port_one_serves_and_one_says_why_it_does_not(
    tmp_path: Path,
) -> None:
    port = free_port()
    logs = [tmp_path / "first", tmp_path / "second"]
    pages = []
    for log in logs:
        command = [sys.executable, "-m", "monitor.cli", "serve", "--port", str(port)]
        with log.open("w") as told:
            pages.append(
                subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=told)
            )
    try:
        until(lambda: answers(port), "the page")
        lost = until(lambda: [page for page in pages if page.poll() is not None], "the other's end")
        (index,) = (pages.index(page) for page in lost)
        assert pages[index].returncode == 1
        (line,) = logs[index].read_text().splitlines()
        assert line.startswith(f"monitor: expected port {port} of 127.0.0.1 to be free, found: ")
    finally:
        for page in pages:
            page.terminate()
        assert sorted(page.wait(DEADLINE_S) for page in pages) == [0, 1]


def test_a_certificate_that_cannot_be_read_is_one_line_and_starts_nothing(
    tmp_path: Path, monitor: Run
) -> None:
    # A file of the kernel's whose first page cannot be read, by anybody.
    for certificate in ("/proc/self/mem", str(Path(__file__))):
        options = ("--tls-cert", certificate, "--tls-key", certificate, "--port", free_port())
        done = monitor("serve", *options)
        (line,) = done.stderr.splitlines()
        assert (done.returncode, done.stdout) == (1, "")
        assert line.startswith("monitor: expected a certificate and its key in PEM, found: ")
        assert not (tmp_path / "recordings").exists()


def test_a_page_ends_though_its_collector_hangs(tmp_path: Path, background: Run) -> None:
    folder, port = tmp_path / "recordings", free_port()
    with (tmp_path / "log").open("w") as log:
        page = background("serve", "--port", port, stderr=log)
        until(lambda: answers(port), "the page")
        held = collector_of(folder)
        os.kill(held.pid, signal.SIGSTOP)
        try:
            page.terminate()
            # Its threads that wait for the collector would take 14 s one after another.
            assert page.wait(10) == 0
        finally:
            os.kill(held.pid, signal.SIGCONT)
    told = (tmp_path / "log").read_text()
    assert f"the collector (PID {held.pid}) was told to end, and has not ended yet" in told
    assert "Traceback" not in told and "Fatal" not in told
    until(lambda: locks.holder(folder) is None, "its end")
    assert states(folder) == ["sealed"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost"])
def test_port_0_serves_on_a_free_port_and_prints_it(
    tmp_path: Path, background: Run, address: str
) -> None:
    page = background("serve", "--port", 0, "--address", address)
    assert page.stdout is not None
    line = until(
        lambda: (found := page.stdout.readline()).startswith("monitor: http") and found, "the URL"
    )
    found = re.fullmatch(r"monitor: (http://(\S+):(\d+))\n", line)
    assert found is not None and found[2].strip("[]") == address and int(found[3]) > 0
    assert requests.get(f"{found[1]}/health", timeout=DEADLINE_S).json()["recorder"]
    with socket.create_connection((address, int(found[3])), DEADLINE_S):
        pass


def test_the_program_can_be_told_to_end_before_its_libraries_are_loaded(tmp_path: Path) -> None:
    """A container's first process has no default handlers: it would miss a SIGTERM until then."""
    command = [sys.executable, "-m", "monitor", "serve", "--port", "0"]
    page = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    process = Path(f"/proc/{page.pid}")

    def caught() -> int:
        found = re.search(r"^SigCgt:\s*([0-9a-f]+)$", (process / "status").read_text(), re.M)
        assert found is not None
        return int(found[1], 16)

    try:
        # The first of the libraries that take long.
        until(lambda: "pydantic_core" in (process / "maps").read_text(), "its libraries")
        for number in (signal.SIGTERM, signal.SIGHUP):
            assert caught() >> (number - 1) & 1
    finally:
        page.terminate()
        page.communicate(timeout=DEADLINE_S)
    # A negative one would be that of a signal that nobody caught.
    assert page.returncode in (0, 128 + signal.SIGTERM)
    assert locks.holder(tmp_path / "recordings") is None
