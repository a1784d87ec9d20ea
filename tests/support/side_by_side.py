"""Long runs that mostly wait, started together for the tests that judge them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

# A collector takes a second or two of processor time to start, and little from then on.
AT_A_TIME = 5
DEADLINE_S = 150.0


def side_by_side(runs: Mapping[str, Callable[[Path], Any]]) -> Callable[..., Any]:
    """Return a fixture that starts those of `runs` that the chosen tests want, the first first."""

    @pytest.fixture(scope="module")
    def started(
        request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[dict[str, Future[Any]]]:
        wanted = {
            item.callspec.params.get("done")
            for item in request.session.items
            if item.path == request.path and hasattr(item, "callspec")
        }
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            yield {
                name: pool.submit(run, tmp_path_factory.mktemp(name) / "recordings")
                for name, run in runs.items()
                if name in wanted
            }

    return started


@pytest.fixture
def done(request: pytest.FixtureRequest, started: dict[str, Future[Any]]) -> Any:
    """Wait for the run that a test judges."""
    return started[request.param].result(DEADLINE_S)


def judging(*names: str) -> pytest.MarkDecorator:
    """Mark a test as judging these runs, one after the other."""
    return pytest.mark.parametrize("done", names, indirect=True)
