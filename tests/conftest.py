"""What the tests share: the captured corpus, the browser, and the program as a user runs it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from hypothesis import HealthCheck, settings
from support.receiver import receiver  # noqa: F401
from support.running import DEADLINE_S, ROOT, missing

# No assertion is timed: a machine may be busy with other things.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Under `nohup` the programs that tests start would not end with their terminal.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def captures() -> Path:
    folder = Path(os.environ.get("MONITOR_CAPTURES", ROOT.parent / "shared" / "captures"))
    if not folder.is_dir():
        missing("the captured frames (MONITOR_CAPTURES or ../shared/captures)")
    return folder


@pytest.fixture(scope="session")
def browser_path() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        missing("Chromium")
    return str(found)


@pytest.fixture
def monitor(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command of the program on the recordings of `tmp_path`."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "monitor.cli", *map(str, arguments)]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )

    return run


@pytest.fixture
def background(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start commands of the program that go on; they are ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object, stderr: IO[str] | None = None) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "monitor.cli", *map(str, arguments)]
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
        started.append(process)
        return process

    yield start
    for process in reversed(started):
        process.terminate()
    for process in started:
        process.wait(DEADLINE_S)
        assert process.stdout is not None
        process.stdout.close()
