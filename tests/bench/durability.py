"""What kills, power cuts, failing disks and damage cost a recording, as a table in Markdown.

Run: .venv/bin/python tests/bench/durability.py [--times 100]
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support import killed_recorders as proofs
from support.disk import Disk, Platter
from support.disk import segments as program

from monitor.recordings import recovery

RATE, SEED = 20_000, 1
HEADINGS = (
    *("fault", "times", "told", "recovered by itself", "committed rows lost", "other rows lost"),
    *("of the last (ms)", "to recording (s)"),
)


class Outcome(NamedTuple):
    """What one fault came to; `lost_ms` and `ready_s` None where there is nothing to say."""

    told: bool
    recovered: bool
    committed_lost: int
    others_lost: int
    lost_ms: float | None = None
    ready_s: float | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100)
    times = parser.parse_args().times
    print(_row(HEADINGS), _row(["---"] * len(HEADINGS)), sep="\n", flush=True)
    for name, outcomes in faults(times).items():
        found = list(outcomes())
        lost_ms = [o.lost_ms for o in found if o.lost_ms is not None]
        ready_s = [o.ready_s for o in found if o.ready_s is not None]
        cells = [
            name,
            str(len(found)),
            str(sum(o.told for o in found)),
            str(sum(o.recovered for o in found)),
            str(sum(o.committed_lost for o in found)),
            f"{max(o.others_lost for o in found):,} at most",
            f"{max(lost_ms):.0f} at most" if lost_ms else "–",
            f"{max(ready_s):.2f} at most" if ready_s else "–",
        ]
        print(_row(cells), flush=True)


def faults(times: int) -> dict[str, Callable[[], Iterator[Outcome]]]:
    return {
        f"killed at {RATE:,} rows/s": lambda: kills(times),
        "killed before a change of a file": every_change,
        "power cut after a sync": every_sync,
        "disk full for a second (ENOSPC)": lambda: failures("write 28", max(1, times // 20)),
        "sync fails for a second (EIO)": lambda: failures("sync 5", max(1, times // 20)),
        "a wrong byte in the log": lambda: damages(max(1, times // 10)),
        "a log cut short": lambda: truncations(max(1, times // 10)),
    }


def kills(times: int) -> Iterator[Outcome]:
    draw = random.Random(SEED)
    for _ in range(times):
        with Killed(draw.uniform(0.3, 2.0)) as disk:
            yield _recovered(disk)


def damages(times: int) -> Iterator[Outcome]:
    draw = random.Random(SEED)
    for _ in range(times):
        with Killed(1.0) as disk:
            proofs.damage(disk.folder / "x" / proofs.WAL, draw.random())
            told = bool(recovery.recover_all(disk.folder))
            lost = proofs.last(disk, "fed") + 1 - len(proofs.recorded(disk.folder))
            yield Outcome(told, True, 0, lost)


def truncations(times: int) -> Iterator[Outcome]:
    draw = random.Random(SEED)
    for _ in range(times):
        with Killed(1.0) as disk:
            log = disk.folder / "x" / proofs.WAL
            content = log.read_bytes()
            log.write_bytes(content[: int(len(content) * draw.uniform(0.2, 1.0))])
            told = bool(recovery.recover_all(disk.folder))
            lost = proofs.last(disk, "fed") + 1 - len(proofs.recorded(disk.folder))
            yield Outcome(told, True, 0, lost)


def failures(fault: str, times: int) -> Iterator[Outcome]:
    for _ in range(times):
        with tempfile.TemporaryDirectory() as work:
            disk = Disk(Path(work))
            with proofs.feed(disk, RATE) as child:
                proofs.told(child, "started")
                proofs.until(lambda: proofs.last(disk, "committed") > RATE, "rows")  # noqa: B023
                disk.break_down(fault)
                proofs.told(child, "unrecorded")
                time.sleep(1)
                disk.mend()
                mended_s = time.monotonic()
                proofs.told(child, "recording")
                ready_s = time.monotonic() - mended_s
                proofs.told(child, "recovered")
                assert child.stdin is not None
                child.stdin.close()
                end = proofs.told(child, "ended")
            ords = proofs.recorded(disk.folder)
            counted = len(ords) == end["fed"] - end["unrecorded"]
            yield Outcome(counted, True, 0, end["unrecorded"], ready_s=ready_s)


def every_change() -> Iterator[Outcome]:
    with tempfile.TemporaryDirectory() as work:
        changes = proofs.logged(Disk(Path(work)))
    for at in range(len(changes)):
        with tempfile.TemporaryDirectory() as work:
            disk = Disk(Path(work))
            with disk.start(proofs.PROGRAM, kill=at) as child:
                child.wait()
            proofs.check(disk.folder, proofs.committed(disk.folder), f"killed before {at}")
            yield Outcome(True, True, 0, program.ROWS)


def every_sync() -> Iterator[Outcome]:
    draw = random.Random(SEED)
    with tempfile.TemporaryDirectory() as work:
        changes = proofs.logged(Disk(Path(work)))
    platter, safe = Platter(), 0
    for at, change in enumerate(changes):
        if change.path.endswith("committed"):
            safe = int(change.data) if change.operation == "w" else safe
            continue
        platter.take(change)
        if change.operation == "s":
            for chance in (None, draw, draw, draw):
                with tempfile.TemporaryDirectory() as cut:
                    platter.cut(Path(cut), chance)
                    proofs.check(Path(cut), safe, f"power cut after {at}")
                    yield Outcome(True, True, 0, program.ROWS)


class Killed:
    """A folder whose recorder was killed after so long; a context."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._work = tempfile.TemporaryDirectory()

    def __enter__(self) -> Disk:
        disk = Disk(Path(self._work.name))
        with proofs.feed(disk, RATE) as child:
            proofs.told(child, "started")
            time.sleep(self._after_s)
            child.kill()
        return disk

    def __exit__(self, *_: object) -> None:
        self._work.cleanup()


def _recovered(disk: Disk) -> Outcome:
    began_s = time.monotonic()
    told = bool(recovery.recover_all(disk.folder))
    ready_s = time.monotonic() - began_s
    ords = proofs.recorded(disk.folder)
    fed, fed_ns = (int(word) for word in proofs.lines(disk.folder / "fed")[-1].split())
    query = "SELECT epoch_ns(max(ts_recv)) FROM quote"
    last_ns = _ask(disk.folder / "x" / "000.duckdb", query)
    committed_lost = max(0, proofs.last(disk, "committed") + 1 - len(ords))
    return Outcome(
        told, True, committed_lost, fed + 1 - len(ords), (fed_ns - last_ns) / 1e6, ready_s
    )


def _ask(file: Path, query: str) -> int:
    import duckdb

    with duckdb.connect(str(file), read_only=True) as con:
        (row,) = con.sql(query).fetchall()
    return int(row[0])


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
