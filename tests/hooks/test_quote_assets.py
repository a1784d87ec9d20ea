"""Quote assets that the user takes for another: in signals, in the table of legs, in the best."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import holoviews as hv
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.onsets import expected_onsets, numbered, onsets, quotes
from support.views import Rows, fed, sources_of

from monitor.hooks import builtin
from monitor.hooks.builtin.cross_venue import Hook
from monitor.page.views.cross_venue_spread import BEST, CrossVenue
from monitor.page.views.leg_table import legs
from monitor.page.views.what_if import Parameters, WhatIf
from monitor.rows import quote_assets
from monitor.settings import configuration

DOLLARS = {"USDT": "USD", "USDC": "USD"}
ROW = st.tuples(
    st.sampled_from("ab"),
    st.integers(95, 105),
    st.integers(1, 3),
    st.integers(1, 4),
    st.sampled_from(("BTC-USD", "BTC-USDT", "BTC-USDC", "BTC-EUR", "ETH-USDT")),
)


def test_only_the_quote_asset_of_a_symbol_is_taken_for_another() -> None:
    symbols = ("BTC-USDT", "ETH-USDC@v3-500", "USDT-USD", "BTC-EUR", "AAPL")
    compared = [quote_assets.compared(symbol, DOLLARS) for symbol in symbols]
    assert compared == ["BTC-USD", "ETH-USD@v3-500", "USDT-USD", "BTC-EUR", "AAPL"]
    assert [quote_assets.compared(symbol, {}) for symbol in symbols] == [*symbols]
    assert quote_assets.quoted_in("ETH-USD@v3-500", "USDC") == "ETH-USDC@v3-500"


@pytest.mark.parametrize(
    ("toml", "why"),
    [
        ('{ USDT = "USD", USD = "EUR" }', "expected USD to be taken for no other asset, found"),
        ('{ USD = "USD" }', "expected USD to be taken for no other asset, found USD taken for it"),
        ('{ USDT = "US dollars" }', "hooks.cross_venue.taken_for.USDT: String should match"),
    ],
)
def test_what_could_be_meant_in_two_ways_is_refused_in_one_line(
    tmp_path: Path, toml: str, why: str
) -> None:
    file = tmp_path / "monitor.toml"
    file.write_text(f"[hooks.cross_venue]\ntaken_for = {toml}\n")
    with pytest.raises(ValueError) as refused:
        configuration.load(file)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


def test_usd_and_usdt_stay_apart_until_the_user_takes_one_for_the_other(tmp_path: Path) -> None:
    file = tmp_path / "monitor.toml"
    file.write_text('[hooks.cross_venue]\ntaken_for = { USDT = "USD" }\n')
    rows = quotes(
        (0, "kraken", 99.0, 100.0),
        (1, "binance", 101.0, 102.0, "BTC-USDT"),
        (2, "binance", 103.0, 104.0, "BTC-USDC"),
    )
    found = {}
    for name, settings in (
        ("apart", configuration.Settings()),
        ("mixed", configuration.load(file)),
    ):
        (hook,) = (h for h in builtin.load(settings.hooks, "recorded") if h.name == "cross_venue")
        _, signals = hook.step(hook.start(), rows)
        found[name] = signals.to_pylist() if signals is not None else []
    assert found["apart"] == []
    (signal,) = found["mixed"]
    assert (signal["venue"], signal["symbol"], signal["cause_ord"]) == ("binance", "BTC-USDT", 1)
    assert signal["text"] == "binance (USDT as USD) bid 101 > kraken ask 100 by 100.00 bps"
    assert signal["value"] == pytest.approx(100.0)


@given(st.lists(ROW, min_size=1, max_size=60), st.lists(st.integers(1, 5), min_size=1))
def test_signals_are_those_of_one_symbol_with_more_legs(
    made: list[tuple[str, int, int, int, str]], cuts: list[int]
) -> None:
    rows = numbered(made)
    # The same rows, each as a leg of the symbol that it is taken for.
    renamed = [
        (at, f"{venue} {symbol}", bid, ask, symbol.replace("USDT", "USD").replace("USDC", "USD"))
        for at, venue, bid, ask, symbol in rows
    ]
    wanted = [(at, *leg.split()) for at, leg, _ in expected_onsets(renamed, 6)]
    assert onsets(Hook(1.0, 6.0, "recorded", DOLLARS), rows, cuts) == sorted(wanted)


def market() -> list[Any]:
    make = Rows()

    def quote(venue: str, symbol: str, bid: float, ask: float) -> Any:
        kind, row = make("quote", 1, venue, bid=bid, ask=ask, origin="native")
        return kind, {**row, "symbol": symbol}

    return [
        quote("kraken", "BTC-USD", 100.0, 102.0),
        quote("binance", "BTC-USDT", 101.0, 103.0),
        quote("binance", "BTC-EUR", 200.0, 201.0),
        make("clock", 2, "monitor", offset_ns=0),
    ]


def test_the_table_of_legs_says_that_it_mixes_and_who_is_best_then() -> None:
    (hub,) = fed(market())
    owners = [("kraken", "BTC-USD"), ("binance", "BTC-USDT")]

    def table(taken_for: dict[str, str]) -> str:
        return legs(hub, owners, owners, "BTC-USD", 60_000, taken_for)

    mixed, apart = table({"USDT": "USD"}), table({})
    assert "Legs of BTC-USD incl. USDT as USD" in mixed
    assert "highest bid binance BTC-USDT" in mixed
    assert "lowest ask kraken BTC-USD" in mixed
    assert "(USDT as USD)" in mixed.split("<tbody>")[1]
    assert "another quote asset" not in mixed
    assert "Legs of BTC-USD — only kraken has it" in apart
    assert "another quote asset" in apart
    assert " as USD" not in apart


def test_the_best_bid_and_offer_are_of_all_that_is_taken_for_the_same() -> None:
    hv.extension("bokeh")
    (hub,) = fed(market())
    views = {
        name: CrossVenue(60_000, of, WhatIf(Parameters(1.0, 60_000.0), of))
        for name, of in (("mixed", DOLLARS), ("apart", {}))
    }
    best, owners = {}, {}
    for name, view in views.items():
        view.make()
        view.pane.get_root()
        owners[name] = sources_of(hub, view, ("kraken", "BTC-USD"))
        best[name] = [view.renderers[BEST + at].data_source.data for at in (0, 1)]
    assert owners == {"mixed": ["kraken", "binance"], "apart": ["kraken"]}
    assert [list(best["mixed"][0]["bid"])[-1], list(best["mixed"][1]["ask"])[-1]] == [101.0, 102.0]
    assert [list(best["apart"][0]["bid"])[-1], list(best["apart"][1]["ask"])[-1]] == [100.0, 102.0]
    title = views["mixed"].figure.title.text
    assert title == "Mid of each venue, best bid and offer: BTC-USD incl. USDT as USD"
    assert " as " not in views["apart"].figure.title.text
