"""The subgraphs of Uniswap v2 and v3 over the simulated chain, a little behind its head."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from decimal import Context, Decimal
from typing import Any

from monitor.simulate.venues.uniswap import graphql
from monitor.simulate.venues.uniswap.chain import Block, Chain, Log
from monitor.simulate.venues.uniswap.graphql import Field
from monitor.simulate.venues.uniswap.pools import Pool, Token, V2Pool, V3Pool

V2_ID = "A3Np3RQbaBA6oKJgiwDJeo5T3zrYfGHPWFYayMwtNDum"
V3_ID = "5zvR82QoaXYFyDEKLZ9t6v9adgnptxYpKpSbxtgVENFV"
BEHIND_BLOCKS = 2
FIRST, FIRST_MAX = 100, 1000

# As many digits as a subgraph's BigDecimal keeps.
_DIGITS = Context(prec=34)

Root = Callable[[Chain, Block, dict[str, Any]], Any]


def execute(chain: Chain, subgraph: str, body: str) -> dict[str, Any]:
    """Answer a query; errors are in the answer, which is always a success."""
    roots = _ROOTS.get(subgraph)
    try:
        if roots is None:
            raise ValueError(f"subgraph not found: {subgraph}")
        request = json.loads(body)
        query = request.get("query") if isinstance(request, dict) else None
        if not isinstance(query, str):
            raise ValueError("expected a query, found none")
        variables = request.get("variables") or {}
        if not isinstance(variables, dict):
            raise ValueError("expected variables to be an object, found none")
        fields = graphql.parse(query, variables)
        return {"data": {field.key: _root(chain, roots, field) for field in fields}}
    except ValueError as error:
        return {"errors": [{"message": str(error)}]}


def _root(chain: Chain, roots: dict[str, Root], field: Field) -> Any:
    if field.name not in roots:
        raise ValueError(f"Type `Query` has no field `{field.name}`")
    arguments = dict(field.arguments)
    number = _of_block(arguments.pop("block", {}))
    indexed = chain.blocks[-1 - BEHIND_BLOCKS]
    block = indexed if number is None else chain.at(number)
    if block is None or block.number > indexed.number:
        raise ValueError(f"expected a block up to {indexed.number}, found {number}")
    return graphql.select(roots[field.name](chain, block, arguments), field.fields, field.name)


def _of_block(argument: Any) -> int | None:
    number = argument.get("number") if isinstance(argument, dict) else argument
    if number is not None and not isinstance(number, int):
        raise ValueError(f"expected a block's number, found {number!r}")
    return number


def _meta(chain: Chain, block: Block, arguments: dict[str, Any]) -> dict[str, Any]:
    at = {"number": block.number, "timestamp": block.at_s, "hash": block.hash}
    return {"block": {**at, "parentHash": block.parent}, "hasIndexingErrors": False}


def _one(of: type[Pool], write: Callable[[Any], dict[str, Any]]) -> Root:
    def find(chain: Chain, block: Block, arguments: dict[str, Any]) -> dict[str, Any] | None:
        _only(arguments, {"id"})
        # As in any subgraph, ids are lower-case: others are not found.
        pool = block.pools.get(str(arguments.get("id")))
        return write(pool) if isinstance(pool, of) else None

    return find


def _many(of: type[Pool], write: Callable[[Any], dict[str, Any]]) -> Root:
    def find(chain: Chain, block: Block, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        where = _only(arguments, {"first", "where"}).get("where", {})
        _only(where, {"id", "id_in"})
        ids = where.get("id_in", [where["id"]] if "id" in where else list(block.pools))
        if not isinstance(ids, list):
            raise ValueError(f"expected id_in to be a list, found {ids!r}")
        found = [pool for key, pool in block.pools.items() if key in ids and isinstance(pool, of)]
        return [write(pool) for pool in found[: _first(arguments)]]

    return find


def _swaps(chain: Chain, block: Block, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    known = {"first", "where", "orderBy", "orderDirection"}
    where = _only(arguments, known).get("where", {})
    _only(where, {"pool"})
    if arguments.get("orderBy", "timestamp") != "timestamp":
        raise ValueError(f"expected orderBy timestamp, found {arguments['orderBy']}")
    swaps: Iterable[tuple[Block, Log, V3Pool]] = [
        (at, log, pool)
        for at in chain.blocks
        if at.number <= block.number
        for log in at.logs
        if isinstance(pool := at.pools[log.emitted.address.lower()], V3Pool)
        and where.get("pool", pool.address.lower()) == pool.address.lower()
    ]
    if arguments.get("orderDirection") == "desc":
        swaps = reversed(list(swaps))
    return [_swap(*swap) for swap in list(swaps)[: _first(arguments)]]


def _swap(block: Block, log: Log, pool: V3Pool) -> dict[str, Any]:
    data = log.emitted.data
    words = [int(data[at : at + 64], 16) for at in range(0, len(data), 64)]
    amount0, amount1, sqrt_price, _, tick = (
        word - (1 << 256) if word >> 255 else word for word in words
    )
    return {
        "id": f"{log.tx_hash}#{log.place}",
        "transaction": {"id": log.tx_hash, "blockNumber": str(block.number)},
        "timestamp": str(block.at_s),
        "pool": _pool(pool),
        "amount0": _human(amount0, pool.token0),
        "amount1": _human(amount1, pool.token1),
        "sqrtPriceX96": str(sqrt_price),
        "tick": str(tick),
        "logIndex": str(log.place),
    }


def _pool(pool: V3Pool) -> dict[str, Any]:
    square = Decimal(pool.sqrt_price * pool.sqrt_price)
    return {
        **_common(pool, square, Decimal(1 << 192)),
        "feeTier": str(pool.fee),
        "liquidity": str(pool.liquidity),
        "sqrtPrice": str(pool.sqrt_price),
        "tick": str(pool.tick),
    }


def _pair(pair: V2Pool) -> dict[str, Any]:
    return {
        **_common(pair, Decimal(pair.reserve1), Decimal(pair.reserve0)),
        "reserve0": _human(pair.reserve0, pair.token0),
        "reserve1": _human(pair.reserve1, pair.token1),
    }


def _common(pool: Pool, above: Decimal, below: Decimal) -> dict[str, Any]:
    """Write what all pools have; token0 costs `above / below` of token1, in units."""
    token0, token1 = pool.token0, pool.token1
    above = _DIGITS.scaleb(_DIGITS.plus(above), token0.decimals - token1.decimals)
    return {
        "id": pool.address.lower(),
        "token0": _token(token0),
        "token1": _token(token1),
        # The names mislead: how much of token0 for one of token1.
        "token0Price": _text(_DIGITS.divide(below, above)),
        "token1Price": _text(_DIGITS.divide(above, below)),
    }


def _token(token: Token) -> dict[str, str]:
    return {
        "id": token.address.lower(),
        "symbol": token.symbol,
        "name": token.name,
        "decimals": str(token.decimals),
    }


def _human(amount: int, token: Token) -> str:
    return _text(_DIGITS.scaleb(Decimal(amount), -token.decimals))


def _text(number: Decimal) -> str:
    return f"{number.normalize(_DIGITS):f}"


def _first(arguments: dict[str, Any]) -> int:
    first = arguments.get("first", FIRST)
    if not isinstance(first, int) or not 0 < first <= FIRST_MAX:
        raise ValueError(f"expected first from 1 to {FIRST_MAX}, found {first!r}")
    return first


def _only(arguments: Any, known: set[str]) -> dict[str, Any]:
    if not isinstance(arguments, dict) or not arguments.keys() <= known:
        raise ValueError(f"expected arguments of {', '.join(sorted(known))}, found {arguments}")
    return arguments


_ROOTS: dict[str, dict[str, Root]] = {
    V2_ID: {"_meta": _meta, "pair": _one(V2Pool, _pair), "pairs": _many(V2Pool, _pair)},
    V3_ID: {
        "_meta": _meta,
        "pool": _one(V3Pool, _pool),
        "pools": _many(V3Pool, _pool),
        "swaps": _swaps,
    },
}
