"""The beat of a page: woken by rows, never twice at once, and over with its session."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from monitor.page.refresh_timing import Arrivals, Beat
from monitor.state.stage_latency import STAGE_ROWS, Stage

SOON_S, NEVER_MS = 30.0, 3_600_000


class Session:
    """What the beat asks of a document: its session, with a lock, and whether that is over."""

    def __init__(self) -> None:
        self.session_context: Session | None = self
        self.destroyed = False

    async def with_locked_document(self, act: Callable[[Any], Awaitable[None]]) -> None:
        await act(self)


async def _reaches(number: int, counted: list[int]) -> None:
    while len(counted) < number:
        await asyncio.sleep(0)


def test_rows_that_come_on_another_thread_wake_the_pages() -> None:
    async def run() -> None:
        arrivals = Arrivals()
        waiting = [asyncio.ensure_future(arrivals.wait(SOON_S)) for _ in range(2)]
        await asyncio.sleep(0)
        threading.Thread(target=arrivals.tell).start()
        done, _ = await asyncio.wait(waiting, timeout=SOON_S)
        assert len(done) == 2

    asyncio.run(run())


def test_a_page_is_refreshed_without_rows_too_and_not_after_its_session() -> None:
    async def run() -> None:
        refreshed: list[int] = []
        session = Session()
        beat = Beat(Arrivals(), lambda: refreshed.append(1), period_ms=1)
        beat.start(session)
        await asyncio.wait_for(_reaches(3, refreshed), SOON_S)
        session.destroyed, session.session_context = True, None
        assert beat._task is not None
        await asyncio.wait_for(beat._task, SOON_S)

    asyncio.run(run())


def test_rows_that_come_often_refresh_a_page_no_more_than_is_wanted() -> None:
    async def run() -> None:
        refreshed: list[int] = []
        arrivals = Arrivals()
        beat = Beat(arrivals, lambda: refreshed.append(1), NEVER_MS)
        beat.start(Session())
        # The first comes at once, whenever the loop's clock began.
        for _ in range(1_000):
            await asyncio.sleep(0)
            arrivals.tell()
        assert len(refreshed) <= 1
        beat.end()

    asyncio.run(run())


def test_a_refresh_that_fails_is_told_and_the_next_one_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> None:
        tried: list[int] = []

        def refresh() -> None:
            tried.append(1)
            raise ZeroDivisionError

        beat = Beat(Arrivals(), refresh, period_ms=1)
        beat.start(Session())
        await asyncio.wait_for(_reaches(2, tried), SOON_S)
        beat.end()

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert "could not be refreshed" in caplog.text


def test_a_stage_keeps_the_last_few_minutes() -> None:
    stage = Stage()
    assert len(stage.last_minute()["ms"]) == 0
    for at in range(STAGE_ROWS + 10):
        stage.add(at * 100_000_000, float(at))
    cursor, rows = stage.since(0)
    assert cursor == STAGE_ROWS + 10
    assert rows["ms"].tolist() == [float(at) for at in range(10, STAGE_ROWS + 10)]
    # A minute of tenths of a second: the one a minute ago is not of it.
    assert len(stage.last_minute()["ms"]) == 600
    assert stage.since(cursor)[1]["ms"].tolist() == []
