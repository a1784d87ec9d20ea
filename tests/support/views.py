"""Views fed with rows by hand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import holoviews as hv
import numpy as np

from monitor.hub.hub import Hub
from monitor.page.views.cross_venue_spread import CrossVenue
from monitor.page.views.rates import Rates
from monitor.page.views.what_if import Parameters, WhatIf
from monitor.rows.batches import BACKFILL, DUPLICATE, SCHEMAS, SNAPSHOT, Batch
from support.made_rows import batch_of

S = 1_000_000_000


START = 1_700_000_100 * S


HERE = ("kraken", "BTC-USD")


Row = tuple[str, dict[str, Any]]


WHAT_IF = WhatIf(Parameters(1.0, 1_000.0), {})


# Plots can be drawn once this is loaded.
hv.extension("bokeh")


class Rows:
    """Makes rows one after another; everything that is not given is null."""

    def __init__(self) -> None:
        self._ords = itertools.count()

    def __call__(self, kind: str, seconds: float, venue: str = "kraken", /, **values: Any) -> Row:
        nameless = {field.name: None for field in SCHEMAS[kind]}
        known = {"ts_recv": START + round(seconds * S), "conn": 1, "flags": 0}
        where = {"venue": venue, "symbol": HERE[1]}
        return kind, {**nameless, **known, **where, "ord": next(self._ords), **values}


def trades() -> list[Row]:
    """Twelve minutes of trades with silences, repeats, and old ones that came late."""
    random, make = np.random.default_rng(5), Rows()
    made = []
    times = np.sort(random.uniform(0, 720, 400))
    for seconds in times[(times < 200) | (times > 320)]:
        flags = int(random.choice([0, 0, 0, DUPLICATE, BACKFILL, SNAPSHOT]))
        ago = float(random.choice([0.02, 0.4, 65.0]))
        made.append(
            make(
                *("trade", seconds),
                price=round(100 + random.normal(), 2),
                size=round(random.uniform(0.1, 2), 3),
                side=str(random.choice(["buy", "sell"])),
                flags=flags,
                ts_event=START + int((seconds - ago) * S) if random.random() < 0.9 else None,
            )
        )
    return made


def fed(rows: list[Row], cuts: int = 1) -> Iterator[Hub]:
    """Give a hub the rows in so many batches; yield it behind each."""
    hub = Hub()
    for batch in cut(rows, cuts):
        hub(batch)
        yield hub


def cut(rows: list[Row], cuts: int) -> Iterator[Batch]:
    for part in np.array_split(np.arange(len(rows)), cuts):
        yield batch_of([rows[at] for at in part])


def sources_of(hub: Hub, view: Rates | CrossVenue, instrument: tuple[str, str]) -> list[str]:
    view.refresh(hub, instrument)
    return [venue for venue, _ in view.owners]
