"""What a lack of memory or of descriptors leaves of a recording: all that was committed."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest
from support.disk import Disk
from support.killed_recorders import feed, last, lines, recorded, told
from support.made_rows import ignore
from support.running import until

from monitor import recordings
from monitor.recordings import recovery
from monitor.recordings.recorder import Recorder

# Recovers a folder with few descriptors, or with so many bytes of address space beyond what it has.
LACKING = """
import resource, sys
from pathlib import Path
import duckdb
from monitor.recordings import recovery
duckdb.connect().close()
what, most = sys.argv[2], int(sys.argv[3])
if what == "AS":
    most += int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
_, hard = resource.getrlimit(getattr(resource, f"RLIMIT_{what}"))
resource.setrlimit(getattr(resource, f"RLIMIT_{what}"), (most, hard))
print(*recovery.recover_all(Path(sys.argv[1])), sep="\\n")
"""


@pytest.mark.parametrize("lack", [("NOFILE", 4), ("NOFILE", 5), ("AS", 0), ("AS", 2 << 20)])
def test_what_cannot_be_recovered_for_a_lack_is_left_and_recovered_later(
    tmp_path: Path, lack: tuple[str, int]
) -> None:
    disk = Disk(tmp_path)
    with feed(disk, 100_000) as child:
        told(child, "started")
        until(lambda: len(lines(disk.folder / "fed")) > 60, "rows")
        child.kill()
    command = [sys.executable, "-c", LACKING, str(disk.folder), lack[0], str(lack[1])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not list(disk.folder.glob("x/*.damaged")), done.stdout
    assert "left as it is for now: " in done.stdout, done.stderr
    recovery.recover_all(disk.folder)
    ords = recorded(disk.folder)
    assert ords == list(range(len(ords)))
    assert ords[-1] >= last(disk, "committed")
    (described,) = recordings.catalogue(disk.folder)
    assert described["state"] == "unclean"


def test_a_segment_that_cannot_be_recovered_at_once_is_recovered_later(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    with feed(disk, 5_000) as child:
        told(child, "started")
        until(lambda: last(disk, "committed") > 500, "rows")
        disk.break_down("write 28")
        told(child, "unrecorded")
        # Nobody else can write into a database that this process reads.
        reading = until(lambda: reader(disk.folder / "x" / "000.duckdb.open"), "a closed segment")
        disk.mend()
        told(child, "recording")
        before = last(disk, "committed")
        until(lambda: last(disk, "committed") > before + 5_000, "rows again")
        assert not list(disk.folder.glob("x/*.damaged"))
        reading.close()
        detail = told(child, "recovered")["detail"]
        assert detail == "x/000.duckdb.open: recovered and sealed as unclean"
        assert child.stdin is not None
        child.stdin.close()
        end = told(child, "ended")
    ords = recorded(disk.folder)
    assert ords == sorted(set(ords))
    assert len(ords) == end["fed"] - end["unrecorded"]


def test_a_recorder_has_its_threads_from_the_start(tmp_path: Path) -> None:
    before = {thread.name for thread in threading.enumerate()}
    sink = Recorder(tmp_path / "x", ["test:X"], ignore)
    sink.start()
    started = {thread.name for thread in threading.enumerate()} - before
    sink.close()
    assert started == {"recorder", "settler_0"}


def reader(file: Path) -> duckdb.DuckDBPyConnection | None:
    """Open a database for reading; None while another process writes it."""
    try:
        return duckdb.connect(str(file), read_only=True)
    except duckdb.IOException:
        return None
