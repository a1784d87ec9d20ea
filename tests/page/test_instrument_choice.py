"""Which instrument a page shows: what the hub has, what was wanted, and what a viewer chose."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from support.made_rows import batch_of, row

from monitor.hub.hub import Hub, Instrument
from monitor.page import instrument_choice as instruments
from monitor.page.instrument_choice import APPEAR_NS, Instruments

S = 1_000_000_000
START_NS = 1_700_000_000 * S
ONE, TWO, THREE = ("binance", "BTC-USDT"), ("coinbase", "BTC-USD"), ("kraken", "ETH-USD")


def send(hub: Hub, seconds: float, instruments: Sequence[Instrument]) -> Hub:
    """Have quotes of these come at a time."""
    for venue, symbol in instruments:
        quote = row("quote", 1, START_NS + round(seconds * S))
        quote |= {"venue": venue, "symbol": symbol, "flags": 0, "origin": "native"}
        hub(batch_of([("quote", quote)]))
    return hub


def names(chooser: Instruments) -> list[str]:
    return list(chooser.view.options)


def test_a_hub_offers_its_own_and_the_first_is_chosen() -> None:
    chooser = Instruments("")
    assert chooser.of(Hub(), None) is None
    assert chooser.of(send(Hub(), 0, [TWO, ONE]), None) == ONE
    assert names(chooser) == ["binance BTC-USDT", "coinbase BTC-USD"]


def test_a_replay_without_the_chosen_one_offers_what_it_has_from_its_first_moment() -> None:
    chooser, replay, hub = Instruments(""), object(), Hub()
    live = send(Hub(), 0, [ONE, TWO, THREE])
    chooser.of(live, None)
    chooser.choose(THREE)
    assert chooser.of(live, None) == THREE
    # Nothing of the live list is left while the replay's hub is empty.
    assert chooser.of(hub, replay) is None
    assert names(chooser) == []
    assert chooser.of(send(hub, 100, [ONE]), replay) == ONE
    assert names(chooser) == ["binance BTC-USDT"]
    assert chooser.of(send(hub, 101, [TWO]), replay) == ONE
    # So soon back to live, where it is.
    assert chooser.of(live, None) == THREE


def test_a_replay_goes_on_with_the_chosen_one_when_its_rows_come_a_little_later() -> None:
    chooser, replay, hub = Instruments(""), object(), Hub()
    live = send(Hub(), 0, [ONE, TWO])
    chooser.of(live, None)
    chooser.choose(TWO)
    chooser.of(live, None)
    assert chooser.of(send(hub, 100, [ONE]), replay) == ONE
    assert chooser.of(send(hub, 101, [TWO]), replay) == TWO


def test_a_seek_keeps_what_was_listed_and_chosen() -> None:
    chooser, replay, hub = Instruments(""), object(), Hub()
    chooser.of(send(hub, 100, [ONE, TWO]), replay)
    chooser.choose(TWO)
    assert chooser.of(hub, replay) == TWO
    hub.reset()
    assert chooser.of(hub, replay) is None
    # What the hub does not hold there cannot be shown, and yet stays chosen.
    assert chooser.of(send(hub, 10, [ONE]), replay) is None
    assert names(chooser) == ["binance BTC-USDT", "coinbase BTC-USD"]
    assert chooser.of(send(hub, 60, [TWO]), replay) == TWO


@pytest.mark.parametrize("added_s", [6, 600])
def test_an_address_whose_instrument_is_not_there_says_so_and_never_comes_back(
    added_s: float,
) -> None:
    chooser, hub = Instruments("kraken ETH-USD"), send(Hub(), 0, [ONE, TWO])
    assert chooser.of(hub, None) == ONE
    send(hub, APPEAR_NS / S, [ONE])
    assert chooser.of(hub, None) == ONE
    assert "kraken ETH-USD" in chooser.trouble
    assert chooser.name == "binance BTC-USDT"
    assert chooser.of(send(hub, added_s, [THREE]), None) == ONE
    assert "kraken ETH-USD" in names(chooser)


def test_a_choice_counts_at_once_where_an_address_is_still_waited_for() -> None:
    chooser, hub = Instruments("kraken ETH-USD"), send(Hub(), 0, [ONE, TWO])
    chooser.of(hub, None)
    assert chooser.name == "kraken ETH-USD"
    chooser.view.value = "coinbase BTC-USD"
    assert chooser.name == "coinbase BTC-USD"
    assert chooser.of(send(hub, 1, [THREE]), None) == TWO
    assert chooser.trouble == ""


def test_an_address_is_taken_when_its_instrument_comes_a_little_later() -> None:
    chooser, hub = Instruments("kraken ETH-USD"), send(Hub(), 0, [ONE])
    assert chooser.of(hub, None) == ONE
    assert chooser.of(send(hub, 2, [THREE]), None) == THREE
    assert chooser.name == "kraken ETH-USD"


def test_a_live_source_that_is_gone_leaves_the_list_and_the_first_is_shown() -> None:
    chooser = Instruments("")
    hub = send(Hub(), 0, [ONE, TWO])
    chooser.of(hub, None)
    chooser.choose(TWO)
    assert chooser.of(hub, None) == TWO
    # Another collector goes on without it; sources of a new one appear one after another.
    hub.reset()
    assert chooser.of(send(hub, 10, [ONE]), None) is None
    assert chooser.of(send(hub, 16, [ONE]), None) == ONE
    assert names(chooser) == ["binance BTC-USDT"]
    assert "coinbase BTC-USD" in chooser.trouble


def tell(hub: Hub, seconds: float, instruments: Sequence[Instrument], kind: str) -> Hub:
    """Have the collector remove sources (`stopped`), or follow them again (`connected`)."""
    rows = []
    for venue, symbol in instruments:
        status = row("status", 2, START_NS + round(seconds * S))
        status |= {"venue": venue, "symbol": symbol, "flags": 0, "scope": "symbol"}
        status |= {"state": kind, "kind": kind}
        status |= {"detail": "removed on request" if kind == "stopped" else None}
        rows.append(("status", status))
    hub(batch_of(rows))
    return hub


def test_a_name_that_comes_back_is_no_longer_said_to_be_gone() -> None:
    chooser, hub = Instruments(""), send(Hub(), 0, [ONE, TWO])
    chooser.of(hub, None)
    chooser.choose(TWO)
    chooser.of(send(hub, 10, [ONE]), None)
    assert chooser.of(tell(hub, 11, [TWO], "stopped"), None) == ONE
    assert "coinbase BTC-USD" in chooser.trouble
    assert chooser.of(tell(hub, 12, [TWO], "connected"), None) == ONE
    assert chooser.trouble == ""


def test_nothing_is_chosen_once_all_sources_are_removed() -> None:
    chooser, hub = Instruments(""), send(Hub(), 0, [ONE])
    assert chooser.of(hub, None) == ONE
    tell(hub, 10, [ONE], "stopped")
    assert hub.instruments() == []
    assert chooser.of(hub, None) is None
    assert (names(chooser), chooser.view.value, chooser.name) == ([], None, "")
    assert "binance BTC-USDT" in chooser.trouble
    assert chooser.of(tell(hub, 12, [ONE], "connected"), None) == ONE
    assert chooser.trouble == ""


def test_an_address_is_answered_also_where_a_replay_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    chooser, replay, hub = Instruments("kraken ETH-USD"), object(), send(Hub(), 0, [ONE, TWO])
    assert chooser.of(hub, replay) == ONE
    assert chooser.trouble == ""
    # No row comes for longer than they take to appear.
    monkeypatch.setattr(instruments, "REST_S", 0.0)
    assert chooser.of(hub, replay) == ONE
    assert "kraken ETH-USD" in chooser.trouble
    assert chooser.name == "binance BTC-USDT"
