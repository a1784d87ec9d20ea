"""The simulated Uniswap: a node and an index of one chain, read by the rules of the contracts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
import requests
import websocket
from support.running import until

from monitor.simulate import Simulator
from monitor.simulate.market.market import Walk
from monitor.simulate.venues.uniswap.chain import Chain
from monitor.simulate.venues.uniswap.pools import USDC, WETH, V3Pool
from monitor.simulate.wire.faults import Dice

DEADLINE_S = 10
V3_USDC_WETH = "0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640"
V3_WBTC_WETH = "0xCBCdF9626bC03E24f779434178A73a0B4bad62eD"
V2_USDC_WETH = "0xB4e16d0168e52d35CaCD2c6185b44281Ec28C9Dc"
V2_SWAP = "0xd78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822"
V3_SWAP = "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67"
SLOT0, LIQUIDITY, RESERVES = "0x3850c7bd", "0x1a686502", "0x0902f1ac"
TOKEN0, TOKEN1, FEE, DECIMALS, SYMBOL = (
    "0x0dfe1681",
    "0xd21220a7",
    "0xddca3f43",
    "0x313ce567",
    "0x95d89b41",
)


class Node:
    """A JSON-RPC client."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, body: Any) -> Any:
        response = requests.post(self.url, json=body, timeout=DEADLINE_S)
        assert response.status_code == 200
        return response.json()

    def answer(self, method: str, *params: Any) -> Any:
        return self.post({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})

    def ask(self, method: str, *params: Any) -> Any:
        return self.answer(method, *params)["result"]

    def head(self) -> int:
        return int(self.ask("eth_blockNumber"), 16)

    def call(self, to: str, data: str, block: int) -> list[int]:
        text = self.ask("eth_call", {"to": to, "data": data}, hex(block))
        return words(text)

    def logs(self, first: int, last: int, **more: Any) -> list[Any]:
        span = {"fromBlock": hex(first), "toBlock": hex(last)}
        return self.ask("eth_getLogs", {**span, **more})


def words(text: str) -> list[int]:
    """Read the 32-byte words of an answer, as signed numbers."""
    digits = text.removeprefix("0x")
    assert len(digits) % 64 == 0
    found = [int(digits[at : at + 64], 16) for at in range(0, len(digits), 64)]
    return [word - 2**256 if word >= 2**255 else word for word in found]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(["binance", "uniswap"]) as running:
        yield running


@pytest.fixture(scope="module")
def node(simulator: Simulator) -> Node:
    return Node(simulator.http_url("uniswap"))


def test_blocks_follow_each_other_second_by_second(node):
    assert node.ask("eth_chainId") == "0x1"
    head = node.head()
    parent, block = (node.ask("eth_getBlockByNumber", hex(n), False) for n in (head - 1, head))
    assert block["number"] == hex(head)
    assert block["parentHash"] == parent["hash"]
    assert int(block["timestamp"], 16) == int(parent["timestamp"], 16) + 1
    later = until(lambda: (now := node.head()) > head and now, "another block")
    assert node.ask("eth_getBlockByNumber", hex(later), False)["hash"] != block["hash"]
    safe = node.ask("eth_getBlockByNumber", "safe", False)
    final = node.ask("eth_getBlockByNumber", "finalized", False)
    assert int(final["number"], 16) < int(safe["number"], 16) < later


@pytest.mark.parametrize(
    ("pool", "names", "decimals", "fee"),
    [
        (V3_USDC_WETH, ["USDC", "WETH"], [6, 18], 500),
        (V3_WBTC_WETH, ["WBTC", "WETH"], [8, 18], 3000),
        (V2_USDC_WETH, ["USDC", "WETH"], [6, 18], None),
    ],
)
def test_pools_and_tokens_are_those_of_the_main_network(node, pool, names, decimals, fee):
    head = node.head()
    tokens = [f"0x{node.call(pool, selector, head)[0]:040x}" for selector in (TOKEN0, TOKEN1)]
    assert [node.call(token, DECIMALS, head)[0] for token in tokens] == decimals
    for token, name in zip(tokens, names, strict=True):
        offset, size, text = node.call(token, SYMBOL, head)
        assert (offset, size) == (32, len(name))
        assert text.to_bytes(32, "big").rstrip(b"\0") == name.encode()
    if fee is not None:
        assert node.call(pool, FEE, head) == [fee]


