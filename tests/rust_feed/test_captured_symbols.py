"""Symbols that are split without an instrument list, against the lists that venues sent."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.golden import rows_of

from monitor._rust_feed import Feed, Session

TICKER = '{"u":1,"s":"%s","b":"1","B":"1","a":"2","A":"1"}'


def listed(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield each raw symbol and its canonical name in captured answers of exchangeInfo."""
    for file in folder.glob("*.ndjson.gz"):
        with gzip.open(file, "rt") as lines:
            for line in lines:
                if "quoteAsset" not in line:
                    continue
                answer = json.loads(json.loads(line)["raw"])
                for one in answer.get("symbols", []):
                    yield one["symbol"], f"{one['baseAsset']}-{one['quoteAsset']}"


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("venue", "folder", "least"), [("binance", "binance", 1000), ("binance-us", "binance_us", 121)]
)
def test_every_captured_symbol_is_split_as_its_venue_lists_it(
    venue: str, folder: str, least: int, captures: Path
) -> None:
    names = dict(listed(captures / folder))
    assert len(names) >= least
    feed = Feed(100_000)
    session = Session(feed, venue, "{}")
    for raw_symbol in names:
        session.frame(1, TICKER % raw_symbol, 1, 0)
    found = {row["raw_symbol"]: row["symbol"] for row in rows_of(feed)["instrument"]}
    assert found == names
