"""Uniswap's contracts, logs and subgraphs as documented must become the rows they describe."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.golden import picked, rows_of

from monitor._rust_feed import Feed, Session
from monitor.rows.batches import REST, SYNTHETIC

V3_POOL, V2_POOL = (
    "0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640",
    "0xB4e16d0168e52d35CaCD2c6185b44281Ec28C9Dc",
)
V2_SWAP = "0xd78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822"
V3_SWAP = "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67"
# 4000 USDC for a WETH, and the tick that goes with it.
ROOT, TICK = 1252707241875239655932069007848031, 193379
USDC, WETH = 10**6, 10**18


def words(*numbers: int) -> str:
    """Write numbers as contracts do, those below zero as two's complements."""
    return "0x" + "".join(f"{number % 2**256:064x}" for number in numbers)


def asked(method: str, *params: object, number: int = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def answered(request: Any, result: Any, options: str = "{}") -> dict[str, list[dict[str, Any]]]:
    feed = Feed(1000)
    session = Session(feed, "uniswap", options)
    session.sent(json.dumps(request))
    session.fetched(1, "https://node", json.dumps(result), 1, 0)
    return rows_of(feed)


def call(to: str, selector: str, result: str) -> dict[str, list[dict[str, Any]]]:
    request = asked("eth_call", {"to": to, "data": selector}, "0x14a2b3c")
    return answered(request, {"jsonrpc": "2.0", "id": 1, "result": result})


def test_slot0_is_a_mid_whose_spread_is_the_fee() -> None:
    rows = call(V3_POOL, "0x3850c7bd", words(ROOT, TICK, 0, 1, 1, 0, 1))
    (row,) = rows["quote"]
    expected = {
        "symbol": "ETH-USDC@v3-500",
        "bid": pytest.approx(4000 * 0.9995, rel=1e-15),
        "ask": pytest.approx(4000 / 0.9995, rel=1e-15),
        "bid_size": None,
        "ask_size": None,
        "seq": 0x14A2B3C,
        "ts_event": None,
        "origin": "synthetic",
        "flags": REST | SYNTHETIC,
    }
    assert picked(row, expected) == expected
    assert rows["instrument"][-1]["source"] == V3_POOL.lower()


def test_reserves_of_a_pair_are_a_price() -> None:
    rows = call(V2_POOL, "0x0902f1ac", words(8000 * USDC, 2 * WETH, 1_700_000_000))
    (row,) = rows["quote"]
    expected = {"symbol": "ETH-USDC@v2", "bid": 3988.0, "ask": pytest.approx(4000 / 0.997)}
    assert picked(row, expected) == expected


def test_an_answer_of_nothing_gives_no_row() -> None:
    assert "quote" not in call(V3_POOL, "0x3850c7bd", "0x")


def log(topic: str, pool: str, data: str, **more: object) -> dict[str, Any]:
    return {
        "address": pool,
        "topics": [topic],
        "data": data,
        "blockNumber": "0x10",
        "blockHash": "0xb",
        "transactionHash": "0xabc",
        "logIndex": "0x1f",
        **more,
    }


@pytest.mark.parametrize(
    ("topic", "pool", "data", "side", "price"),
    [
        # Paid in 4000 USDC for one WETH that leaves the pool.
        (V3_SWAP, V3_POOL, words(4000 * USDC, -WETH, ROOT, 1, TICK), "buy", 4000.0),
        (V3_SWAP, V3_POOL, words(-3990 * USDC, WETH, ROOT, 1, TICK), "sell", 3990.0),
        # amount0In, amount1In, amount0Out, amount1Out.
        (V2_SWAP, V2_POOL, words(4012 * USDC, 0, 0, WETH), "buy", 4012.0),
        (V2_SWAP, V2_POOL, words(0, WETH, 3988 * USDC, 0), "sell", 3988.0),
    ],
)
def test_a_swap_is_a_trade_of_who_pays_in(
    topic: str, pool: str, data: str, side: str, price: float
) -> None:
    request = asked("eth_getLogs", {"fromBlock": "0x10", "toBlock": "0x10"})
    logs = [log(topic, pool, data), log(topic, pool, data, logIndex="0x20", removed=True)]
    (row,) = answered(request, {"jsonrpc": "2.0", "id": 1, "result": logs})["trade"]
    expected = {
        "price": price,
        "size": 1.0,
        "side": side,
        "trade_id": "0xabc:31",
        "seq": 16,
        "flags": REST,
    }
    assert picked(row, expected) == expected


def test_a_shuffled_batch_is_matched_by_number() -> None:
    requests = [
        asked("eth_call", {"to": V3_POOL, "data": "0x3850c7bd"}, "0x10", number=7),
        asked("eth_call", {"to": V2_POOL, "data": "0x0902f1ac"}, "0x10", number=8),
        asked("eth_getBlockByNumber", "0x10", False, number=9),
    ]
    block = {"number": "0x10", "hash": "0xb", "parentHash": "0xa", "timestamp": "0x65"}
    answers = [
        {"jsonrpc": "2.0", "id": 8, "result": words(8000 * USDC, 2 * WETH, 0)},
        {"jsonrpc": "2.0", "id": 9, "result": block},
        {"jsonrpc": "2.0", "id": 7, "result": words(ROOT, TICK, 0, 1, 1, 0, 1)},
    ]
    rows = answered(requests, answers)["quote"]
    told = {row["symbol"]: (round(row["bid"], 9), row["ts_event"]) for row in rows}
    at = 0x65 * 10**9
    assert told == {"ETH-USDC@v3-500": (3998.0, at), "ETH-USDC@v2": (3988.0, at)}


@pytest.mark.parametrize(
    "error", ['{"code":-32005,"message":"limit exceeded"}', '{"code":3,"message":"reverted"}']
)
def test_a_nodes_error_is_told_in_its_own_words(error: str) -> None:
    request = asked("eth_call", {"to": V3_POOL, "data": "0x3850c7bd"}, "latest")
    rows = answered(request, {"jsonrpc": "2.0", "id": 1, "error": json.loads(error)})
    (row,) = [row for row in rows["status"] if row["kind"] == "fetch_failed"]
    assert json.loads(row["detail"]) == json.loads(error)


def subgraph(data: object) -> dict[str, list[dict[str, Any]]]:
    feed = Feed(1000)
    session = Session(feed, "uniswap", "{}")
    session.fetched(1, "https://gateway/api/subgraphs/id/5zvR82", json.dumps(data), 1, 0)
    return rows_of(feed)


def test_the_subgraphs_token0_price_is_the_price_of_token1() -> None:
    pool = {
        "id": V3_POOL.lower(),
        "feeTier": "500",
        "token0": {"symbol": "USDC", "decimals": "6"},
        "token1": {"symbol": "WETH", "decimals": "18"},
        "token0Price": "4000",
        "token1Price": "0.00025",
    }
    meta = {"block": {"number": 21_640_000, "timestamp": 1_700_000_000, "hash": "0xb"}}
    (row,) = subgraph({"data": {"_meta": meta, "pool": pool}})["quote"]
    expected = {
        "symbol": "ETH-USDC@v3-500",
        "bid": pytest.approx(3998.0),
        "ask": pytest.approx(4000 / 0.9995),
        "seq": 21_640_000,
        "ts_event": 1_700_000_000 * 10**9,
    }
    assert picked(row, expected) == expected


def test_errors_of_a_subgraph_come_with_success_and_are_told() -> None:
    rows = subgraph({"errors": [{"message": "indexing_error"}], "data": None})
    told = [row["detail"] for row in rows["status"] if row["kind"] == "fetch_failed"]
    assert told == ["indexing_error"]


def test_a_pool_of_the_configuration_is_followed_by_its_own_names() -> None:
    pool = {
        "address": "0xCBCdF9626bC03E24f779434178A73a0B4bad62eD",
        "version": "v3",
        "base": "WBTC",
        "quote": "WETH",
        "decimals": [8, 18],
        "fee": 3000,
        "inverted": False,
    }
    options = json.dumps({"setup": {"pools": [pool]}})
    request = asked("eth_call", {"to": pool["address"], "data": "0x3850c7bd"}, "0x10")
    # 27 WETH for a WBTC: 27e10 of the one's units for one of the other's.
    root = int((27e10) ** 0.5 * 2**96)
    rows = answered(request, {"id": 1, "result": words(root, 0, 0, 0, 0, 0, 1)}, options)
    (row,) = rows["quote"]
    expected = {"symbol": "BTC-ETH@v3-3000", "bid": pytest.approx(27 * 0.997)}
    assert picked(row, expected) == expected