def test_the_price_of_slot0_is_that_of_the_index_and_of_the_documented_arithmetic(node):
    block = node.head() - 5
    root, tick, *_, unlocked = node.call(V3_USDC_WETH, SLOT0, block)
    usd_1e9 = (10 ** (9 + 18 - 6) << 192) // (root * root)
    assert unlocked == 1
    raw = Decimal(root * root) / Decimal(2**192)
    assert tick == math.floor(raw.ln() / Decimal("1.0001").ln())
    pool = graph(
        node,
        V3,
        f'{{ pool(id:"{V3_USDC_WETH.lower()}", block:{{number:{block}}}) {{ token0Price '
        "token1Price sqrtPrice tick feeTier liquidity } }",
    )["data"]["pool"]
    assert (pool["sqrtPrice"], pool["tick"], pool["feeTier"]) == (str(root), str(tick), "500")
    assert pool["liquidity"] == str(node.call(V3_USDC_WETH, LIQUIDITY, block)[0])
    # token0Price is how much of token0 one of token1 costs: USDC for a WETH.
    assert int(Decimal(pool["token0Price"]) * 10**9) == usd_1e9
    assert Decimal(pool["token0Price"]) * Decimal(pool["token1Price"]) == pytest.approx(1)
    assert 2000 < usd_1e9 / 1e9 < 3000


def test_the_documented_vector_of_a_square_root_price_gives_its_tick():
    root = 1252707241875239655932069007848031
    pool = V3Pool(V3_USDC_WETH, USDC, WETH, 500, root, 1)
    assert words(pool.calls()[SLOT0])[:2] == [root, 193379]
    assert pool.raw() == pytest.approx(2.5e8)


def test_ether_costs_here_what_it_costs_elsewhere(simulator, node):
    url = simulator.http_url("binance") + "/api/v3/ticker/bookTicker?symbol=ETHUSDT"
    book = requests.get(url, timeout=DEADLINE_S).json()
    elsewhere = (float(book["bidPrice"]) + float(book["askPrice"])) / 2
    head = node.head()
    reserve0, reserve1, moved_s = node.call(V2_USDC_WETH, RESERVES, head)
    assert reserve0 / reserve1 * 1e12 == pytest.approx(elsewhere, rel=2e-3)
    root = node.call(V3_USDC_WETH, SLOT0, head)[0]
    assert (2**96 / root) ** 2 * 1e12 == pytest.approx(elsewhere, rel=2e-3)
    assert 0 < moved_s <= int(node.ask("eth_getBlockByNumber", hex(head), False)["timestamp"], 16)


def test_pools_follow_the_common_walk_wherever_it_goes():
    start_ns = 1_790_000_000_000_000_000
    walks = {"ETH": Walk(2450.0, "eth"), "BTC": Walk(68_000.0, "btc")}
    chain = Chain(walks, 1, Dice([], "", 0), Counter(), start_ns)
    prices = []
    for second in range(1, 2000):
        chain.tick(start_ns + second * 10**9)
        price = walks["ETH"].at(start_ns + second * 10**9)
        prices.append(price)
        root = chain.head.pools[V3_USDC_WETH.lower()].sqrt_price
        # USDC is worth 0.9999 dollars.
        assert (2**96 / root) ** 2 * 1e12 * 0.9999 == pytest.approx(price, rel=2e-3)
    assert max(prices) / min(prices) > 1.003


def test_v2_swaps_lead_from_the_reserves_before_to_those_after(node):
    last = node.head()
    first = last - 60
    r0, r1, _ = node.call(V2_USDC_WETH, RESERVES, first)
    swaps = node.logs(first + 1, last, address=V2_USDC_WETH, topics=[V2_SWAP])
    assert swaps
    for swap in swaps:
        in0, in1, out0, out1 = words(swap["data"])
        if in0:
            assert (in1, out0) == (0, 0)
            assert out1 == in0 * 997 * r1 // (r0 * 1000 + in0 * 997)
        else:
            assert (out1, in0) == (0, 0)
            assert out0 == in1 * 997 * r0 // (r1 * 1000 + in1 * 997)
        r0, r1 = r0 + in0 - out0, r1 + in1 - out1
    assert node.call(V2_USDC_WETH, RESERVES, last)[:2] == [r0, r1]


