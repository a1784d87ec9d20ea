"""What is said of now: ages and states against this machine's clock, and rows that stop coming."""

from __future__ import annotations

import math

import pytest
from support.made_recording import T0, Made, S

from monitor.collector.health import Health
from monitor.hub.hub import Hub
from monitor.page.collector_link import Seen, judge
from monitor.state.present import Present


class Clocks:
    """This machine's two clocks, set by hand; in seconds since `T0` and since the start."""

    def __init__(self) -> None:
        self.wall_s, self.monotonic_s = 0.0, 0.0

    def present(self) -> Present:
        return Present(lambda: T0 + round(self.wall_s * S), lambda: self.monotonic_s)

    def go_on(self, seconds: float) -> None:
        self.wall_s += seconds
        self.monotonic_s += seconds


def connected(made: Made) -> Made:
    """A source that is connected, with a quote, a trade and a good book."""
    made.told(0.0, "connected", scope="symbol")
    made.say("quote", 0.5, bid=99.0, ask=101.0, bid_size=1.0, ask_size=1.0, origin="native")
    made.say("trade", 0.5, price=100.0, size=1.0, side="buy", trade_id="1")
    measured = {"latency_p50_ms": 1.0, "latency_p99_ms": 2.0, "book_health": "ok"}
    made.say("stat", 1.0, channel="book", rows=3.0, **measured)
    made.clock(1.0)
    return made


def test_a_source_is_as_old_as_this_machine_says() -> None:
    clocks = Clocks()
    hub, health = Hub(clocks.present()), Health(clocks.present())
    clocks.go_on(1.0)
    for sink in (hub, health):
        sink(connected(Made()).batch())
    clocks.go_on(1.5)
    (source,) = hub.sources()
    # The quote came at 0.5 s; it is 2.5 s.
    assert (source.state, source.age_ms) == ("connected", 2000.0)
    assert [quote.age_ms for quote in hub.quotes()] == [2000.0]
    (told,) = health.report("recording", 0.0, 0)["sources"]
    assert (told["state"], told["age_ms"]) == ("connected", 2000.0)


def test_without_rows_for_two_seconds_no_source_is_connected() -> None:
    clocks = Clocks()
    hub, health = Hub(clocks.present()), Health(clocks.present())
    clocks.go_on(1.0)
    for sink in (hub, health):
        sink(connected(Made()).batch())
    clocks.go_on(2.1)
    (source,) = hub.sources()
    assert (source.state, source.book_health, source.last) == ("stale", "", 100.0)
    assert math.isnan(source.updates_s) and math.isnan(source.latency_p99_ms)
    report = health.report("recording", 0.0, 0)
    assert (report["status"], report["sources"][0]["state"]) == ("failed", "stale")

    # A clock row is enough to believe the line again.
    again = Made()
    again.clock(3.1)
    for sink in (hub, health):
        sink(again.batch())
    assert [source.state for source in hub.sources()] == ["connected"]
    assert health.report("recording", 0.0, 0)["status"] == "ok"


def test_rows_that_come_late_do_not_look_fresh() -> None:
    clocks = Clocks()
    hub = Hub(clocks.present())
    clocks.go_on(60.0)
    hub(connected(Made()).batch())
    assert [(s.state, s.age_ms) for s in hub.sources()] == [("stale", 59_500.0)]


def test_a_wall_clock_that_is_set_back_hides_no_silence() -> None:
    clocks = Clocks()
    hub = Hub(clocks.present())
    clocks.go_on(1.0)
    hub(connected(Made()).batch())
    clocks.wall_s -= 3600.0
    assert [(s.state, s.age_ms) for s in hub.sources()] == [("connected", 500.0)]
    clocks.go_on(3.0)
    assert [s.state for s in hub.sources()] == ["stale"]


def test_a_replay_knows_no_time_but_that_of_its_rows() -> None:
    hub = Hub()
    hub(connected(Made()).batch())
    assert [(s.state, s.age_ms) for s in hub.sources()] == [("connected", 500.0)]


def test_a_source_of_which_nothing_is_heard_any_more_is_not_up() -> None:
    # Two recordings are played as one, and the first ends: here at 1 s.
    made, hub = connected(Made()), Hub()
    for second in range(2, 60):
        measured = {"symbol": "ETH-USDT", "channel": "book", "rows": 0.0}
        made.say("stat", float(second), **measured)
        if second == 20:
            hub(made.batch())
            assert [source.state for source in hub.sources()] == ["connected", "initialising"]
    hub(made.batch())
    first, _ = hub.sources()
    assert (first.state, first.error) == ("stale", "nothing is heard of it for 58 s")


