"""Disks that fail a recorder, or lack something: read-only, without inodes, without locks."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from support.made_rows import MS, batch_of, record, row
from support.running import DEADLINE_S, ROOT, collector_of, until

from monitor.processes import locks

Run = Callable[..., Any]
START = 1_700_000_000_000_000_000
# Every character that a shell, a URL, SQL or a pattern could take for something else.
ODD = 'odd #1 %20 it\'s "q" [x]*{a}'
READERS = (
    ("recordings",),
    ("verify", "x"),
    ("replay", "x", "--speed", "max"),
    ("sql", "SELECT count(*) AS n FROM quote"),
    ("export", "x", "--to", "out"),
)


def made(folder: Path) -> None:
    record(folder / "x", [batch_of([("quote", row("quote", n, START + n * MS))]) for n in range(3)])


def mounted(folder: Path, *arguments: object) -> Iterator[Path]:
    """Mount a file system; tests that need one are left out where that is not allowed."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", *map(str, arguments), folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def few_inodes(tmp_path: Path) -> Iterator[Path]:
    yield from mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "nr_inodes=40", "tmpfs")


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[Path]:
    """A disk that its file system makes read-only when it finds an error."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(200 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    yield from mounted(tmp_path / "disk", "-o", "loop,errors=remount-ro", image)


class Recording:
    """A collector that records the simulated exchange into a folder."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        command = [sys.executable, "-m", "monitor", "record", "--simulated"]
        command += ["--recordings", str(folder), *map(str, arguments)]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.held = collector_of(folder)

    def recorder(self) -> dict[str, Any]:
        answer = requests.get(f"http://{self.held.address}/health", timeout=30)
        document = answer.json()
        assert (document["recorder"]["state"] == "failed") <= (document["status"] == "failed")
        return dict(document["recorder"])

    def end(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, err


def test_without_inodes_rows_are_counted_until_there_are_some(few_inodes: Path) -> None:
    config = few_inodes / "config.toml"
    config.write_text("[recorder]\nsegment_s = 1\n")
    one = Recording(few_inodes / "recordings", "--config", config)
    fillers = []
    with pytest.raises(OSError, match="No space left"):
        while True:
            fillers.append(few_inodes / f"filler-{len(fillers)}")
            fillers[-1].touch()
    until(lambda: one.recorder()["unrecorded_rows"], "rows that are told to be lost")
    until(lambda: one.recorder()["state"] == "failed", "a recorder that says so")
    for filler in fillers:
        filler.unlink(missing_ok=True)
    until(lambda: one.recorder()["state"] == "recording", "recording again")
    code, err = one.end()
    told, again, last = err.splitlines()
    assert code == 1
    for line in (told, again):
        assert line.split(":")[1] == " unrecorded"
        assert "No space left on device" in line
    assert "unrecorded: rows from " in again
    assert last.startswith("monitor: expected all rows recorded, found ")


def test_a_disk_that_becomes_read_only_is_reported_and_the_collector_still_found(
    failing: Path, monitor: Run
) -> None:
    folder = failing / "recordings"
    made(folder)
    one = Recording(folder)
    until(lambda: list(folder.glob(f"{one.held.recording}/*.open")), "the first segment")
    subprocess.run(["mount", "-o", "remount,abort", failing], check=True)
    until(lambda: one.recorder()["unrecorded_rows"], "rows that are told to be lost")
    until(lambda: one.recorder()["state"] == "failed", "a recorder that says so")
    # Its locks hold on: a page would start a second collector otherwise.
    assert locks.holder(folder) == one.held
    assert locks.is_written(folder / one.held.recording)
    count = monitor("sql", "SELECT count(*) AS n FROM quote", "--recordings", folder)
    assert (count.returncode, count.stderr) == (0, "") and " 3 " in count.stdout
    code, err = one.end()
    told, last = err.splitlines()
    assert code == 1
    assert told.startswith("monitor: unrecorded: ") and "Read-only file system" in told
    assert last.startswith("monitor: expected all rows recorded, found ")


@pytest.fixture(scope="module")
def lockless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("locks") / "locks.so"
    source = Path(__file__).parents[1] / "support" / "disk" / "locks.c"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_flock_nothing_is_recorded_and_what_is_sealed_is_read(
    number: int, lockless: Path, tmp_path: Path, monitor: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "recordings")
    monkeypatch.setenv("LD_PRELOAD", str(lockless))
    monkeypatch.setenv("LOCK_ERRNO", str(number))
    for command in (
        ("record", "--simulated"),
        ("serve", "--port", "0"),
        ("replay", "x", "--speed", "max", "--record", "y"),
    ):
        done = monitor(*command)
        (line,) = done.stderr.splitlines()
        assert done.returncode == 1
        assert line.startswith("monitor: expected a file system with locks (flock) at recordings")
        assert os.strerror(number) in line
    for command in READERS:
        done = monitor(*command)
        assert done.returncode == 0, done.stderr
    monkeypatch.setenv("LOCK_FCNTL", "1")
    for command in READERS:
        (tmp_path / "recordings" / "x" / "index.json").unlink(missing_ok=True)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        done = monitor(*command)
        if number == errno.EOPNOTSUPP:
            # DuckDB reads on without its locks.
            assert done.returncode == 0, done.stderr
        else:
            (line,) = done.stderr.splitlines()
            assert done.returncode == 1
            assert line.startswith("monitor: expected a file system with locks (fcntl) at ")


def test_a_folder_may_have_any_name(tmp_path: Path, monitor: Run) -> None:
    folder = tmp_path / ODD
    made(folder)
    window = ("--from", "2023-11-14T22:13:20", "--to", "2023-11-14T22:13:21")
    for command in (
        *READERS,
        ("record", "--simulated", "--for", "1s"),
        ("replay", "x", "--speed", "max", "--record", "y'# %"),
        ("verify", "y'# %"),
        ("clip", "x", *window, "--out", folder / "c'# %.duckdb"),
        ("verify", folder / "c'# %.duckdb"),
    ):
        done = monitor(*command, "--recordings", folder)
        assert done.returncode == 0, (command, done.stderr)


def test_a_path_that_duckdb_cannot_write_to_is_refused_in_one_line(
    tmp_path: Path, monitor: Run
) -> None:
    folder = tmp_path / "why?"
    made(tmp_path / "plain")
    (tmp_path / "plain").rename(folder)
    for command in READERS:
        assert monitor(*command, "--recordings", folder).returncode == 0
    for command in (("record", "--simulated"), ("replay", "x", "--speed", "max", "--record", "y")):
        done = monitor(*command, "--recordings", folder)
        (line,) = done.stderr.splitlines()
        assert done.returncode == 1
        assert line.startswith("monitor: expected a path without a question mark to write to")
    assert [one.name for one in folder.iterdir() if one.is_dir()] == ["x"]
