"""The independent decoder against what other projects expect, and against chain arithmetic."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import reference
from reference import uniswap
from reference.capture import Record, records
from reference.row import LAST, SNAPSHOT, SYNTHETIC, Row, rfc3339, slashed

pytestmark = pytest.mark.corpus

TARDIS = [
    ("coinbase_exchange/tardis_node_tests", "coinbase-exchange"),
    ("kraken_v1/tardis_node_tests", "kraken-v1"),
]
CRYPTO_MSG = "binance/crypto_msg_parser_tests"
ROTKI, LIGHTRAO = "uniswap/rotki_vcr", "uniswap/lightrao_subgraph_pools20"


def capture(captures: Path, name: str) -> Path:
    return captures / f"{name}.norm.ndjson.gz"


@pytest.mark.parametrize(("name", "venue"), TARDIS)
def test_messages_mean_what_tardis_node_expects_of_them(
    captures: Path, name: str, venue: str
) -> None:
    """Tardis inverts Coinbase's maker side as we do, so every side is the aggressor's.

    Times are left out where the venue sent none or the year 1: tardis then repeats the last one
    or the time of receipt, while a row says nothing.
    """
    decoder = reference.DECODERS[venue]()
    for record in records(capture(captures, name)):
        expected = json.loads(record.about["expected"].replace(": undefined", ": null"))
        found = as_tardis(list(decoder.rows(record)))
        assert len(found) == len(expected), record.about["src"]
        for ours, theirs in zip(found, expected, strict=True):
            theirs["symbol"] = slashed(theirs["symbol"])
            theirs["timestamp"] = rfc3339(theirs["timestamp"]) if ours["timestamp"] else None
            assert ours == {name: theirs[name] for name in ours}, record.about["src"]


def as_tardis(rows: list[Row]) -> list[dict[str, Any]]:
    """Say rows in the words of tardis, one message at a time."""
    changes = [row for row in rows if row["kind"] == "book" and row["side"]]
    found = [as_tardis_quote_or_trade(row) for row in rows if row["kind"] != "book"]
    if changes:
        found.append(
            {
                "type": "book_change",
                "symbol": changes[0]["symbol"],
                "timestamp": changes[0]["ts_event"],
                "isSnapshot": bool(changes[0]["flags"] & SNAPSHOT),
                **{
                    f"{side}s": [
                        {"price": float(row["price"]), "amount": float(row["size"])}
                        for row in changes
                        if row["side"] == side
                    ]
                    for side in ("bid", "ask")
                },
            }
        )
    return found


def as_tardis_quote_or_trade(row: Row) -> dict[str, Any]:
    common = {"symbol": row["symbol"], "timestamp": row["ts_event"]}
    if row["kind"] == "trade":
        values = {"id": row["trade_id"], "side": row["side"]}
        numbers = {"price": row["price"], "amount": row["size"]}
        return {"type": "trade", **common, **values, **as_doubles(numbers)}
    numbers = {
        "bidPrice": row["bid"],
        "bidAmount": row["bid_size"],
        "askPrice": row["ask"],
        "askAmount": row["ask_size"],
    }
    return {"type": "book_ticker", **common, **as_doubles(numbers)}


def as_doubles(values: dict[str, Decimal | None]) -> dict[str, float | None]:
    return {name: None if value is None else float(value) for name, value in values.items()}


ASSERTED = re.compile(r"assert_eq!\( ?(.+?), ?(.+?) ?\);$|assert!\((.+?)\);$")


def test_spot_messages_mean_what_crypto_msg_parser_asserts_of_them(captures: Path) -> None:
    decoder, checked = reference.DECODERS["binance"](), 0
    for record in records(capture(captures, CRYPTO_MSG)):
        claims = claimed(list(decoder.rows(record)), record)
        for text in record.about["expected_asserts"]:
            left, right, holds = ASSERTED.fullmatch(text).groups()
            if holds:
                left, right = holds.removeprefix("!"), str(not holds.startswith("!")).lower()
            for name, value in ((left, right), (right, left)):
                if name in claims:
                    assert claims[name] == said(value), f"{record.about['src']}: {text}"
                    checked += 1
    assert checked == 47


def said(text: str) -> Any:
    """Read the constant of a Rust assertion."""
    text = text.removeprefix("Some(").removesuffix(")").strip('"')
    if text in ("true", "false"):
        return text == "true"
    return float(text) if re.fullmatch(r"[\d.]+", text) else text


def claimed(rows: list[Row], record: Record) -> dict[str, Any]:
    """Say one message's rows in the words of crypto-msg-parser."""
    first = next((row for row in rows if row["kind"] != "book" or row["side"]), None)
    if first is None:
        return {}
    if first["kind"] == "trade":
        side = {"buy": "TradeSide::Buy", "sell": "TradeSide::Sell"}[first["side"]]
        return {
            "trade.quantity_base": float(first["size"]),
            "trade.side": side,
            EXTRACTED: first["ts_sent"] // 10**6,
        }
    if first["kind"] == "quote":
        return {
            "bbo_msg.symbol": first["symbol"].replace("-", ""),
            "bbo_msg.id": first["seq"],
            "bbo_msg.ask_price": float(first["ask"]),
            "bbo_msg.ask_quantity_base": float(first["ask_size"]),
            "bbo_msg.bid_price": float(first["bid"]),
            "bbo_msg.bid_quantity_base": float(first["bid_size"]),
        }
    claims = {
        "orderbook.snapshot": bool(first["flags"] & SNAPSHOT),
        "orderbook.seq_id": first["seq"],
    }
    if first["ts_sent"] is not None:
        claims |= dict.fromkeys(("orderbook.timestamp", EXTRACTED), first["ts_sent"] // 10**6)
    for side in ("bid", "ask"):
        levels = [row for row in rows if row["side"] == side]
        claims[f"orderbook.{side}s.len()"] = len(levels)
        for index, row in enumerate(levels):
            claims[f"orderbook.{side}s[{index}].price"] = float(row["price"])
            claims[f"orderbook.{side}s[{index}].quantity_base"] = float(row["size"])
    assert rows[-1]["flags"] & LAST, record.about["src"]
    return claims


EXTRACTED = "extract_timestamp(EXCHANGE_NAME, MarketType::Spot, raw_msg).unwrap().unwrap()"


def test_the_documented_square_root_price_gives_the_documented_price() -> None:
    pool = uniswap.Pool("v3", 500, "USDC", "WETH", 6, 18)
    square_root = 1252707241875239655932069007848031
    price = uniswap.mid(pool, uniswap.SLOT0, [square_root])
    assert price == pytest.approx(Decimal("0.00025"), rel=Decimal("1e-20"))
    assert (10 ** (9 + 18 - 6) << 192) // square_root**2 == 4000000000000
    assert tick_below(square_root) == 193379


def test_every_tick_that_the_chain_reports_is_that_of_its_square_root_price(
    captures: Path,
) -> None:
    answers = [
        state.answer
        for record in records(capture(captures, ROTKI))
        for state in uniswap.states(record)
        if state.selector == uniswap.SLOT0 and state.answer[0]
    ]
    assert len(answers) == 19
    for square_root, tick, *rest in answers:
        assert tick_below(square_root) == tick - (tick >> 255 << 256)
        assert len(rest) == 5


def tick_below(square_root: int) -> int:
    raw = Decimal(square_root) ** 2 / Decimal(2) ** 192
    return math.floor(raw.ln() / Decimal("1.0001").ln())


def test_the_two_pools_of_one_pair_quote_one_market_each_with_its_fee_as_spread(
    captures: Path,
) -> None:
    rows = list(reference.rows(capture(captures, ROTKI), "uniswap"))
    assert [(row["symbol"], row["seq"]) for row in rows] == [
        ("ETH-USDC@v2", 19632375),
        ("ETH-USDC@v3-500", 19632376),
        ("ETH-USDC@v2", 19633096),
        ("ETH-USDC@v3-500", 19633096),
    ]
    assert {row["flags"] & SYNTHETIC for row in rows} == {SYNTHETIC}
    for wide, narrow in (rows[:2], rows[2:]):
        # The cheaper pool's market must lie within what arbitrage leaves to the dearer one.
        assert wide["bid"] < narrow["bid"] < narrow["ask"] < wide["ask"]
        assert [float(row["bid"] / row["ask"]) for row in (wide, narrow)] == pytest.approx(
            [0.997**2, 0.9995**2]
        )


def test_each_side_of_a_subgraph_price_is_the_inverse_of_the_other(captures: Path) -> None:
    file = capture(captures, LIGHTRAO)
    [record] = records(file)
    pools = record.frame()["data"]["pools"]
    rows = list(reference.rows(file, "uniswap"))
    for pool, row in zip(pools, rows, strict=True):
        mid = (row["bid"] * row["ask"]).sqrt()
        stated = [Decimal(pool["token0Price"]), Decimal(pool["token1Price"])]
        assert min(abs(mid / price - 1) for price in stated) < Decimal("1e-20")
    prices = {row["symbol"]: (row["bid"] * row["ask"]).sqrt() for row in rows}
    # A euro cost a little more than a dollar in all of these pools' life since 2023.
    assert 1 < prices["agEUR-USDC@v3-100"] < Decimal("1.2")
    # A whole bitcoin was worth thousands of these tokens, not the other way round.
    assert float(prices["KEEP-BTC@v3-3000"]) == pytest.approx(1 / 74210.0677, rel=1e-6)
