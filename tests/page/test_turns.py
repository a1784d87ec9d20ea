"""Pages are made and drawn in turn: nobody waits for all others, and each knows its place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from monitor.page.turns import Turns, waits_for

PAGES = 4


def in_a_loop(test: Callable[[Turns], Awaitable[None]]) -> None:
    async def run() -> None:
        await test(Turns())

    asyncio.run(run())


def test_a_page_is_drawn_while_others_are_still_to_be_made() -> None:
    done: list[str] = []

    async def test(turns: Turns) -> None:
        async def opened(page: int) -> None:
            await turns.begin(page, is_opening=True)
            done.append(f"open {page}")
            turns.end()
            for plot in range(2):
                async with turns.turn(f"page {page}"):
                    done.append(f"plot {plot} of {page}")

        await asyncio.gather(*map(opened, range(PAGES)))

    in_a_loop(test)
    assert len(done) == 3 * PAGES
    # The first one has a plot before the third is made, and the last has its first plot before
    # any of those before it could take more than their share.
    assert done.index("plot 0 of 0") < done.index("open 2")
    assert done.index("plot 0 of 3") < done.index("plot 1 of 3")
    firsts = [done.index(f"plot 0 of {page}") for page in range(PAGES)]
    assert firsts == sorted(firsts)


def test_who_waits_knows_how_many_come_before() -> None:
    async def test(turns: Turns) -> None:
        await turns.begin("works", is_opening=True)
        waiting = [asyncio.create_task(turns.begin(page, is_opening=True)) for page in range(3)]
        drawing = asyncio.create_task(turns.begin("drawing"))
        await asyncio.sleep(0)
        # Each opening has the one that works, those before it and one drawing before it.
        assert [turns.ahead(page) for page in range(3)] == [2, 3, 4]
        assert turns.ahead("drawing") == 2 and turns.ahead("nobody") is None
        # One that goes away holds up nobody, whether it waits or is called.
        waiting[0].cancel()
        drawing.cancel()
        turns.end()
        await waiting[1]
        assert turns.ahead(2) == 1
        turns.end()
        await waiting[2]
        turns.end()

    in_a_loop(test)
    assert waits_for(None) == waits_for(0) == ""
    assert waits_for(1).startswith("1 other page of") and waits_for(7).startswith("7 other pages")


def test_a_piece_that_fails_gives_the_turn_on() -> None:
    async def test(turns: Turns) -> None:
        try:
            async with turns.turn("fails"):
                raise ValueError("expected")
        except ValueError:
            pass
        async with turns.turn("next"):
            pass

    in_a_loop(test)
