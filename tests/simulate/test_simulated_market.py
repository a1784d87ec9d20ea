"""The simulated market is plausible: what no real book does, its books never do either."""

from __future__ import annotations

import pytest

from monitor.simulate.market.market import Market
from monitor.simulate.venues.kraken.checksummed_book import checksum

START_NS = 1_790_000_000_000_000_000
STEP_NS = 5_000_000


def walk(market: Market, steps: int, every_ns: int = STEP_NS):
    """Step all instruments in turn; yield the top before each step, and the event."""
    now_ns = START_NS
    for _ in range(steps):
        for instrument in market.instruments:
            now_ns += every_ns
            yield instrument.top(), instrument.step(now_ns)


@pytest.fixture
def market() -> Market:
    return Market(["binance", "kraken", "coinbase"], 7, START_NS)


def units(text: str, places: int) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(places, "0"))


def levels(text: str, prices: int, sizes: int) -> list[tuple[int, int]]:
    pairs = [level.strip().split("/") for level in text.split(",")]
    return [(units(price, prices), units(size, sizes)) for price, size in pairs]


def test_books_never_cross_and_stay_deep(market):
    for _, event in walk(market, 400):
        assert event.top.bid < event.top.ask
        assert event.top == event.instrument.top()
        assert min(len(event.instrument.bids), len(event.instrument.asks)) >= 100
        assert min(event.top.bid_size, event.top.ask_size) > 0


def test_a_jump_of_the_price_does_not_cross_a_book(market):
    # Each instrument stands still for 19 s at a time, and then catches up.
    for _, event in walk(market, 40, every_ns=1_000_000_000):
        assert event.top.bid < event.top.ask


def test_a_trade_takes_from_the_quote_before_it(market):
    traded = 0
    for before, event in walk(market, 400):
        for trade in event.trades:
            traded += 1
            assert trade.price == (before.ask if trade.buy else before.bid)
            assert trade.at_ns <= event.now_ns
        total = sum(trade.size for trade in event.trades)
        if event.trades:
            assert total <= (before.ask_size if event.trades[0].buy else before.bid_size)
    assert traded > 500


def test_the_quote_says_whether_it_moved(market):
    for before, event in walk(market, 50):
        assert event.top_moved == (event.top != before)


def test_trade_and_update_ids_count_up_by_one(market):
    trade_ids = {item: item.trade_id for item in market.instruments}
    update_ids = {item: item.update_id for item in market.instruments}
    for _, event in walk(market, 100):
        for trade in event.trades:
            assert trade.trade_id == trade_ids[event.instrument] + 1
            trade_ids[event.instrument] = trade.trade_id
        update_ids[event.instrument] += len(event.changes)
        assert event.instrument.update_id == update_ids[event.instrument]


def test_the_changes_lead_from_one_book_to_the_next(market):
    kept = {item: (dict(item.bids.sizes), dict(item.asks.sizes)) for item in market.instruments}
    for _, event in walk(market, 100):
        bids, asks = kept[event.instrument]
        for change in event.changes:
            side = bids if change.is_bid else asks
            side[change.price] = change.size
            if not change.size:
                del side[change.price]
        assert bids == event.instrument.bids.sizes
        assert asks == event.instrument.asks.sizes


def test_a_seed_and_a_sequence_of_steps_make_one_market():
    def told(seed: int):
        market = Market(["kraken", "coinbase"], seed, START_NS)
        return [(e.top, e.trades, e.changes) for _, e in walk(market, 50)]

    assert told(3) == told(3)
    assert told(3) != told(4)


def test_venues_are_correlated_and_now_and_then_apart():
    market = Market(["kraken", "coinbase"], 1, START_NS)
    pair = [item for item in market.instruments if item.listing.raw_symbol[:3] == "BTC"]
    kraken, coinbase = (item for item in pair if item.listing.quote_asset == "USD")
    assert (kraken.listing.price_places, coinbase.listing.price_places) == (1, 2)
    apart = steps = 0
    for step in range(20_000):
        now_ns = START_NS + step * 30_000_000
        kraken.step(now_ns)
        coinbase.step(now_ns)
        k, c = kraken.top(), coinbase.top()
        mids = (k.bid + k.ask) / 20, (c.bid + c.ask) / 200
        assert abs(mids[0] / mids[1] - 1) < 15e-4
        steps += 1
        edges = k.bid / 10 / (c.ask / 100) - 1, c.bid / 100 / (k.ask / 10) - 1
        apart += max(edges) > 1e-4
    assert 0.001 < apart / steps < 0.15


VECTOR_A = (
    "45285.2/0.00100000, 45286.4/1.54571953, 45286.6/1.54571109, 45289.6/1.54560911,"
    "45290.2/0.15890660, 45291.8/1.54553491, 45294.7/0.04454749, 45296.1/0.35380000,"
    "45297.5/0.09945542, 45299.5/0.18772827",
    "45283.5/0.10000000, 45283.4/1.54582015, 45282.1/0.10000000, 45281.0/0.10000000,"
    "45280.3/1.54592586, 45279.0/0.07990000, 45277.6/0.03310103, 45277.5/0.30000000,"
    "45277.3/1.54602737, 45276.6/0.15445238",
)
VECTOR_B = (
    "0.5668/4410.79769741, 0.5669/4655.40412487, 0.567/49844.89424998, 0.5671/24306.41678,"
    "0.5672/29783.25223475, 0.5673/57234.71239278, 0.5674/45065.04744, 0.5675/5912.76380354,"
    "0.5676/42514.92434778, 0.5677/36304.0847022",
    "0.5666/4831.75496356, 0.5665/6658.22734739, 0.5664/18724.91513344, 0.5663/11563.92544914,"
    "0.5662/14006.65365711, 0.5661/17454.85679807, 0.566/18097.1547, 0.5659/33644.89175666,"
    "0.5658/148.3464, 0.5657/606.70854372",
)


@pytest.mark.parametrize(
    ("sides", "places", "expected"),
    [
        (VECTOR_A, (1, 8), 3310070434),
        (VECTOR_B, (4, 8), 2439117997),
        ((VECTOR_B[0], VECTOR_B[1].replace("606.70854372", "1098.3947558")), (4, 8), 2114181697),
    ],
)
def test_checksums_are_those_of_the_venues_examples(sides, places, expected):
    asks, bids = (levels(side, *places) for side in sides)
    assert checksum(asks, bids) == expected
