"""A short run of random actions; `tests/bench/random_page.py` has long ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.random_actions import Monkey
from support.watched_page import Watched, watching

pytestmark = pytest.mark.browser
FAULTS = ("gap@7", "crc@11", "duplicate@5", "reset@13", "half-open@25", "reorder@9")
ACTIONS, COMPARE_EVERY, SEED = 40, 13, 1


@pytest.fixture
def watched(tmp_path_factory: pytest.TempPathFactory, browser_path: str) -> Iterator[Watched]:
    with watching(tmp_path_factory.mktemp("random"), browser_path, FAULTS) as made:
        yield made


def test_whatever_a_person_does_the_page_tells_the_truth(watched: Watched) -> None:
    monkey, done = Monkey(watched, SEED), []
    for number in range(1, ACTIONS + 1):
        done.append(monkey.act())
        monkey.check()
        if number % COMPARE_EVERY == 0:
            assert monkey.compare() == [], done
    assert monkey.done["compared"] > 0, done
