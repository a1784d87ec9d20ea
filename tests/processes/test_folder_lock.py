"""The lock of a recordings folder, deleted or moved under a collector: made again, or told."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from support.collectors import free_port
from support.process_tree import answers, runs
from support.running import DEADLINE_S, collector_of, until

from monitor.processes import locks
from monitor.processes.attached_pages import attach

Run = Callable[..., Any]


def take_away(folder: Path, how: str) -> None:
    if how == "folder deleted":
        shutil.rmtree(folder)
    elif how == "folder moved":
        folder.rename(folder.with_name("elsewhere"))
    else:
        (folder / locks.NAME).unlink()


@pytest.mark.parametrize("how", ["folder deleted", "folder moved", "lock deleted"])
def test_a_collector_whose_lock_is_taken_away_is_found_again(
    tmp_path: Path, background: Run, monitor: Run, how: str
) -> None:
    folder, port = tmp_path / "recordings", free_port()
    with (tmp_path / "log").open("w") as log:
        page = background("serve", "--port", port, stderr=log)
        until(lambda: answers(port), "the page")
        held = collector_of(folder)
        take_away(folder, how)
        assert collector_of(folder) == held
        until(lambda: "is made again" in (tmp_path / "log").read_text(), "the word of it")
        report = requests.get(f"http://127.0.0.1:{port}/health", timeout=DEADLINE_S).json()
        assert len(report["sources"]) == 6
        assert "expected a running collector" not in str(report)
        second = monitor("record", "--simulated", "--for", "1s")
        assert second.returncode == 1
        assert f"expected no other collector on recordings, found the one of PID {held.pid}" in (
            second.stderr
        )
        page.terminate()
        assert page.wait(DEADLINE_S) == 0
    until(lambda: not runs(held.pid), "the end of the collector")
    # To whoever records there next, nobody has died.
    for left in (folder, tmp_path / "elsewhere"):
        assert locks.left(left) is None


def test_a_page_ends_its_collector_that_has_no_lock_any_more(
    tmp_path: Path, background: Run
) -> None:
    folder, port = tmp_path / "recordings", free_port()
    with (tmp_path / "log").open("w") as log:
        page = background("serve", "--port", port, stderr=log)
        until(lambda: answers(port), "the page")
        held = collector_of(folder)
        shutil.rmtree(folder)
        folder.touch()
        until(lambda: "no page or command finds this" in (tmp_path / "log").read_text(), "the word")
        page.terminate()
        assert page.wait(DEADLINE_S) == 0
    assert not runs(held.pid)
    assert (tmp_path / "log").read_text().count("no page or command finds this") == 1


def test_a_lock_that_another_has_taken_meanwhile_is_told_once_and_had_back_later(
    tmp_path: Path,
) -> None:
    mine = locks.Held(os.getpid(), "127.0.0.1:1", "mine", "user", "x")
    with locks.hold(tmp_path) as held:
        held.tell(mine)
        assert held.keep() == ""
        (tmp_path / locks.NAME).rename(tmp_path / "moved")
        with locks.hold(tmp_path) as other:
            other.tell(mine._replace(pid=1, token="other"))
            assert "found that of PID 1: no page or command finds this" in held.keep()
            assert held.keep() == ""
            found = locks.holder(tmp_path)
            assert found is not None and found.token == "other"
        assert held.keep().endswith("is made again")
        assert locks.holder(tmp_path) == mine
        assert (tmp_path / "moved").read_text() == ""
    assert locks.left(tmp_path) is None


def test_pages_of_a_folder_that_was_made_anew_are_counted_there(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    with attach(folder, DEADLINE_S) as first:
        first.share()
        folder.rename(tmp_path / "elsewhere")
        folder.mkdir()
        first.keep()
        with attach(folder, DEADLINE_S) as second:
            second.share()
            assert not second.detach()
            assert first.detach()