def test_of_captured_frames_no_state_is_known() -> None:
    made, hub = Made(), Hub()
    made.say("trade", 0.5, price=100.0, size=1.0, side="buy", trade_id="1")
    hub(made.batch())
    assert [source.state for source in hub.sources()] == ["unknown"]


def test_a_source_that_has_failed_stays_so_while_nothing_comes() -> None:
    clocks, made = Clocks(), Made()
    hub = Hub(clocks.present())
    made.told(0.0, "geo_blocked", scope="symbol", state="failed", detail="451")
    hub(made.batch())
    clocks.go_on(10.0)
    assert [(s.state, s.error) for s in hub.sources()] == [("failed", "451")]


def test_numbers_of_a_source_that_is_not_up_end_too_when_nothing_comes() -> None:
    clocks, made = Clocks(), Made()
    hub = Hub(clocks.present())
    connected(made).told(1.1, "no_data", scope="symbol", state="initialising")
    hub(made.batch())
    clocks.go_on(10.0)
    (source,) = hub.sources()
    assert (source.state, source.book_health) == ("initialising", "")
    assert math.isnan(source.updates_s) and math.isnan(source.latency_p99_ms)


def test_the_page_tells_a_hung_collector_from_a_missing_one() -> None:
    well = Seen(pid=7, silence_ms=150.0, waited_ms=150.0, unanswered_ms=900.0)
    assert judge(well) is None
    found = {
        name: judge(seen)
        for name, seen in {
            "missing": well._replace(pid=None, silence_ms=34_000.0),
            "hung": well._replace(silence_ms=12_400.0, waited_ms=12_400.0, unanswered_ms=12_900.0),
            "mute": well._replace(silence_ms=12_400.0, waited_ms=12_400.0),
            "behind": well._replace(silence_ms=185_000.0),
            "attaching": well._replace(silence_ms=185_000.0, is_attaching=True),
        }.items()
    }
    assert {name: told and told.kind for name, told in found.items()} == {n: n for n in found}
    badges = {name: told.badge for name, told in found.items() if told}
    assert badges == {
        "missing": "NO COLLECTOR",
        "hung": "NO ROWS FOR 12 s",
        "mute": "NO ROWS FOR 12 s",
        "behind": "3 min 5 s BEHIND",
        "attaching": "ATTACHING",
    }
    advice = {name: told.advice for name, told in found.items() if told}
    assert "no row for 34 s" in advice["missing"] and "monitor serve" in advice["missing"]
    assert "kill -CONT 7" in advice["hung"]


def test_time_in_which_the_page_itself_was_stopped_is_not_held_against_the_collector() -> None:
    clocks = Clocks()
    present = clocks.present()
    for _ in range(10):
        clocks.go_on(0.2)
        present.tick()
    assert (present.awake_s(), present.waited_s()) == pytest.approx((2.0, 2.0))
    present.arrived()
    # A minute without a tick: this process did not run.
    clocks.go_on(60.0)
    assert present.waited_s() == pytest.approx(0.5)
    # The rows are as old as they are all the same.
    assert present.silence_ns(T0) == round(62.0 * S)
    present.tick()
    clocks.go_on(0.2)
    assert present.waited_s() == pytest.approx(0.7)


def test_a_page_that_comes_late_says_since_when_it_counts_and_draws_whole_bars_alone() -> None:
    made, clocks = Made(), Clocks()
    for second in range(130):
        made.say("trade", second + 0.5, price=100.0 + second, size=1.0, side="buy", trade_id="1")
    hub, late = Hub(clocks.present()), Hub(clocks.present())
    hub(made.batch())
    assert hub.since_ns == 0
    # Its first row is of 30.5 s.
    late(made.batch(30))
    assert late.since_ns == T0 + round(30.5 * S)
    instrument = ("binance", "BTC-USDT")
    for interval_s, first_s, volume in ((1, 31, 1.0), (5, 35, 5.0), (60, 40, 60.0)):
        _, bars = late.candles(instrument, interval_s, 0)
        # T0 is 20 s after a whole minute.
        assert (bars["start"][0] - T0) / S == first_s
        assert bars["volume"][0] == volume
        assert len(hub.candles(instrument, interval_s, 0)[1]["start"]) > len(bars["start"])