@pytest.mark.parametrize(("pool", "fee"), [(V3_USDC_WETH, 0.0005), (V3_WBTC_WETH, 0.003)])
def test_v3_swaps_pay_between_the_prices_before_and_after_plus_the_fee(node, pool, fee):
    last = node.head()
    first = last - 60
    root, liquidity = node.call(pool, SLOT0, first)[0], node.call(pool, LIQUIDITY, first)[0]
    swaps = node.logs(first + 1, last, address=[pool], topics=[[V3_SWAP]])
    assert swaps
    for swap in swaps:
        amount0, amount1, after, depth, _ = words(swap["data"])
        assert depth == liquidity
        # Positive is paid into the pool: paying token0 in presses its price.
        assert (amount0 > 0) == (amount1 < 0) == (after < root)
        low, high = sorted(((root / 2**96) ** 2, (after / 2**96) ** 2))
        paid = -amount1 / amount0
        # Whoever pays in token0 gets less of token1 for it, and the other way round.
        net = paid / (1 - fee) if amount0 > 0 else paid * (1 - fee)
        # Amounts are whole units: of WBTC that is few digits.
        rounding = 3 / abs(amount0)
        assert low * (1 - rounding) <= net <= high * (1 + rounding)
        root = after
    assert node.call(pool, SLOT0, last)[0] == root


def test_logs_are_found_by_address_and_topic_and_stand_in_their_blocks(node):
    last = node.head()
    logs = node.logs(last - 20, last)
    assert {log["topics"][0] for log in logs} >= {V2_SWAP, V3_SWAP}
    assert node.logs(last - 20, last, topics=[None, None, None]) == [
        log for log in logs if len(log["topics"]) == 3
    ]
    assert node.logs(last - 20, last, topics=[V3_SWAP]) == [
        log for log in logs if log["topics"][0] == V3_SWAP
    ]
    keys = [(log["transactionHash"], log["logIndex"]) for log in logs]
    assert len(set(keys)) == len(keys)
    for log in logs[:5]:
        block = node.ask("eth_getBlockByNumber", log["blockNumber"], False)
        assert log["blockHash"] == block["hash"]
        assert log["transactionHash"] in block["transactions"]
        assert log["removed"] is False


def test_what_a_node_cannot_answer_has_the_documented_code(node):
    head = node.head()
    far = hex(head + 1000)
    call = {"to": V3_USDC_WETH, "data": SLOT0}
    assert node.ask("eth_call", {"to": "0x" + "12" * 20, "data": SLOT0}, "latest") == "0x"
    assert node.ask("eth_getBlockByNumber", far, False) is None
    errors = {
        -32601: ("eth_nope",),
        -32602: ("eth_call", call, "yesterday"),
        -32005: ("eth_getLogs", {"fromBlock": hex(head - 200), "toBlock": "latest"}),
        -32000: ("eth_call", call, far),
        3: ("eth_call", {"to": V3_USDC_WETH, "data": RESERVES}, "latest"),
    }
    for code, (method, *params) in errors.items():
        answer = node.answer(method, *params)
        assert (answer["id"], answer["error"]["code"]) == (7, code)
    response = requests.post(node.url + "/", data="{", timeout=DEADLINE_S)
    assert response.json()["error"]["code"] == -32700
    assert node.post([])["error"]["code"] == -32600


def test_answers_to_a_batch_come_in_any_order(node):
    batch = [{"jsonrpc": "2.0", "id": number, "method": "eth_blockNumber"} for number in range(20)]
    found = [answer["id"] for answer in node.post(batch)]
    assert sorted(found) == list(range(20))
    assert found != list(range(20))


V2, V3 = (
    "A3Np3RQbaBA6oKJgiwDJeo5T3zrYfGHPWFYayMwtNDum",
    "5zvR82QoaXYFyDEKLZ9t6v9adgnptxYpKpSbxtgVENFV",
)


def graph(node: Node, subgraph: str, query: str, **variables: Any) -> Any:
    body = {"query": query, "variables": variables}
    return Node(f"{node.url}/subgraphs/id/{subgraph}").post(body)


def test_the_documented_query_is_answered_in_one(node):
    query = """{ _meta{block{number timestamp hash} hasIndexingErrors}
      pool(id:"0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640"){ token0{symbol decimals}
        token1{symbol decimals} feeTier liquidity sqrtPrice tick token0Price token1Price }
      swaps(first:100, orderBy:timestamp, orderDirection:desc,
            where:{pool:"0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640"}){
        id timestamp amount0 amount1 sqrtPriceX96 tick logIndex } }"""
    data = graph(node, V3, query)["data"]
    block = node.ask("eth_getBlockByNumber", hex(data["_meta"]["block"]["number"]), False)
    assert data["_meta"]["block"]["hash"] == block["hash"]
    assert data["_meta"]["block"]["timestamp"] == int(block["timestamp"], 16)
    assert data["pool"]["token0"] == {"symbol": "USDC", "decimals": "6"}
    times = [int(swap["timestamp"]) for swap in data["swaps"]]
    assert times == sorted(times, reverse=True)
    last = data["swaps"][0]
    assert last["sqrtPriceX96"] == data["pool"]["sqrtPrice"]
    assert Decimal(last["amount0"]) * Decimal(last["amount1"]) < 0


