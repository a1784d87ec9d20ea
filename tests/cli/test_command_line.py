"""The command line: exit codes, one line of error, and a terminal left as it was."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from support.made_rows import batch_of, record, row
from support.running import DEADLINE_S, until

from monitor.cli.recording_commands import DEFAULT_FOLDER
from monitor.rows.batches import Batch

Run = Callable[..., Any]
COMMAND = [sys.executable, "-m", "monitor.cli"]
WINDOW = ("--from", "1970-01-01", "--to", "1970-01-02")
READERS = [
    ("sql", "SELECT count(*) FROM trade"),
    ("recordings",),
    ("recordings", "--json"),
    ("verify", "x"),
    ("replay", "x"),
    ("export", "x", "--to", "out"),
    ("clip", "x", *WINDOW),
]


def quotes(count: int) -> list[tuple[str, dict[str, Any]]]:
    """Quotes at n seconds and n ns."""
    return [("quote", row("quote", n, n * 10**9 + n)) for n in range(count)]


def many(count: int) -> Batch:
    """So many quotes, made without a Python object for each."""
    rows = batch_of(quotes(1))["quote"].take(pa.array(np.zeros(count, np.int64)))
    for name, values in (("ord", np.arange(count)), ("ts_recv", np.arange(count) * 1000)):
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, name, pa.array(values).cast(rows.schema.field(at).type))
    return Batch({"quote": rows})


def failed(done: Any, code: int) -> str:
    """Expect one line of error and nothing else; return it."""
    assert (done.returncode, done.stdout) == (code, ""), done
    (line,) = done.stderr.splitlines()
    assert line.startswith("monitor: ")
    return str(line)


@pytest.mark.parametrize("arguments", READERS, ids=lambda arguments: "-".join(arguments[:2]))
def test_a_folder_that_is_not_there_is_an_error(
    arguments: tuple[str, ...], tmp_path: Path, monitor: Run
) -> None:
    (tmp_path / "file").touch()
    for folder in (DEFAULT_FOLDER, "/no/such", "file"):
        line = failed(monitor(*arguments, "--recordings", folder), 1)
        assert line.startswith(f"monitor: expected a recordings folder at {folder}, found ")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_recording_given_by_its_path_needs_no_recordings_folder(
    tmp_path: Path, monitor: Run
) -> None:
    record(tmp_path / "elsewhere" / "one", [batch_of(quotes(3))])
    for command in (("verify",), ("replay", "--speed", "max"), ("export", "--to", "out")):
        done = monitor(*command, "elsewhere/one")
        assert done.returncode == 0, done.stderr
    count = monitor("sql", "SELECT count(*) AS n FROM quote", "--recording", "elsewhere/one")
    assert count.returncode == 0 and " 3 " in count.stdout


@pytest.mark.parametrize(
    "arguments", [item for item in READERS if "x" in item], ids=lambda arguments: arguments[0]
)
def test_a_folder_without_segments_is_no_recording(
    arguments: tuple[str, ...], tmp_path: Path, monitor: Run
) -> None:
    (tmp_path / "recordings" / "x").mkdir(parents=True)
    failed(monitor(*arguments), 1)
    assert not (tmp_path / "out").exists()


def test_wrong_usage_exits_2_and_nothing_is_overwritten(tmp_path: Path, monitor: Run) -> None:
    record(tmp_path / "recordings" / "x", [batch_of(quotes(3))])
    for name in ("mine.csv", "mine.duckdb", "quote.parquet", "capture"):
        (tmp_path / name).write_text("mine")
    cases = [
        ("ingest", "capture", "--venue", "nonsense"),
        ("ingest", "capture", "--venue", "binance", "--recording", "x"),
        ("replay", "x", "--speed", "max", "--record", "x"),
        ("sql", "SELECT 1", "--out", "mine.csv"),
        ("export", "x", "--to", "."),
        ("clip", "x", *WINDOW, "--out", "mine.duckdb"),
        ("tail", "mock:BTC-USD+trade", "--kind", "quote"),
        ("sql", "SELECT 1", "--from", "1970-01-02", "--to", "1970-01-01"),
        ("replay", "x", "--from", "1970-01-02", "--to", "1970-01-01"),
        ("clip", "x", "--from", "1970-01-02", "--to", "1970-01-01"),
        *(
            (*command, "--from", time)
            for command in (("sql", "SELECT 1"), ("replay", "x"))
            for time in ("0001-01-01", "9999-12-31T23:59:59", "2262-04-12", "yesterday")
        ),
    ]
    for arguments in cases:
        failed(monitor(*arguments), 2)
    for name in ("mine.csv", "mine.duckdb", "quote.parquet", "capture"):
        assert (tmp_path / name).read_text() == "mine"


def test_a_time_is_read_to_the_ns(tmp_path: Path, monitor: Run) -> None:
    record(tmp_path / "recordings" / "x", [batch_of(quotes(8))])
    for fraction, first in (("000000005", 5), ("000000006", 6)):
        done = monitor(
            *("sql", "SELECT min(ord) AS first FROM quote", "--format", "csv"),
            *("--from", f"1970-01-01T00:00:05.{fraction}Z"),
        )
        assert done.stdout == f"first\n{first}\n"


def test_a_full_disk_is_one_line(tmp_path: Path, monitor: Run) -> None:
    # No file of more than 8 KB may be written.
    limited = ["bash", "-c", 'ulimit -f 8; exec "$@"', "limited", *COMMAND]
    done = subprocess.run(
        [*limited, "record", "mock:BTC-USD", "--for", "1s"],
        cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    failed(done, 1)
    with Path("/dev/full").open("w") as full:
        for arguments in (("--help",), ("sql", "SELECT 1"), ("recordings", "--json")):
            (tmp_path / "recordings").mkdir(exist_ok=True)
            done = subprocess.run(
                [*COMMAND, *arguments],
                cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S,
                check=False,
            )  # fmt: skip
            assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done


def test_ctrl_c_while_the_program_loads_is_no_traceback(tmp_path: Path) -> None:
    # Python says of each module when it has been loaded.
    command = [sys.executable, "-X", "importtime", *COMMAND[1:], "recordings"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        for line in child.stderr:
            if line.endswith(" rich._loop\n") or line.endswith(" typer\n"):
                break
        child.send_signal(signal.SIGINT)
        left = child.stderr.read()
    assert child.returncode == 130
    assert "Traceback" not in left


def test_ctrl_c_ends_an_export_without_a_traceback(tmp_path: Path) -> None:
    record(tmp_path / "recordings" / "x", [many(1_000_000)])
    command = [*COMMAND, "export", "x", "--to", "out", "--format", "csv"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        until(lambda: [*tmp_path.glob("out/.export-*/quote.csv")], "rows of the export")
        child.send_signal(signal.SIGINT)
        _, stderr = child.communicate(timeout=DEADLINE_S)
    assert (child.returncode, stderr) == (130, "")
    assert not (tmp_path / "out").exists()


def test_record_shows_a_polled_source_as_connected_and_gives_the_cursor_back(
    tmp_path: Path,
) -> None:
    ours, theirs = pty.openpty()
    shown = b""

    def is_shown(text: bytes) -> bool:
        nonlocal shown
        if select.select([ours], [], [], 0)[0]:
            shown += os.read(ours, 65536)
        return text in shown

    command = [*COMMAND, "record", "mock:BTC-USD"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=theirs, text=True
    ) as child:
        try:
            until(lambda: is_shown(b"1/1 sources connected"), "a connected source")
            child.send_signal(signal.SIGINT)
            assert child.wait(DEADLINE_S) == 0
            # DECTCEM: `l` hides the cursor, `h` shows it.
            until(lambda: is_shown(b"\x1b[?25h"), "the cursor")
        finally:
            child.kill()
    os.close(ours)
    os.close(theirs)
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")
