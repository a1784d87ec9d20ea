"""Ethereum's JSON-RPC over the simulated chain: what Uniswap's prices and trades are read with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monitor.simulate.venues.uniswap.chain import Block, Chain, Log
from monitor.simulate.venues.uniswap.pools import TOKENS

CHAIN_ID = 1
SAFE_BLOCKS, FINAL_BLOCKS = 32, 64
LOG_BLOCKS_MAX = 100

UNREADABLE, INVALID, UNKNOWN_METHOD, BAD_PARAMS = -32700, -32600, -32601, -32602
LIMITED, FAILED, REVERTED = -32005, -32000, 3

_TOKENS = {token.address.lower(): token.calls() for token in TOKENS}


def execute(chain: Chain, head: Block, request: Any) -> dict[str, Any]:
    """Answer one request as a node would whose head is `head`."""
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        return failure(INVALID, "invalid request")
    number, method = request.get("id"), request["method"]
    if method not in _METHODS:
        text = f"the method {method} does not exist/is not available"
        return failure(UNKNOWN_METHOD, text, number)
    params = request.get("params", [])
    try:
        if not isinstance(params, list):
            raise ValueError(f"expected params to be a list, found {params!r}")
        found = _METHODS[method](chain, head, params)
    except ValueError as error:
        return failure(BAD_PARAMS, str(error), number)
    except _Refused as refused:
        return failure(refused.code, str(refused), number)
    return {"jsonrpc": "2.0", "id": number, "result": found}


def failure(code: int, message: str, number: Any = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}


def asks_head(request: Any) -> bool:
    """Tell whether the answer shows where the chain's head is."""
    if not isinstance(request, dict):
        return False
    params = request.get("params")
    return request.get("method") == "eth_blockNumber" or (
        isinstance(params, list) and "latest" in params
    )


class _Refused(Exception):  # noqa: N818
    """What a node answers with an error although the request was understood."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def _get_block(chain: Chain, head: Block, params: list[Any]) -> dict[str, Any] | None:
    tag, _ = _two(params)
    block = chain.at(_number(head, tag))
    if block is None or block.number > head.number:
        return None
    return {
        "number": hex(block.number),
        "hash": block.hash,
        "parentHash": block.parent,
        "timestamp": hex(block.at_s),
        "baseFeePerGas": hex(1_000_000_000),
        "gasLimit": hex(60_000_000),
        "gasUsed": hex(150_000 * len(block.logs)),
        "transactions": list(dict.fromkeys(log.tx_hash for log in block.logs)),
    }


def _call(chain: Chain, head: Block, params: list[Any]) -> str:
    call, tag = _two([*params, "latest"][:2])
    data = call.get("data", call.get("input")) if isinstance(call, dict) else None
    if not isinstance(data, str) or not isinstance(call.get("to"), str):
        raise ValueError("expected a call with to and data, found none")
    block = chain.at(_number(head, tag))
    if block is None or block.number > head.number:
        raise _Refused(FAILED, "header not found")
    address, selector = call["to"].lower(), data[:10].lower()
    pool = block.pools.get(address)
    functions = _TOKENS.get(address) if pool is None else pool.calls()
    if functions is None:
        return "0x"
    if selector not in functions:
        raise _Refused(REVERTED, "execution reverted")
    return "0x" + functions[selector]


def _get_logs(chain: Chain, head: Block, params: list[Any]) -> list[dict[str, Any]]:
    if len(params) != 1 or not isinstance(params[0], dict):
        raise ValueError("expected one filter, found none")
    wanted = params[0]
    first = _number(head, wanted.get("fromBlock", "latest"))
    last = min(_number(head, wanted.get("toBlock", "latest")), head.number)
    if last - first >= LOG_BLOCKS_MAX:
        text = f"query returned more than 10000 results. Try with at most {LOG_BLOCKS_MAX} blocks"
        raise _Refused(LIMITED, text)
    addresses = {text.lower() for text in _alternatives(wanted.get("address"))}
    places = wanted.get("topics") or []
    if not isinstance(places, list):
        raise ValueError(f"expected topics to be a list, found {places!r}")
    topics = [_alternatives(place) for place in places]
    return [
        _written(log, removed)
        for log, removed in chain.logs(first, last)
        if (not addresses or log.emitted.address.lower() in addresses)
        and len(topics) <= len(log.emitted.topics)
        and all(
            not some or topic in some
            for some, topic in zip(topics, log.emitted.topics, strict=False)
        )
    ]


def _alternatives(some: Any) -> list[str]:
    """Read a filter's place: nothing, one text or several."""
    found = [] if some is None else some if isinstance(some, list) else [some]
    if not all(isinstance(text, str) for text in found):
        raise ValueError(f"expected texts in a filter, found {found!r}")
    return found


def _written(log: Log, removed: bool) -> dict[str, Any]:
    return {
        "address": log.emitted.address.lower(),
        "topics": list(log.emitted.topics),
        "data": "0x" + log.emitted.data,
        "blockNumber": hex(log.number),
        "blockHash": log.block_hash,
        "transactionHash": log.tx_hash,
        "transactionIndex": hex(log.tx_place),
        "logIndex": hex(log.place),
        "removed": removed,
    }


def _two(params: list[Any]) -> tuple[Any, Any]:
    if len(params) != 2:
        raise ValueError(f"expected 2 params, found {len(params)}")
    return params[0], params[1]


def _number(head: Block, tag: Any) -> int:
    """Return the number of the block that a tag or a hexadecimal number means."""
    match tag:
        case "latest" | "pending":
            return head.number
        case "safe":
            return head.number - SAFE_BLOCKS
        case "finalized":
            return head.number - FINAL_BLOCKS
        case "earliest":
            return 0
    if not isinstance(tag, str) or not tag.startswith("0x"):
        raise ValueError(f"expected a block's hexadecimal number or tag, found {tag!r}")
    return int(tag, 16)


_METHODS: dict[str, Callable[[Chain, Block, list[Any]], Any]] = {
    "eth_chainId": lambda chain, head, params: hex(CHAIN_ID),
    "eth_blockNumber": lambda chain, head, params: hex(head.number),
    "eth_getBlockByNumber": _get_block,
    "eth_call": _call,
    "eth_getLogs": _get_logs,
}
