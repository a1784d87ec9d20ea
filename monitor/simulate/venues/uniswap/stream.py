"""Uniswap as the simulated exchange speaks it: a node's JSON-RPC, and subgraphs in GraphQL."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from monitor.simulate.market.market import Walk
from monitor.simulate.venues.uniswap import rpc, subgraph
from monitor.simulate.venues.uniswap.chain import Block, Chain
from monitor.simulate.venues.venue import Answer, Polled, answer
from monitor.simulate.wire.faults import Dice
from monitor.simulate.wire.wire_format import SECOND_NS

BACK_BLOCKS = 3
BATCH_MAX = 100

# With the key in the path, in a header, or without one.
_SUBGRAPH = re.compile(r"(?:/api(?:/\w+)?)?/subgraphs/id/(\w+)")


class Uniswap(Polled):
    """The venue: one chain, asked as a node or as an index of it."""

    def __init__(
        self,
        walks: Mapping[str, Walk],
        seed: int,
        dice: Dice,
        struck: Counter[str],
        now_ns: int,
    ) -> None:
        self._dice = dice
        self._random = random.Random(f"{seed}/uniswap/batches")
        self._chain = Chain(walks, seed, self._dice, struck, now_ns)
        self._struck = struck
        self._told: int | None = None

    def tick(self, now_ns: int) -> None:
        self._chain.tick(now_ns)

    def rest(self, path: str, query: Mapping[str, str], now_ns: int) -> Answer:
        return answer({"error": "expected a POST request, found another"}, 405, {"Allow": "POST"})

    def post(self, path: str, body: str, now_ns: int) -> Answer:
        if path in ("", "/"):
            return answer(self._rpc(body, now_ns))
        if (found := _SUBGRAPH.fullmatch(path)) is None:
            return answer({"error": f"no resource {path}"}, 404)
        if self._dice.strikes(["graphql-error"], now_ns / SECOND_NS):
            self._struck["graphql-error"] += 1
            return answer({"errors": [{"message": "indexing_error"}], "data": None})
        return answer(subgraph.execute(self._chain, found[1], body))

    def fault(self, status: int) -> Answer:
        headers = {"Retry-After": "1"} if status in (418, 429) else {}
        reason = "rate limit exceeded" if status == 429 else f"refused with {status}"
        error = {"code": rpc.LIMITED, "message": reason}
        return answer({"jsonrpc": "2.0", "id": None, "error": error}, status, headers)

    def _rpc(self, body: str, now_ns: int) -> Any:
        try:
            asked = json.loads(body)
        except ValueError:
            return rpc.failure(rpc.UNREADABLE, "parse error")
        requests = asked if isinstance(asked, list) else [asked]
        if not requests or len(requests) > BATCH_MAX:
            found = f"expected 1 to {BATCH_MAX} requests, found {len(requests)}"
            return rpc.failure(rpc.INVALID, found)
        head = self._head(any(rpc.asks_head(item) for item in requests), now_ns)
        answers = [rpc.execute(self._chain, head, item) for item in requests]
        if not isinstance(asked, list):
            return answers[0]
        # Whoever matches them by place and not by id shall notice.
        self._random.shuffle(answers)
        return answers

    def _head(self, asked: bool, now_ns: int) -> Block:
        """Return the head as this request shall see it: by a fault, older than one told before."""
        head = self._chain.head
        told = self._told
        if asked and told and self._dice.strikes(["head-back"], now_ns / SECOND_NS):
            self._struck["head-back"] += 1
            back = told - 1 - self._dice.below(BACK_BLOCKS)
            return self._chain.at(back) or self._chain.blocks[0]
        if asked:
            self._told = head.number
        return head
