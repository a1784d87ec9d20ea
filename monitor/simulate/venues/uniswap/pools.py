"""Uniswap's pools as they stand at a block: what they answer to a call, what a swap does to them.

Addresses and decimals are those of the Ethereum main network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from monitor.simulate.market.listings import ASSETS, QUOTE_ASSETS

Q96 = 1 << 96
FEE_UNIT = 1_000_000
V2_SWAP = "0xd78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822"
V2_SYNC = "0x1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1"
V3_SWAP = "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67"
ROUTER = "0x66a9893cC07D91D95644AEDD05D03f95e1dBA8Af"

# Selectors of the functions that are answered.
SLOT0, LIQUIDITY, RESERVES = "0x3850c7bd", "0x1a686502", "0x0902f1ac"
TOKEN0, TOKEN1, FEE = "0x0dfe1681", "0xd21220a7", "0xddca3f43"
DECIMALS, SYMBOL = "0x313ce567", "0x95d89b41"


class Token(NamedTuple):
    """An ERC-20 token; `asset` is what it is worth."""

    address: str
    symbol: str
    name: str
    decimals: int
    asset: str

    def calls(self) -> dict[str, str]:
        """Return what its functions answer, by selector."""
        text = self.symbol.encode()
        symbol = words(32, len(text)) + text.hex().ljust(64, "0")
        return {DECIMALS: words(self.decimals), SYMBOL: symbol}


class Emitted(NamedTuple):
    """An event as a contract emits it."""

    address: str
    topics: tuple[str, ...]
    data: str


class Pool(Protocol):
    """A pool at one block; a swap gives the pool after it. Amounts are in the tokens' units."""

    @property
    def address(self) -> str: ...
    @property
    def token0(self) -> Token: ...
    @property
    def token1(self) -> Token: ...

    def raw(self) -> float:
        """Return the price of token0 in token1, in units."""

    def swap(self, raw: float, at_s: int) -> tuple[Pool, Sequence[Emitted]]:
        """Trade until the price is about `raw`."""

    def calls(self) -> dict[str, str]:
        """Return what its functions answer, by selector."""


