"""Quote assets that the user treats as another, such as USDT as USD; none by default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# Maps an asset to the one that it is treated as.
TakenFor = Mapping[str, str]


def asset(symbol: str) -> str:
    """Return the quote asset of a symbol, without the suffix that separates markets of one pair."""
    return symbol.partition("-")[2].partition("@")[0]


def compared(symbol: str, taken_for: TakenFor) -> str:
    """Return the symbol under which an instrument is compared with others."""
    return quoted_in(symbol, taken_for.get(asset(symbol), ""))


def quoted_in(symbol: str, other: str) -> str:
    """Return the symbol with another quote asset, or as it is if that is empty."""
    base, _, rest = symbol.partition("-")
    return f"{base}-{other}{rest.removeprefix(asset(symbol))}" if other else symbol


def told(symbol: str, taken_for: TakenFor) -> str:
    """Return a note if an instrument's quote asset is treated as another."""
    found = asset(symbol)
    return f"{found} as {taken_for[found]}" if found in taken_for else ""


def compound(symbols: Iterable[str], symbol: str, taken_for: TakenFor) -> str:
    """Name the compared quote assets of a symbol, and which is treated as which."""
    one = compared(symbol, taken_for)
    mine = [other for other in symbols if compared(other, taken_for) == one]
    taken = sorted({text for other in mine if (text := told(other, taken_for))})
    return f"{one} incl. {', '.join(taken)}" if taken else symbol


def check(taken_for: dict[str, str]) -> dict[str, str]:
    """Raise ValueError for an asset with two meanings."""
    for found, other in taken_for.items():
        if found == other or other in taken_for:
            raise ValueError(
                f"expected {other} to be taken for no other asset, "
                f"found {found} taken for it and it for {taken_for[other]}"
            )
    return taken_for
