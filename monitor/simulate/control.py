"""The control resource of the simulated exchange: its faults and books under /_simulate.

`GET /_simulate` answers with the faults injected since the start, as JSON:
`{"faults": {"binance": {"gap": 3, "duplicate": 0, …}, …}, "tls": 0}`. Every venue has every name.
A message fault counts once per message it befell, a line fault or `flap` once per connection it
broke or whose end (`life`) it announced, an `http-` fault once per answer, `tls` once per
handshake begun with the wrong certificate
(a port speaks TLS before anybody says which venue is meant).

`GET /_simulate/strikes?venue=V` answers with the messages that faults befell, the oldest first, the
last 1000 of them: `[{"fault", "at_ns", "message", "overtaken_by", "sent"}, …]`. `message` is the
text as it was before the fault; `overtaken_by` is null but for `reorder`, which is told of when it
is done, and `sent`, what was left of the text, but for `corrupt`.

`GET /_simulate/book?venue=V&symbol=RAW` answers with the venue's own book at this moment:
`{"venue", "symbol", "sequence", "changed_ns", "bids": [[price, size], …], "asks": […]}`. Prices and
sizes are texts, best first, whole. `sequence` is the venue's number of that state (Binance: the
update id; Coinbase Exchange: the full feed's), null where it has none; `changed_ns` is the time of
the event that led to it, which Kraken's book messages carry.

`GET /_simulate/trades?venue=V&symbol=RAW` answers with the last 1000 trades of an instrument, the
oldest first: `[{"trade_id", "at_ns", "price", "size", "side"}, …]`; `side` is the aggressor's.

`POST /_simulate/cue?venue=V&cue=NAME` has a venue do what it otherwise does of its own accord:
- Binance, `stale-snapshot`: the next answer to each symbol's `depth` is the book of this moment,
  and comes a second late.
- Kraken, both versions, `maintenance`, `post_only`, `cancel_only` and `online`: it tells all
  connections that this is its system's status, and later ones when they open. Data go on.
- Coinbase Exchange, `slow-consumer`: it closes all connections as it does those that read too slow.

`POST /_simulate/calm` ends all faults: what comes from then on is as it should be.

None is ever befallen by a fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from monitor.simulate.market.market import Instrument
from monitor.simulate.venues.venue import Answer, Cued, Venue, answer
from monitor.simulate.wire import faults
from monitor.simulate.wire.client import Client, Strike
from monitor.simulate.wire.wire_format import decimal

PATH, BOOK_PATH, STRIKES_PATH = "/_simulate", "/_simulate/book", "/_simulate/strikes"
CUE_PATH, CALM_PATH = "/_simulate/cue", "/_simulate/calm"
TRADES_PATH = "/_simulate/trades"
PATHS = (PATH, BOOK_PATH, STRIKES_PATH, TRADES_PATH, CUE_PATH, CALM_PATH)
POSTED = (CUE_PATH, CALM_PATH)
# What befalls the port, not a venue.
TLS = "tls"


def told(struck: Mapping[str, Counter[str]], tls: int) -> Answer:
    """Tell how often which fault struck."""
    names = [name for name in faults.NAMES if name != TLS]
    return answer(
        {
            "faults": {
                venue: {name: counts[name] for name in names} for venue, counts in struck.items()
            },
            TLS: tls,
        }
    )


def strikes(struck: Mapping[str, Iterable[Strike]], venue: str) -> Answer:
    """Tell which messages of a venue faults befell."""
    if venue not in struck:
        known = ", ".join(struck)
        return _not_found(f"expected a venue of {known}, found {venue!r}")
    return answer([strike._asdict() for strike in struck[venue]])


def cue(venue: Venue | None, name: str, clients: Sequence[Client]) -> Answer:
    """Give a venue its cue."""
    known = venue.cues if isinstance(venue, Cued) else ()
    if not isinstance(venue, Cued) or name not in known:
        expected = f"a cue of {', '.join(known)}" if known else "a venue that takes cues"
        return _not_found(f"expected {expected}, found {name!r}")
    venue.cue(name, clients)
    return answer({})


def book(instruments: Sequence[Instrument], venue: str, symbol: str) -> Answer:
    """Tell the whole book of an instrument as it is now."""
    item = _find(instruments, venue, symbol)
    if isinstance(item, Answer):
        return item
    listing = item.listing
    bids, asks = (
        [
            [decimal(price, listing.price_places), decimal(size, listing.size_places)]
            for price, size in side.top(len(side))
        ]
        for side in (item.bids, item.asks)
    )
    return answer(
        {
            "venue": venue,
            "symbol": symbol,
            "sequence": sequence(item),
            "changed_ns": item.changed_ns,
            "bids": bids,
            "asks": asks,
        }
    )


def trades(instruments: Sequence[Instrument], venue: str, symbol: str) -> Answer:
    """Tell the last trades of an instrument."""
    item = _find(instruments, venue, symbol)
    if isinstance(item, Answer):
        return item
    listing = item.listing
    return answer(
        [
            {
                "trade_id": trade.trade_id,
                "at_ns": trade.at_ns,
                "price": decimal(trade.price, listing.price_places),
                "size": decimal(trade.size, listing.size_places),
                "side": "buy" if trade.buy else "sell",
            }
            for trade in item.trades
        ]
    )


def sequence(item: Instrument) -> int | None:
    """Return the number that the venue's messages have for the state of a book."""
    match item.listing.venue:
        case "binance" | "binance-us":
            return item.update_id
        case "coinbase-exchange":
            return item.full_sequence
    return None


def _find(instruments: Sequence[Instrument], venue: str, symbol: str) -> Instrument | Answer:
    """Return an instrument, or what is answered for want of it."""
    listed = {item.listing.raw_symbol: item for item in instruments if item.listing.venue == venue}
    if symbol in listed:
        return listed[symbol]
    expected = f"a symbol of {', '.join(listed)}" if listed else "a venue that is simulated"
    return _not_found(f"expected {expected}, found {venue} {symbol}")


def _not_found(why: str) -> Answer:
    return Answer(404, f"{why}\n", {"Content-Type": "text/plain"})
