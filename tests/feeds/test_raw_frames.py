"""Frames that a recording keeps are decoded again to the rows that they gave when they came."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from support.faulty import POLLED, VENUES, Row, collecting, plain
from support.made_rows import batch_of, record, row

from monitor import recordings
from monitor.rows.batches import INVALID, KEYFRAME

QUALITY = ("gap", "duplicate", "late", "checksum", "crossed", "mismatch", "undecodable")
# The order and the connection are the recording's own, the rest comes from the wire.
OWN = ("ord", "conn")


def read(folder: Path, name: str) -> dict[str, Counter[str]]:
    """What came from the wire, by kind: no keyframes, which mark segments, and no ends."""
    found: dict[str, Counter[str]] = {kind: Counter() for kind in ("quote", "trade", "book")}
    found["status"] = Counter()
    with recordings.open_recording(folder, name) as opened:
        for batch in opened.batches():
            for kind, counts in found.items():
                for made in plain(batch[kind]):
                    if not made["flags"] & (INVALID | KEYFRAME) and wanted(kind, made):
                        counts[str({k: v for k, v in made.items() if k not in OWN})] += 1
    return found


def wanted(kind: str, made: Row) -> bool:
    return kind != "status" or (made["kind"] in QUALITY and made["scope"] != "symbol")


def read_twice(folder: Path) -> tuple[dict[str, Counter[str]], dict[str, Counter[str]]]:
    """Return what was recorded, and what its frames come to when they are decoded again."""
    (found,) = recordings.catalogue(folder)
    command = [sys.executable, "-m", "monitor.cli", "ingest", found["id"], "--recording", "again"]
    command += ["--recordings", str(folder)]
    subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return read(folder, found["id"]), read(folder, "again")


@pytest.mark.parametrize(
    ("venues", "faults"),
    [
        (VENUES, ["gap@2", "corrupt@3"]),
        (VENUES, ["reset@3"]),
        (("binance",), ["life@6"]),
        (tuple(POLLED), []),
    ],
    ids=["losses", "resets", "replaced", "polled"],
)
def test_kept_frames_give_the_rows_that_they_gave(
    tmp_path: Path, venues: tuple[str, ...], faults: list[str]
) -> None:
    with collecting(tmp_path, faults, venues, flags=["--raw"]) as run:
        run.until(lambda: {venue for venue, _ in run.data} == set(venues), "data of every venue")
        for fault in faults:
            name = fault.partition("@")[0]
            run.until(
                lambda name=name: all(run.injected()[v][name] for v in venues), f"a {name} of each"
            )
        if "life@6" in faults:
            told = "a connection that took over"
            run.until(lambda: any(row["kind"] == "replaced" for row in run.statuses), told)
        if venues == VENUES:
            run.until(run.has_data, "data of every instrument")
        run.stop()
    before, after = read_twice(tmp_path)
    for kind, counts in before.items():
        assert after[kind] == counts, kind
    assert before["quote"]
    assert before["status"] or "gap@2" not in faults


def test_kept_frames_of_sources_that_were_changed_give_the_rows_that_they_gave(
    tmp_path: Path,
) -> None:
    venues = ("binance", "kraken", "coinbase")
    with collecting(tmp_path, [], venues, "+trade", instruments=1, flags=["--raw"]) as run:
        run.until(run.has_data, "data")
        sources = [
            f"{venue}:{name}+trade" for venue in venues for name in run.followed[venue].values()
        ]
        run.control("stop")
        run.control("start")
        for mode in ("rest", "ws"):
            before = max(conn for conn, _ in run.data.values())
            run.control("add", *sources, mode=mode)
            run.until(
                lambda before=before: all(conn > before for conn, _ in run.data.values()),
                f"data by new connections in mode {mode}",
            )
        run.stop()
    before, after = read_twice(tmp_path)
    assert before["trade"]
    for kind, counts in before.items():
        assert after[kind] == counts, kind


def test_a_recording_that_kept_no_frames_is_told_in_one_line(tmp_path: Path) -> None:
    record(tmp_path / "x", [batch_of([("quote", row("quote", 0, 5))])])
    command = [sys.executable, "-m", "monitor.cli", "ingest", "x", "--recordings", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "monitor: expected frames in the recording (record --raw), found none\n"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