def test_pairs_have_human_reserves_and_ids_are_lower_case(node):
    query = "query P($id: ID!) { one: pair(id: $id) { reserve0 reserve1 token0Price } }"
    pair = graph(node, V2, query, id=V2_USDC_WETH.lower())["data"]["one"]
    price = Decimal(pair["reserve0"]) / Decimal(pair["reserve1"])
    assert Decimal(pair["token0Price"]) == pytest.approx(price)
    assert graph(node, V2, query, id=V2_USDC_WETH) == {"data": {"one": None}}
    pools = graph(
        node, V3, "query($ids: [ID!]) { pools(where: {id_in: $ids}) { id } }",
        ids=[V3_WBTC_WETH.lower(), V2_USDC_WETH.lower()],
    )  # fmt: skip
    assert pools == {"data": {"pools": [{"id": V3_WBTC_WETH.lower()}]}}


@pytest.mark.parametrize(
    ("subgraph", "query"),
    [
        ("nope", "{_meta{block{number}}}"),
        (V3, "{pools{id}"),
        (V3, "{nope{id}}"),
        (V3, "{pools{nope}}"),
        (V3, "{pools(where:{volume_gt:1}){id}}"),
    ],
)
def test_errors_of_an_index_come_with_success(node, subgraph, query):
    (error,) = graph(node, subgraph, query)["errors"]
    assert error["message"]


def test_only_posts_are_answered(simulator, node):
    assert requests.get(node.url, timeout=DEADLINE_S).status_code == 405
    assert requests.post(node.url + "/nope", json={}, timeout=DEADLINE_S).status_code == 404
    with pytest.raises(websocket.WebSocketBadStatusException, match="404"):
        websocket.create_connection(simulator.ws_url("uniswap"), timeout=DEADLINE_S)


def test_a_head_that_goes_back_takes_the_state_with_it():
    with Simulator(["uniswap"], faults=["head-back:0.5"]) as running:
        node = Node(running.http_url("uniswap"))
        batch = [
            {"id": 0, "method": "eth_blockNumber"},
            {"id": 1, "method": "eth_getBlockByNumber", "params": ["latest", False]},
        ]
        heads = []
        for _ in range(40):
            answers = {answer["id"]: answer["result"] for answer in node.post(batch)}
            assert answers[0] == answers[1]["number"]
            heads.append(int(answers[0], 16))
    # It comes back with the next answer that the fault spares.
    steps = {b - a for a, b in pairwise(heads)}
    assert min(steps) < 0 < max(steps)


def test_a_reorganisation_changes_hashes_and_removes_logs():
    with Simulator(["uniswap"], faults=["reorg@2"]) as running:
        node = Node(running.http_url("uniswap"))
        seen: dict[tuple[str, str], Any] = {}

        def removed() -> list[Any]:
            head = node.head()
            logs = node.logs(head - 5, head)
            gone = [log for log in logs if log["removed"]]
            seen.update({(x["transactionHash"], x["logIndex"]): x for x in logs if x not in gone})
            return gone

        gone = until(removed, "removed logs", DEADLINE_S)
        for log in gone:
            before = seen[log["transactionHash"], log["logIndex"]]
            assert {**before, "removed": True} == log
            block = node.ask("eth_getBlockByNumber", log["blockNumber"], False)
            assert block["hash"] != log["blockHash"]
        head = node.head()
        blocks = [
            node.ask("eth_getBlockByNumber", hex(n), False) for n in range(head - 8, head + 1)
        ]
        assert [b["parentHash"] for b in blocks[1:]] == [b["hash"] for b in blocks[:-1]]


def test_faults_of_graphql_and_of_http_are_told_apart():
    with Simulator(["uniswap"], faults=["graphql-error:1"]) as running:
        node = Node(running.http_url("uniswap"))
        answer = graph(node, V3, "{_meta{block{number}}}")
        assert answer["data"] is None
        assert answer["errors"][0]["message"]
        assert node.head() > 0
    with Simulator(["uniswap"], faults=["http-429:1"]) as running:
        url = running.http_url("uniswap")
        response = requests.post(url, json={"id": 1, "method": "eth_chainId"}, timeout=DEADLINE_S)
        assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
        assert response.json()["error"]["code"] == -32005
