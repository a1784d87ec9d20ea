"""Recorders that are killed, and what they leave."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from monitor import recordings
from monitor.recordings import recovery
from support import reference_digest
from support.disk import Change, Disk
from support.disk import recorder as fed_program
from support.disk import segments as program

WAL = "000.duckdb.journal-000000.wal"


PROGRAM = ["-m", "support.disk.segments"]


def committed(folder: Path) -> int:
    """Return how many rows the program was told to be safe."""
    found = lines(folder / "committed")
    return int(found[-1]) if found else 0


def check(folder: Path, safe: int, where: str) -> None:
    """Recover the recording; it must hold the first rows, all that are safe, as they were."""
    told = recovery.recover_all(folder)
    assert not any("set aside" in line for line in told), (where, told)
    if not any(folder.glob(f"{program.NAME}/*.duckdb")):
        assert safe == 0, (where, told)
        return
    with recordings.open_recording(folder, program.NAME) as opened:
        batches = list(opened.batches())
    count = sum(batch.row_count for batch in batches)
    assert count >= safe, (where, told)
    assert count % program.ROWS == 0, where
    expected = [program.batch(number) for number in range(0, count, program.ROWS)]
    assert reference_digest.digest(batches) == reference_digest.digest(expected), where
    (described,) = recordings.catalogue(folder)
    assert described["state"] in ("sealed", "unclean"), where
    if described["state"] == "sealed" and described["digest"]:
        assert described["digest"] == reference_digest.digest(expected), where


def logged(disk: Disk) -> list[Change]:
    with disk.start(PROGRAM, log=True) as child:
        assert child.wait() == 0
    return disk.changes()


def feed(disk: Disk, rate: int, queue_bytes: int = 256 << 20) -> subprocess.Popen[str]:
    return disk.start(
        ["-m", "support.disk.recorder", str(rate), str(queue_bytes)], fed_program.NAME
    )


def told(child: subprocess.Popen[str], kind: str) -> dict[str, Any]:
    """Wait for what the recorder tells of this kind."""
    assert child.stdout is not None
    for line in child.stdout:
        said: dict[str, Any] = json.loads(line)
        if said["kind"] == kind:
            return said
    raise AssertionError(f"expected to be told of {kind!r}, found the end")


def recorded(folder: Path) -> list[int]:
    """Return the `ord`s of the recording, each of which must be the row's bid too."""
    with recordings.open_recording(folder, fed_program.NAME) as opened:
        batches = [batch["quote"] for batch in opened.batches()]
    ords = [number for rows in batches for number in rows["ord"].to_pylist()]
    assert ords == [int(bid) for rows in batches for bid in rows["bid"].to_pylist()]
    return ords


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def last(disk: Disk, name: str) -> int:
    """Return the last `ord` that the program says it has `fed`, or knows to be `committed`."""
    found = lines(disk.folder / name)
    return int(found[-1].split()[0]) if found else -1


def damage(file: Path, at: float) -> None:
    """Change one byte, at this part of the file."""
    content = bytearray(file.read_bytes())
    content[int(len(content) * at)] ^= 0x55
    file.write_bytes(content)


KILLED = """
import sys, threading
from pathlib import Path
from support.made_rows import batch_of, ignore, row
from monitor.recordings.recorder import Recorder
recorder = Recorder(Path(sys.argv[1]) / "x", ["test:X"], ignore)
recorder.start()
for number in range(100):
    recorder(batch_of([("quote", row("quote", number, number + 1))]))
recorder.snapshot()
print("written", flush=True)
threading.Event().wait()
"""


def kill_a_recorder(folder: Path) -> None:
    """Leave the recording `x` as a kill leaves it, with 100 quotes committed."""
    command = [sys.executable, "-c", KILLED, str(folder)]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "written\n"
        child.kill()
