"""Parse sources as users write them: `venue:SYMBOL[+channel…]`."""

from __future__ import annotations

from typing import NamedTuple

from monitor._rust_feed import venues


class Source(NamedTuple):
    """A source: a symbol, canonical or in the venue's spelling, or a pattern with `*`.

    Without channels it has all of the venue's; without a mode (`auto`, `ws`, `rest`), a poll
    interval or a number of connections it uses the venue's settings.
    """

    venue: str
    symbol: str
    channels: tuple[str, ...] = ()
    mode: str | None = None
    interval_s: float | None = None
    connections: int | None = None

    def __str__(self) -> str:
        return "+".join((f"{self.venue}:{self.symbol}", *self.channels))


def parse(text: str) -> Source:
    """Parse `venue:SYMBOL[+channel…]`; ValueError says what was expected and what was found."""
    venue, colon, rest = text.partition(":")
    known = venues()
    if not colon or not rest:
        raise ValueError(f"expected venue:SYMBOL[+channel…], found {text!r}")
    if venue not in known:
        raise ValueError(f"expected one of the venues {', '.join(known)}, found {venue!r}")
    symbol, *channels = rest.split("+")
    if not symbol or not all(char.isalnum() or char in "-/._@:*" for char in symbol):
        raise ValueError(f"expected a symbol such as BTC-USDT, found {symbol!r}")
    for channel in channels:
        if channel not in known[venue]["channels"]:
            offered = ", ".join(known[venue]["channels"])
            raise ValueError(f"expected a channel of {venue} ({offered}), found {channel!r}")
    return Source(venue, symbol, tuple(channels))
