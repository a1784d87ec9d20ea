"""No statement has an effect, outlives its limits or leaves a process behind."""

from __future__ import annotations

import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from support import hostile_statements as hostile
from support.made_rows import batch_of, record, row

from monitor.sql import queries

# What takes too much is ended by this; all else ends by itself, however busy the machine is.
WALL_S, PATIENT_S = 0.5, 60.0
# The process has to start, twice as many as there are cores at once, and to be ended.
STARTED_S = 20.0
PARALLEL = 4
MAX_ROWS = 100


class Outcome(NamedTuple):
    """What a statement came to; `error` is None if it passed."""

    error: str | None
    truncated: bool
    seconds: float


class Ran(NamedTuple):
    """All statements' outcomes, and the files before and after."""

    outcomes: dict[str, Outcome]
    before: dict[Path, bytes]
    after: dict[Path, bytes]
    children: list[str]


def short(sql: str) -> str:
    return ascii(sql[:60])


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run every statement, some at a time, in a folder of its own."""
    folder = tmp_path_factory.mktemp("recordings")
    rows = [("quote", row("quote", n, n * 1_000_000_000, 2.0)) for n in range(10)]
    record(folder / "one", [batch_of(rows)])
    queries.run("FROM recordings", folder)

    def ask(sql: str) -> Outcome:
        begun = time.monotonic()
        try:
            wall_s = WALL_S if sql in hostile.TOO_MUCH else PATIENT_S
            result = queries.run(sql, folder, wall_s=wall_s, max_rows=MAX_ROWS)
        except queries.QueryError as error:
            return Outcome(str(error), False, time.monotonic() - begun)
        assert result.table.num_rows <= MAX_ROWS
        return Outcome(None, result.truncated, time.monotonic() - begun)

    statements = [*hostile.REFUSED, *hostile.HARMLESS]
    before = files(folder)
    with (
        contextlib.chdir(tmp_path_factory.mktemp("cwd")),
        ThreadPoolExecutor(PARALLEL) as pool,
    ):
        outcomes = dict(zip(statements, pool.map(ask, statements), strict=True))
        after = files(folder) | files(Path.cwd())
    return Ran(outcomes, before, after, workers())


def files(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def workers() -> list[str]:
    """Return the command lines of this process's children that run a query."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            command = (process / "cmdline").read_text()
            if int(parent) == os.getpid() and "monitor.sql" in command:
                found.append(command)
    return found


@pytest.mark.parametrize("sql", hostile.REFUSED, ids=short)
def test_a_hostile_statement_is_refused_or_ended_in_one_line(ran: Ran, sql: str) -> None:
    outcome = ran.outcomes[sql]
    assert outcome.error
    assert "\n" not in outcome.error
    assert "Traceback" not in outcome.error
    assert outcome.seconds < WALL_S + STARTED_S
    assert sql in hostile.TOO_MUCH or "an answer within" not in outcome.error


@pytest.mark.parametrize("sql", hostile.HARMLESS, ids=short)
def test_a_harmless_statement_passes(ran: Ran, sql: str) -> None:
    outcome = ran.outcomes[sql]
    assert outcome.error is None
    assert outcome.truncated == ("1000000000" in sql)


def test_no_file_was_changed_and_none_was_made(ran: Ran) -> None:
    assert ran.after == ran.before


def test_no_process_was_left(ran: Ran) -> None:
    assert ran.children == []


def test_the_corpus_is_large_enough_and_says_everything_once() -> None:
    statements = [*hostile.REFUSED, *hostile.HARMLESS]
    assert len(set(statements)) == len(statements) > 100
