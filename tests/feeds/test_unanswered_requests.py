"""Venues and a machine that leave the feeds waiting: every source is listed, and nothing ends."""

from __future__ import annotations

import socket
import threading
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha1
from typing import Any

import pytest
from support.running import until
from support.venue_front import VENUES, Front, fronting

from monitor.collector.health import Health
from monitor.feeds import Feeds
from monitor.rows.batches import REST, column
from monitor.rows.sources import parse
from monitor.settings.configuration import Endpoint, VenueSettings
from monitor.simulate import Simulator
from monitor.state.present import Present

# The mock venue is polled only.
STREAMING = tuple(venue for venue in VENUES if venue != "mock")
LOGIN = "<html><body>Welcome. Please log in.</body></html>"
# RFC 6455, 1.3.
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PING = b"\x89\x00"
END_S = 5.0
# No machine has so much address space for the stack of a thread.
HUGE_BYTES = 1 << 46


class Mute(Front):
    """Opens every WebSocket, sends pings and nothing else; REST is answered."""

    def do_GET(self) -> None:  # noqa: N802
        key = self.headers.get("Sec-WebSocket-Key")
        if key is None:
            return super().do_GET()
        accepted = b64encode(sha1(key.encode() + GUID).digest()).decode()
        self.send_response(101)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade")):
            self.send_header(name, value)
        self.send_header("Sec-WebSocket-Accept", accepted)
        self.end_headers()
        self.close_connection = True
        self.connection.settimeout(0.2)
        while True:
            self.wfile.write(PING)
            try:
                if not self.connection.recv(1 << 16):
                    return None
            except TimeoutError:
                continue


class Portal(Front):
    """Answers every request with its own page, as a hotel's network does."""

    def _passed(self) -> tuple[int, str]:
        return 200, LOGIN


def source(venue: str, symbol: str = "") -> str:
    """Return a source of a venue, by default one that each of them has by the simulator."""
    return f"{venue}:{symbol or ('BTC-USDT' if venue.startswith('binance') else 'BTC-USD')}"


class Watched:
    """Feeds of the same source of some venues, their health, and the rows that came."""

    def __init__(self, port: int, symbol: str, names: tuple[str, ...], **settings: Any) -> None:
        at = {
            name: Endpoint(f"ws://127.0.0.1:{port}/{name}", f"http://127.0.0.1:{port}/{name}")
            for name in names
        }
        chosen = VenueSettings.model_validate({"interval_s": 0.5, **settings})
        sources = [parse(source(name, symbol)) for name in names]
        self.feeds = Feeds(sources, at, dict.fromkeys(names, chosen))
        self._health = Health(Present())
        self.statuses: list[dict[str, Any]] = []
        self.quotes: dict[str, set[int]] = defaultdict(set)

    def take(self) -> dict[str, Any]:
        """Take the next rows; return the report of health."""
        self.feeds.tick(0.0)
        batch = self.feeds.drain(100, 5)
        if batch is not None:
            self._health(batch)
            self.statuses += batch["status"].to_pylist()
            flags = column(batch["quote"], "flags").tolist()
            for venue, flag in zip(batch["quote"]["venue"].to_pylist(), flags, strict=True):
                self.quotes[venue].add(flag & REST)
        return self._health.report("recording", 0.0, 0)

    def told(self, kind: str, words: str = "") -> set[str]:
        """Return the venues that have such a status row of their connection."""
        return {
            row["venue"]
            for row in self.statuses
            if (row["scope"], row["kind"]) == ("connection", kind) and words in row["detail"]
        }


@contextmanager
def following(watched: Watched) -> Iterator[Watched]:
    try:
        watched.feeds.start()
        yield watched
    finally:
        watched.feeds.close()


@pytest.fixture
def no_thread() -> Iterator[None]:
    """Have no further thread start until the test ends, or gives them back itself."""
    yield
    threading.stack_size(0)


