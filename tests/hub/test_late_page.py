"""A page that attaches to a collector late shows what one shows that was there from the start."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.past_market import START, S, market, shown, write
from support.running import until

from monitor.hub.hub import Hub
from monitor.hub.live_hub import Live
from monitor.processes.locks import Held
from monitor.recordings.reading import open_recording
from monitor.rows.batches import Batch, column
from monitor.state.present import Present

# The collector's last minutes begin here; what was before is only in the recording.
LATE_S = 150


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("live")
    write(home / "whole", market(0))
    return home


def batches(folder: Path, number: int = 0) -> Iterator[Batch]:
    """Yield the rows from an `ord` on, a few at a time."""
    with open_recording(folder, "whole") as recording:
        for batch in recording.batches(batch_rows=500):
            part = batch.between(number, None)
            if part.kinds:
                yield part


def late(folder: Path) -> tuple[int, int]:
    """Return the `ord` of the first row that a late page is sent, and its time."""
    found = [
        (int(order), int(at))
        for batch in batches(folder)
        for kind, rows in batch.kinds.items()
        if kind != "signal"
        for order, at in zip(column(rows, "ord"), column(rows, "ts_recv"), strict=True)
        if at >= START + LATE_S * S
    ]
    return min(found)


def held(recording: str, token: str = "t") -> Held:
    """A collector that writes a recording."""
    return Held(1, "127.0.0.1:1", token, "record", recording)


def seen(hub: Hub) -> Any:
    """What views show, but for ages, which go on by this machine's clock."""
    return re.sub(r"age_ms=[\d.]+", "", repr(shown(hub)))


def test_a_late_page_counts_from_the_start_of_the_recording(folder: Path) -> None:
    whole, (number, _) = Hub(Present()), late(folder)
    for batch in batches(folder):
        whole(batch)
    live = Live(folder, Present())
    live.attach(held("whole"), {}, Batch({}))
    first = live.hub
    for batch in batches(folder, number):
        live.take(batch)
    until(lambda: live.hub is not first, "what was recorded before")
    # It goes on taking rows.
    assert live.hub.since_ns == 0
    assert seen(live.hub) == seen(whole)
    live.close()


@pytest.mark.parametrize("recording", ["", "nothing"])
def test_where_nothing_was_recorded_the_page_says_since_when_it_counts(
    folder: Path, recording: str
) -> None:
    live, (number, since_ns) = Live(folder, Present()), late(folder)
    live.attach(held(recording), {}, Batch({}))
    first = live.hub
    for batch in batches(folder, number):
        live.take(batch)
    live.close()
    assert live.hub is first
    assert live.hub.since_ns == since_ns


def test_a_page_that_was_there_from_the_start_reads_nothing(folder: Path) -> None:
    live = Live(folder, Present())
    live.attach(held("nothing"), {}, Batch({}))
    first = live.hub
    for batch in batches(folder):
        live.take(batch)
    live.close()
    assert (live.hub is first, live.hub.since_ns) == (True, 0)


def test_a_page_that_attaches_again_never_goes_back_in_time(folder: Path) -> None:
    live, (number, _) = Live(folder, Present()), late(folder)
    live.attach(held("nothing"), {}, Batch({}))
    for batch in batches(folder):
        live.take(batch)
    whole = live.hub
    live.attach(held("nothing"), {}, Batch({}))
    newest = 0
    for batch in batches(folder, number):
        # The line is cut here, or goes on.
        assert live.hub.last_ord == whole.last_ord
        live.take(batch)
        newest = max(newest, batch.ords[1] if batch.ords else 0)
    assert live.hub is not whole and live.hub.last_ord == newest == whole.last_ord
    # Another collector has numbers of its own.
    live.attach(held("nothing", "another"), {}, Batch({}))
    assert live.hub.last_ord == -1
    live.close()


def test_states_and_origins_of_before_hold_from_the_first_row_on(folder: Path) -> None:
    number, from_ns = late(folder)
    with open_recording(folder, "whole") as recording:
        in_force = recording.in_force(from_ns)
    assert in_force["status"].num_rows
    live, whole = Live(folder, Present()), Hub(Present())
    live.attach(held(""), {}, in_force)
    for batch in batches(folder, number):
        live.take(batch)
    for batch in batches(folder):
        whole(batch)

    def told(hub: Hub) -> list[tuple[str, ...]]:
        # What was not sent says nothing of since when a source is not heard.
        errors = [re.sub(r"for \d+ s", "", source.error) for source in hub.sources()]
        named = [(source.venue, source.symbol, source.state) for source in hub.sources()]
        return [(*name, error) for name, error in zip(named, errors, strict=True)]

    def prices(hub: Hub) -> list[tuple[Any, ...]]:
        return [quote[:-1] for quote in hub.quotes()]

    assert told(live.hub) == told(whole)
    # Those whose last quote was sent.
    assert set(prices(live.hub)) <= set(prices(whole))
    assert prices(live.hub)
    assert live.hub.since_ns == from_ns
    live.close()
