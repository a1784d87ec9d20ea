"""A venue whose instrument list cannot be fetched: said, asked again, followed once it can be."""

from __future__ import annotations

import json

import pytest
from support.collectors import free_port
from support.running import until
from support.venue_front import VENUES, fronting

from monitor.collector.health import Health
from monitor.feeds import Feeds
from monitor.probe.steps import probe
from monitor.rows.batches import Batch
from monitor.rows.sources import parse
from monitor.settings.configuration import Endpoint, VenueSettings
from monitor.simulate import Simulator
from monitor.state.present import Present

MODES = {"kraken": "rest"}
HTML = "<html><body>maintenance</body></html>"
TROUBLES = {"empty": (200, ""), "html": (200, HTML), "5xx": (503, "busy")}


class Watched:
    """The feeds of one pattern of each venue, and what their rows say."""

    def __init__(self, ws: int, rest: int, settings: dict[str, VenueSettings]) -> None:
        endpoints = {
            venue: Endpoint(f"ws://127.0.0.1:{ws}/{venue}", f"http://127.0.0.1:{rest}/{venue}")
            for venue in VENUES
        }
        self.feeds = Feeds([parse(f"{venue}:BTC*") for venue in VENUES], endpoints, settings)
        self.health = Health(Present())
        self.details: dict[str, str] = {}
        self.bringing: set[str] = set()

    def take(self) -> None:
        self.feeds.tick(0.0)
        batch = self.feeds.drain(100, 5)
        if batch is not None:
            self.health(batch)
            self._take(batch)

    def _take(self, batch: Batch) -> None:
        for row in batch["status"].to_pylist():
            if row["symbol"] == "BTC*":
                self.details[row["venue"]] = f"{row['state']} {row['kind']}: {row['detail']}"
        for kind in ("quote", "trade"):
            for venue, symbol in zip(
                batch[kind]["venue"].to_pylist(), batch[kind]["symbol"].to_pylist(), strict=True
            ):
                assert symbol.startswith("BTC-"), (venue, symbol)
                self.bringing.add(venue)

    def until_told(self, why: str) -> None:
        def is_told() -> bool:
            self.take()
            return all(why in self.details.get(venue, "") for venue in VENUES)

        until(is_told, f"{why!r} of every venue")
        assert all(
            told.startswith("failed fetch_failed: ") and "could not be fetched" in told
            for told in self.details.values()
        ), self.details

    def until_all_bring(self) -> None:
        def brings() -> bool:
            self.take()
            return self.bringing == {*VENUES}

        until(brings, "data of every venue's pattern")

        def is_up() -> bool:
            self.take()
            sources = self.health.report("recording", 0.0, 0)["sources"]
            return not any(source["state"] == "failed" for source in sources)

        until(is_up, "no failed source")
        symbols = {s["symbol"] for s in self.health.report("recording", 0.0, 0)["sources"]}
        assert "BTC*" not in symbols


def settings() -> dict[str, VenueSettings]:
    modes = {venue: MODES.get(venue, "ws") for venue in VENUES}
    return {
        v: VenueSettings.model_validate({"mode": m, "interval_s": 0.5}) for v, m in modes.items()
    }


@pytest.mark.parametrize("name", TROUBLES)
def test_a_pattern_comes_up_by_itself_once_its_venues_list_can_be_had(name: str) -> None:
    trouble = [TROUBLES[name]]
    why = {"empty": "found none", "html": "maintenance", "5xx": "found 503 busy"}[name]
    with Simulator(VENUES, rate=700) as simulator, fronting(simulator.port, trouble) as rest:
        watched = Watched(simulator.port, rest, settings())
        watched.feeds.start()
        try:
            watched.until_told(why)
            assert not watched.bringing
            trouble.clear()
            watched.until_all_bring()
        finally:
            watched.feeds.close()


def test_a_start_without_a_network_is_made_good_when_it_comes() -> None:
    port = free_port()
    watched = Watched(port, port, settings())
    watched.feeds.start()
    try:
        watched.until_told("Connection refused")
        with Simulator(VENUES, rate=700, port=port):
            watched.until_all_bring()
            watched.feeds.close()
    finally:
        watched.feeds.close()


@pytest.mark.parametrize("name", TROUBLES)
def test_what_is_added_and_probed_says_that_the_list_could_not_be_fetched(name: str) -> None:
    source = parse("binance:BTC-USDT")
    with (
        Simulator(["binance"], rate=300) as simulator,
        fronting(simulator.port, [TROUBLES[name]]) as rest,
    ):
        at = Endpoint(
            f"ws://127.0.0.1:{simulator.port}/binance", f"http://127.0.0.1:{rest}/binance"
        )
        feeds = Feeds([], {"binance": at}, {})
        note = feeds.check(source)
        steps = {step.name: step for step in probe(source, {"binance": at}, {}, 30.0)}
    assert note.startswith("binance's instrument list could not be fetched"), note
    found = json.dumps([step._asdict() for step in steps.values()])
    assert steps["first data"].result == "PASS", found
    assert "exchangeInfo" in steps["WebSocket"].found or "maintenance" in steps["WebSocket"].found
