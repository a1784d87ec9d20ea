"""Quote assets that the user treats as another, such as USDT as USD; none by default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# By asset, the one that it is taken for.
TakenFor = Mapping[str, str]


def asset(symbol: str) -> str:
    """Return the quote asset of a symbol, without what tells markets of one pair apart."""
    return symbol.partition("-")[2].partition("@")[0]


def compared(symbol: str, taken_for: TakenFor) -> str:
    """Return the symbol under which an instrument is held against others."""
    return quoted_in(symbol, taken_for.get(asset(symbol), ""))


def quoted_in(symbol: str, other: str) -> str:
    """Return the symbol with another quote asset, or as it is if that is empty."""
    base, _, rest = symbol.partition("-")
    return f"{base}-{other}{rest.removeprefix(asset(symbol))}" if other else symbol


def told(symbol: str, taken_for: TakenFor) -> str:
    """Say that an instrument's quote asset is taken for another, if it is."""
    found = asset(symbol)
    return f"{found} as {taken_for[found]}" if found in taken_for else ""


def compound(symbols: Iterable[str], symbol: str, taken_for: TakenFor) -> str:
    """Name what is held against each other under a symbol, saying what is taken for what."""
    one = compared(symbol, taken_for)
    mine = [other for other in symbols if compared(other, taken_for) == one]
    taken = sorted({text for other in mine if (text := told(other, taken_for))})
    return f"{one} incl. {', '.join(taken)}" if taken else symbol


def check(taken_for: dict[str, str]) -> dict[str, str]:
    """Tell by ValueError of an asset that could be meant in two ways."""
    for found, other in taken_for.items():
        if found == other or other in taken_for:
            raise ValueError(
                f"expected {other} to be taken for no other asset, "
                f"found {found} taken for it and it for {taken_for[other]}"
            )
    return taken_for