class V3Pool(NamedTuple):
    """A v3 pool, all of its liquidity in one endless range."""

    address: str
    token0: Token
    token1: Token
    fee: int
    sqrt_price: int
    liquidity: int

    @property
    def tick(self) -> int:
        return math.floor(2 * math.log(self.sqrt_price / Q96) / math.log(1.0001))

    def raw(self) -> float:
        return (self.sqrt_price / Q96) ** 2

    def swap(self, raw: float, at_s: int) -> tuple[V3Pool, Sequence[Emitted]]:
        old, new = self.sqrt_price, int(math.sqrt(raw) * Q96)
        if new == old:
            return self, ()
        amount0 = self.liquidity * Q96 * abs(old - new) // (old * new)
        amount1 = self.liquidity * abs(old - new) // Q96
        # Positive is paid into the pool, and the fee is paid on that.
        if new < old:
            amount0, amount1 = self._with_fee(amount0), -amount1
        else:
            amount0, amount1 = -amount0, self._with_fee(amount1)
        after = self._replace(sqrt_price=new)
        data = words(amount0, amount1, new, self.liquidity, after.tick)
        return after, [Emitted(self.address, (V3_SWAP, _topic(ROUTER), _topic(ROUTER)), data)]

    def calls(self) -> dict[str, str]:
        return {
            SLOT0: words(self.sqrt_price, self.tick, 0, 1, 1, 0, 1),
            LIQUIDITY: words(self.liquidity),
            FEE: words(self.fee),
            **_tokens(self),
        }

    def _with_fee(self, amount: int) -> int:
        return -(-(amount + 1) * FEE_UNIT // (FEE_UNIT - self.fee))


class V2Pool(NamedTuple):
    """A v2 pair; its fee is 0.3 % of what is paid in."""

    address: str
    token0: Token
    token1: Token
    reserve0: int
    reserve1: int
    moved_s: int

    def raw(self) -> float:
        return self.reserve1 / self.reserve0

    def swap(self, raw: float, at_s: int) -> tuple[V2Pool, Sequence[Emitted]]:
        ratio = math.sqrt(self.raw() / raw)
        paid = out = (0, 0)
        if ratio > 1:
            amount = int(self.reserve0 * (ratio - 1))
            paid, out = (amount, 0), (0, _out(amount, self.reserve0, self.reserve1))
        else:
            amount = int(self.reserve1 * (1 / ratio - 1))
            paid, out = (0, amount), (_out(amount, self.reserve1, self.reserve0), 0)
        if not any(out):
            return self, ()
        after = self._replace(
            reserve0=self.reserve0 + paid[0] - out[0],
            reserve1=self.reserve1 + paid[1] - out[1],
            moved_s=at_s,
        )
        sync = words(after.reserve0, after.reserve1)
        topics = (V2_SWAP, _topic(ROUTER), _topic(ROUTER))
        return after, [
            Emitted(self.address, (V2_SYNC,), sync),
            Emitted(self.address, topics, words(*paid, *out)),
        ]

    def calls(self) -> dict[str, str]:
        reserves = words(self.reserve0, self.reserve1, self.moved_s)
        return {RESERVES: reserves, **_tokens(self)}


USDC = Token("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "USDC", "USD Coin", 6, "USDC")
WETH = Token("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", "WETH", "Wrapped Ether", 18, "ETH")
WBTC = Token("0x2260FAC5E5542a773Aa44fBCfeDf7C193bc2C599", "WBTC", "Wrapped BTC", 8, "BTC")
TOKENS = (USDC, WETH, WBTC)

_V3 = [
    ("0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640", USDC, WETH, 500, 40_000_000.0),
    ("0xCBCdF9626bC03E24f779434178A73a0B4bad62eD", WBTC, WETH, 3000, 25_000_000.0),
]
_V2 = [("0xB4e16d0168e52d35CaCD2c6185b44281Ec28C9Dc", USDC, WETH, 12_000_000.0)]


def opened(now_s: int) -> list[Pool]:
    """Return the pools at the assets' first prices; each side holds so many dollars."""
    pools: list[Pool] = []
    prices = {name: asset.price for name, asset in ASSETS.items()}
    for address, token0, token1, fee, usd in _V3:
        root = math.sqrt(raw_price(token0, token1, prices))
        liquidity = int(_units(token1, usd) / root)
        pools.append(V3Pool(address, token0, token1, fee, int(root * Q96), liquidity))
    for address, token0, token1, usd in _V2:
        reserve0 = int(_units(token0, usd))
        reserve1 = int(reserve0 * raw_price(token0, token1, prices))
        pools.append(V2Pool(address, token0, token1, reserve0, reserve1, now_s))
    return pools


def raw_price(token0: Token, token1: Token, prices: dict[str, float]) -> float:
    """Return the price of token0 in token1, in units, from the assets' prices in dollars."""
    worth0, worth1 = ((prices | QUOTE_ASSETS)[token.asset] for token in (token0, token1))
    return worth0 / worth1 * float(10.0 ** (token1.decimals - token0.decimals))


def words(*numbers: int) -> str:
    """Write numbers as the 32-byte words of the contracts' interface, negative ones too."""
    return "".join(f"{number % (1 << 256):064x}" for number in numbers)


def _units(token: Token, usd: float) -> float:
    worth = QUOTE_ASSETS[token.asset] if token.asset in QUOTE_ASSETS else ASSETS[token.asset].price
    return usd / worth * float(10**token.decimals)


def _out(paid: int, reserve_in: int, reserve_out: int) -> int:
    return paid * 997 * reserve_out // (reserve_in * 1000 + paid * 997)


def _tokens(pool: Pool) -> dict[str, str]:
    return {
        TOKEN0: words(int(pool.token0.address, 16)),
        TOKEN1: words(int(pool.token1.address, 16)),
    }


def _topic(address: str) -> str:
    return "0x" + words(int(address, 16))
