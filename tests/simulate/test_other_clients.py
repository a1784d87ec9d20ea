"""Other people's clients on the simulated exchange: only their URLs changed, they keep its books.

ccxt and Kraken's SDK come with the tools for the checks. cryptofeed, which has to be compiled,
comes with the dependency group `bench`; without it Kraken's older protocol is not tried here.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import ccxt.pro
import pytest
from kraken.spot import SpotClient, SpotOrderBookClient
from support.collectors import all_connected, health
from support.running import collector_of, until
from support.simulated_line import own_book

from monitor import recordings
from monitor.processes import locks
from monitor.simulate import Simulator

DEADLINE_S = 30
AGREEMENTS = 10
# One of them may be of the snapshot.
UPDATES = AGREEMENTS - 1
RATE = 50
US_NS = 1000

Levels = list[tuple[float, float]]


class Book(NamedTuple):
    """A book, best first, and its moment: the venue's number of that state, or a time in us."""

    moment: int
    bids: Levels
    asks: Levels

    def top(self, count: int) -> Book:
        return Book(self.moment, self.bids[:count], self.asks[:count])


class Ccxt(NamedTuple):
    """How ccxt is led to a venue: its class, its name of BTC, how deep, which URLs and settings."""

    exchange: str
    symbol: str
    raw_symbol: str
    depth: int
    urls: Callable[[str, str], dict[str, Any]]
    settings: dict[str, Any]
    moment: Callable[[Any], int | None]


# Deeper than any simulated book.
WHOLE = 1000
# ccxt's binance has futures too: other hosts, which nobody simulates.
SPOT_ONLY = {"options": {"fetchMarkets": {"types": ["spot"]}}}
# ccxt asks for the wallet's currencies at first: another product of Coinbase, not simulated.
NO_WALLET = {"has": {"fetchCurrencies": False}}


def binance_urls(ws: str, http: str) -> dict[str, Any]:
    return {"public": f"{http}/api/v3", "ws": {"spot": f"{ws}/ws"}}


CASES = {
    "binance": Ccxt(
        "binance", "BTC/USDT", "BTCUSDT", WHOLE, binance_urls, SPOT_ONLY, lambda book: book["nonce"]
    ),
    "binance-us": Ccxt(
        "binanceus", "BTC/USDT", "BTCUSDT", WHOLE, binance_urls, {}, lambda book: book["nonce"]
    ),
    "kraken": Ccxt(
        "kraken",
        "BTC/USD",
        "BTC/USD",
        100,
        lambda ws, http: {"public": http, "ws": {"publicV2": f"{ws}/v2"}},
        {},
        lambda book: micros(book["datetime"]),
    ),
    "coinbase": Ccxt(
        "coinbase",
        "BTC/USD",
        "BTC-USD",
        WHOLE,
        lambda ws, http: {"rest": http, "ws": ws},
        NO_WALLET,
        lambda book: micros(book["datetime"]),
    ),
}
# Our recorder asks for a shallower book than ccxt.
RECORDED_LEVELS = {"kraken": 25}
# The column of our rows that has what the exchange calls a state of a book by.
MOMENTS = {"binance": "seq", "binance-us": "seq", "kraken": "ts_event", "coinbase": "ts_sent"}


@pytest.mark.parametrize("venue", CASES)
def test_ccxt_the_exchange_and_our_recording_have_the_same_book(
    venue: str, tmp_path: Path, background: Callable[..., Any]
) -> None:
    case = CASES[venue]
    with Simulator([venue], rate=RATE) as simulator:
        ws, http = simulator.ws_url(venue), simulator.http_url(venue)
        source = f"{venue}:{case.symbol.replace('/', '-')}+book"
        recorder = background("record", source, "--endpoint", f"{venue}={ws},{http}")
        held = collector_of(tmp_path / "recordings")
        until(lambda: all_connected(held, 1), "a recorder of the book")
        theirs, own = asyncio.run(with_ccxt(simulator, venue, case))
        rows = updates(held)
        until(lambda: updates(held) > rows, "the recorder to go on")
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(DEADLINE_S) == 0
    assert theirs == [book.top(case.depth) for book in own]
    last = own[-1].top(RECORDED_LEVELS.get(venue, WHOLE))
    folder = tmp_path / "recordings"
    assert recorded_book(folder, held.recording, MOMENTS[venue], last.moment) == last