@pytest.mark.parametrize("symbol", ["BTC-USD", "XBT/USD", "BTC*"])
def test_every_source_is_listed_before_its_venue_has_answered_anything(symbol: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with following(Watched(port, symbol, STREAMING)) as watched:
            report = watched.take()
            assert report["status"] == "degraded"
            assert {
                (s["venue"], s["symbol"]): s["state"] for s in report["sources"]
            } == dict.fromkeys(((venue, symbol) for venue in STREAMING), "initialising")
            first = [row for row in watched.statuses if row["scope"] == "symbol"]
            assert [(row["venue"], row["symbol"], row["state"]) for row in first] == [
                (venue, symbol, "initialising") for venue in STREAMING
            ]


def test_a_source_by_the_venues_own_spelling_is_listed_once_when_it_is_known() -> None:
    # Kraken's REST, and so its list of pairs, calls BTC-USD XBT/USD.
    with (
        Simulator(["kraken"], rate=100) as simulator,
        following(Watched(simulator.port, "XBT/USD", ("kraken",))) as watched,
    ):
        assert [source["symbol"] for source in watched.take()["sources"]] == ["XBT/USD"]

        def is_up() -> bool:
            return [(s["symbol"], s["state"]) for s in watched.take()["sources"]] == [
                ("BTC-USD", "connected")
            ]

        until(is_up, "the instrument alone")


def test_rest_takes_over_from_a_stream_that_only_answers_pings() -> None:
    with (
        Simulator(STREAMING, rate=600) as simulator,
        fronting(simulator.port, front=Mute) as port,
        following(Watched(port, "", STREAMING, fallback_after_s=3.0)) as watched,
    ):

        def is_polled() -> bool:
            watched.take()
            return watched.told("fallback") == {*STREAMING} == set(watched.quotes)

        until(is_polled, "quotes by REST of every venue")
        assert watched.told("connected") == {*STREAMING}
        assert not watched.told("handback")
        assert set().union(*watched.quotes.values()) == {REST}


def test_a_login_page_in_place_of_every_answer_is_a_failure_and_says_so() -> None:
    with (
        fronting(front=Portal) as port,
        following(Watched(port, "", VENUES, mode="rest")) as watched,
    ):

        def has_failed() -> bool:
            sources = watched.take()["sources"]
            return {s["venue"] for s in sources if "Please log in" in (s["error"] or "")} == {
                *VENUES
            }

        until(has_failed, "the login page named in the state of every source")
        report = watched.take()
        assert {source["state"] for source in report["sources"]} == {"failed"}
        assert report["status"] == "failed"


def test_feeds_begin_once_threads_can_be_started(no_thread: None) -> None:
    with Simulator(STREAMING, rate=600) as simulator:
        threading.stack_size(HUGE_BYTES)
        with following(Watched(simulator.port, "", STREAMING)) as watched:

            def is_told() -> bool:
                watched.take()
                return watched.told("disconnected", "thread") == {*STREAMING}

            until(is_told, "the reason of every venue")
            assert watched.take()["status"] == "failed"
            threading.stack_size(0)
            until(lambda: watched.take()["status"] == "ok", "every source connected")


def test_a_line_that_cannot_be_opened_for_want_of_a_thread_is_tried_again(no_thread: None) -> None:
    with (
        Simulator(["binance", "kraken"], rate=200, faults=["reset@2"]) as simulator,
        following(Watched(simulator.port, "", ("binance", "kraken"), mode="ws")) as watched,
    ):
        until(lambda: watched.take()["status"] == "ok", "every source connected")
        threading.stack_size(HUGE_BYTES)

        def is_told() -> bool:
            watched.take()
            return watched.told("disconnected", "start new thread") == {"binance", "kraken"}

        until(is_told, "the reason of every venue")
        threading.stack_size(0)
        until(lambda: watched.take()["status"] == "ok", "every source connected again")


def test_requests_that_hang_are_left_together() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        watched = Watched(silent.getsockname()[1], "BTC*", STREAMING, mode="rest")
        notes: list[str] = []
        further = parse("binance:ETH-USDT")
        checking = threading.Thread(target=lambda: notes.append(watched.feeds.check(further)))
        watched.feeds.start()
        hanging = []

        def all_ask() -> bool:
            watched.take()
            with suppress(BlockingIOError):
                hanging.append(silent.accept()[0])
            return len(hanging) == len(STREAMING)

        silent.setblocking(False)
        until(all_ask, "a request of each venue")
        checking.start()
        closing = threading.Thread(target=watched.feeds.close, name="close")
        closing.start()
        for thread in (closing, checking):
            # The contract's limit for the end of the whole program.
            thread.join(END_S)
            assert not thread.is_alive()
        (note,) = notes
        assert "could not be fetched" in note
        for line in hanging:
            line.close()
