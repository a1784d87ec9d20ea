"""Uniswap pools: prices from chain state and from the subgraph, with the fee as the spread."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

from .capture import Record
from .row import REST, SYNTHETIC, Row, quote

SLOT0, GET_RESERVES, AGGREGATE = "3850c7bd", "0902f1ac", "252dba42"

# What a price is stated in, first match first; a pool of none of these states token1.
QUOTE_ASSETS = ["USDT", "USDC", "DAI", "ETH", "BTC"]
ALIASES = {"WETH": "ETH", "WBTC": "BTC"}


class Pool(NamedTuple):
    version: str
    fee: int
    token0: str
    token1: str
    decimals0: int
    decimals1: int


# The chain's answers name neither symbols nor decimals: these two pools are the documented ones.
POOLS = {
    "b4e16d0168e52d35cacd2c6185b44281ec28c9dc": Pool("v2", 3000, "USDC", "WETH", 6, 18),
    "88e6a0c2ddd26feeb64f039a2c41296fcb3f5640": Pool("v3", 500, "USDC", "WETH", 6, 18),
}


class Decoder:
    def rows(self, record: Record) -> Iterator[Row]:
        body = record.frame()
        for item in (body.get("data") or {}).get("pools", []):
            pool = Pool(
                "v3",
                int(item["feeTier"]),
                item["token0"]["symbol"],
                item["token1"]["symbol"],
                int(item["token0"]["decimals"]),
                int(item["token1"]["decimals"]),
            )
            # The subgraph's token1Price is the price of token0 in token1.
            yield from _quote(pool, Decimal(item["token1Price"]), None)
        for address, call, answer, block in states(record):
            if address in POOLS and call in (SLOT0, GET_RESERVES):
                pool = POOLS[address]
                yield from _quote(pool, mid(pool, call, answer), block)


class State(NamedTuple):
    address: str
    selector: str
    answer: list[int]
    block: int | None


def states(record: Record) -> Iterator[State]:
    """Yield what each contract answered to each call of a JSON-RPC record, batched or not."""
    request, body = _request(record), record.frame()
    if request is None or "result" not in body:
        return
    address, data = request
    result = bytes.fromhex(body["result"][2:])
    if data[:4].hex() == AGGREGATE:
        arguments = _words(data[4:])
        start = arguments[0] // 32 + 1
        block, answers = _word(result, 0), _word(result, 32) + 32
        for index in range(arguments[start - 1]):
            call = 4 + start * 32 + arguments[start + index]
            payload = call + _word(data, call + 32)
            answer = answers + _word(result, answers + index * 32)
            length = _word(result, answer)
            yield State(
                data[call + 12 : call + 32].hex(),
                data[payload + 32 : payload + 36].hex(),
                _words(result[answer + 32 : answer + 32 + length]),
                block,
            )
    else:
        yield State(address, data[:4].hex(), _words(result), None)


def mid(pool: Pool, selector: str, answer: list[int]) -> Decimal:
    """Return the price of token0 in token1 from slot0() or getReserves()."""
    with localcontext() as context:
        context.prec = 100
        if selector == SLOT0:
            raw = Decimal(answer[0]) ** 2 / Decimal(2) ** 192
        else:
            raw = Decimal(answer[1]) / Decimal(answer[0])
        return raw.scaleb(pool.decimals0 - pool.decimals1)


def _quote(pool: Pool, price: Decimal, block: int | None) -> list[Row]:
    base, quote_asset = (ALIASES.get(token, token) for token in (pool.token0, pool.token1))
    if _rank(base) < _rank(quote_asset):
        base, quote_asset, price = quote_asset, base, 1 / price
    kept = 1 - Decimal(pool.fee) / 10**6
    symbol = f"{base}-{quote_asset}@{pool.version}"
    return quote(
        f"{symbol}-{pool.fee}" if pool.version == "v3" else symbol,
        (price * kept, None),
        (price / kept, None),
        seq=block,
        flags=REST | SYNTHETIC,
        origin="synthetic",
    )


def _rank(asset: str) -> int:
    return QUOTE_ASSETS.index(asset) if asset in QUOTE_ASSETS else len(QUOTE_ASSETS)


def _request(record: Record) -> tuple[str, bytes] | None:
    asked: Any = record.query()
    if record.request is not None:
        asked = record.request["params"][0]
    if not isinstance(asked, dict) or not {"to", "data"} <= asked.keys():
        return None
    return asked["to"][2:].lower(), bytes.fromhex(asked["data"][2:])


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 32], "big")


def _words(data: bytes) -> list[int]:
    return [_word(data, at) for at in range(0, len(data), 32)]