def test_krakens_sdk_finds_every_checksum_right_and_the_same_book(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Simulator(["kraken"], rate=RATE) as simulator:
        monkeypatch.setattr(SpotOrderBookClient, "WS_URL", simulator.ws_url("kraken"))
        monkeypatch.setattr(SpotClient, "URL", simulator.http_url("kraken"))
        theirs, own, valid = asyncio.run(with_krakens_sdk(simulator))
    assert theirs == [book.top(10) for book in own]
    assert len(valid) >= UPDATES
    assert all(valid)


def test_cryptofeed_finds_every_checksum_of_v1_right_and_the_same_book(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("cryptofeed", reason="needs the dependency group bench")
    from cryptofeed.connection import RestEndpoint, Routes, WebsocketEndpoint
    from cryptofeed.exchanges import Kraken

    # It takes no address without TLS, which the simulator speaks only where a fault is asked for.
    with Simulator(["kraken-v1"], rate=RATE, faults=["tls@3600"]) as simulator:
        trusted = tmp_path / "certificate.pem"
        trusted.write_text(ssl.get_server_certificate(("127.0.0.1", simulator.port)))
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            monkeypatch.setenv(name, str(trusted))
        ws, http = simulator.ws_url("kraken-v1"), simulator.http_url("kraken-v1")
        monkeypatch.setattr(Kraken, "websocket_endpoints", [WebsocketEndpoint(ws, limit=20)])
        rest = RestEndpoint(http, routes=Routes("/0/public/AssetPairs"))
        monkeypatch.setattr(Kraken, "rest_endpoints", [rest])
        theirs, own, valid = asyncio.run(with_cryptofeed(Kraken, simulator))
    assert theirs == [book.top(10) for book in own]
    assert len(valid) >= UPDATES
    assert all(valid)
    # A wrong checksum makes it connect anew, and say so.
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def with_ccxt(simulator: Simulator, venue: str, case: Ccxt) -> tuple[list[Book], list[Book]]:
    urls = case.urls(simulator.ws_url(venue), simulator.http_url(venue))
    client = getattr(ccxt.pro, case.exchange)({"urls": {"api": urls}, **case.settings})

    async def take() -> Book:
        moment = None
        while moment is None:
            book = await client.watch_order_book(case.symbol, case.depth)
            moment = case.moment(book)
        return Book(moment, *(list(map(tuple, book[side])) for side in ("bids", "asks")))

    try:
        return await agreements(take, simulator, venue, case.raw_symbol)
    finally:
        await client.close()


async def with_krakens_sdk(simulator: Simulator) -> tuple[list[Book], list[Book], list[bool]]:
    books: asyncio.Queue[Book] = asyncio.Queue()
    valid: list[bool] = []

    class Client(SpotOrderBookClient):  # type: ignore[misc]
        async def on_book_update(self, pair: str, message: dict[str, Any]) -> None:
            book = self.get(pair)
            if message["type"] == "update":
                valid.append(book["valid"])
            moment = micros(message["data"][0]["timestamp"])
            sides = (
                [(float(price), float(size)) for price, (size, _) in book[side].items()]
                for side in ("bid", "ask")
            )
            books.put_nowait(Book(moment, *sides))

    async with Client(depth=10) as client:
        await client.add_book(pairs=["BTC/USD"])
        return *await agreements(books.get, simulator, "kraken", "BTC/USD"), valid


async def with_cryptofeed(
    feed: Any, simulator: Simulator
) -> tuple[list[Book], list[Book], list[bool]]:
    from cryptofeed import FeedHandler
    from cryptofeed.defines import L2_BOOK

    books: asyncio.Queue[Book] = asyncio.Queue()
    valid: list[bool] = []

    async def see(book: Any, _: float) -> None:
        # By itself it does not look where both sides changed: the checksum is in the last map.
        if "c" in book.raw[-1]:
            valid.append(book.book.checksum() == int(book.raw[-1]["c"]))
        times = [
            float(level[2])
            for part in book.raw
            for levels in part.values()
            if isinstance(levels, list)
            for level in levels
        ]
        sides = (
            [(float(price), float(size)) for price, size in side.to_dict().items()]
            for side in (book.book.bids, book.book.asks)
        )
        books.put_nowait(Book(round(max(times) * 1e6), *sides))

    handler = FeedHandler(config={"uvloop": False, "log": {"disabled": True}})
    handler.add_feed(
        feed(
            symbols=["BTC-USD"],
            channels=[L2_BOOK],
            callbacks={L2_BOOK: see},
            max_depth=10,
            checksum_validation=True,
        )
    )
    handler.run(start_loop=False, install_signal_handlers=False)
    try:
        return *await agreements(books.get, simulator, "kraken-v1", "XBT/USD"), valid
    finally:
        await handler.stop_async(asyncio.get_running_loop())


async def agreements(
    take: Callable[[], Awaitable[Book]], simulator: Simulator, venue: str, symbol: str
) -> tuple[list[Book], list[Book]]:
    """Take the client's books and the exchange's own until some are of the same moments."""
    theirs: dict[int, Book] = {}
    own: dict[int, Book] = {}
    async with asyncio.timeout(DEADLINE_S):
        while len(theirs.keys() & own.keys()) < AGREEMENTS:
            book = await take()
            theirs[book.moment] = book
            book = await asyncio.to_thread(exchanges_book, simulator, venue, symbol)
            own[book.moment] = book
    moments = sorted(theirs.keys() & own.keys())
    return [theirs[moment] for moment in moments], [own[moment] for moment in moments]


def exchanges_book(simulator: Simulator, venue: str, symbol: str) -> Book:
    told = own_book(simulator, venue, symbol)
    moment = told["changed_ns"] // US_NS if told["sequence"] is None else told["sequence"]
    sides = ([(float(p), float(s)) for p, s in told[side]] for side in ("bids", "asks"))
    return Book(moment, *sides)


def recorded_book(folder: Path, name: str, column: str, moment: int) -> Book:
    """Fold the recorded rows up to a moment, which `column` tells."""
    sides: dict[str, dict[float, float]] = {"bid": {}, "ask": {}}
    with recordings.open_recording(folder, name) as recording:
        rows = [row for batch in recording.batches() for row in batch["book"].to_pylist()]
    for row in rows:
        at = row[column]
        if (at if column == "seq" else at.value // US_NS) > moment:
            break
        if row["side"] is None:
            sides = {"bid": {}, "ask": {}}
        elif row["size"]:
            sides[row["side"]][row["price"]] = row["size"]
        else:
            sides[row["side"]].pop(row["price"], None)
    return Book(moment, sorted(sides["bid"].items())[::-1], sorted(sides["ask"].items()))


def updates(held: locks.Held) -> int:
    return sum(source["updates"] for source in health(held.address)["sources"])


def micros(text: str | None) -> int | None:
    return None if text is None else round(datetime.fromisoformat(text).timestamp() * 1e6)
