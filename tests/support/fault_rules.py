"""What each fault must leave in a recording: no more than the venue's own protocol lets be seen.

Binance numbers trades and book changes, of its best quotes it only promises growing numbers. Kraken
numbers trades, guards the ten best levels of a book by a checksum, and its ticker by nothing; in
WebSocket v1 its trades have no number. Coinbase Advanced Trade numbers every message of a
connection: one loss spoils all its books. Coinbase Exchange numbers trades and tickers, its books
by nothing. Finnhub's trades have neither number nor order.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

# A kind of status row, and the instrument that it is about; None for the whole connection.
Key = tuple[str, str | None]

# Rows that tell of the wire's quality, or of a connection's end that nobody asked for.
JUDGED = (
    *("gap", "duplicate", "late", "checksum", "crossed", "mismatch", "resync", "undecodable"),
    *("disconnected", "half_open", "no_data", "silent", "refused", "overflow", "unrecorded"),
    *("rate_limited", "geo_blocked", "auth_failed", "fetch_failed", "head_back", "replaced"),
)
HTTP_KINDS = {
    "http-429": "rate_limited",
    "http-418": "rate_limited",
    "http-451": "geo_blocked",
    "http-403": "auth_failed",
}
CHAIN_KINDS = {"head-back": "head_back", "graphql-error": "fetch_failed"}
LINE_FAULTS = ("reset", "half-open", "life", "flap")
BINANCE = ("binance", "binance-us")
# What a number of the venue proves: every trade, the order of quotes, every change of a book.
NUMBERED_TRADES = (*BINANCE, "kraken", "coinbase-exchange")
NUMBERED_QUOTES = (*BINANCE, "coinbase-exchange")
NUMBERED_BOOKS = BINANCE
CHECKED_BOOKS = ("kraken", "kraken-v1")
# A book that lost a change shows nothing of it, unless it crosses.
UNPROVABLE_BOOKS = ("coinbase-exchange",)
# What stands in messages that are about no book.
_OF_BINANCE = ('@trade"', '@bookTicker"')
NO_BOOK = {
    "binance": _OF_BINANCE,
    "binance-us": _OF_BINANCE,
    "kraken": ('"channel":"trade"', '"channel":"ticker"', '"channel":"heartbeat"'),
    "kraken-v1": ('"trade"', '"spread"', '"event"'),
    "coinbase": ('"channel":"market_trades"', '"channel":"ticker"', '"channel":"heartbeats"'),
    # Its type stands first; what is left of it may not be the beginning of one about a book.
    "coinbase-exchange": tuple(f'{{"type":"{kind}' for kind in ("m", "la", "t", "h")),
}
# A message concerns more than one instrument.
SHARED = ("coinbase", "finnhub")
# Its ten best levels are all that Kraken's checksum covers.
CHECKED_LEVELS, KRAKEN_DEPTH = 10, 25


class Stream(NamedTuple):
    """What a message belongs to, and how many numbered rows it makes."""

    channel: str
    raw_symbol: str
    numbers: int


class Due(NamedTuple):
    """Status rows that must be there, and those that may be there besides."""

    certain: Counter[Key]
    possible: Counter[Key]


def stream(venue: str, message: str) -> Stream:
    """Tell to which stream of a venue a message belongs."""
    told = json.loads(message)
    match venue:
        case "binance" | "binance-us":
            raw_symbol, name = told["stream"].split("@")[:2]
            channels = {"trade": "trade", "bookTicker": "quote", "depth": "book"}
            return Stream(channels[name], raw_symbol.upper(), 1)
        case "kraken":
            channels = {"trade": "trade", "ticker": "quote", "book": "book"}
            return Stream(channels[told["channel"]], told["data"][0]["symbol"], len(told["data"]))
        case "kraken-v1":
            _, payload, *_, channel, raw_symbol = told
            channels = {"trade": "trade", "spread": "quote", "book": "book"}
            return Stream(channels[channel.partition("-")[0]], raw_symbol, len(payload))
        case "coinbase-exchange":
            channels = {"match": "trade", "ticker": "quote", "l2update": "book"}
            return Stream(channels[told["type"]], told["product_id"], 1)
        case "finnhub":
            # Trades of several symbols share a message.
            return Stream(told["type"], "", len(told["data"]))
        case "coinbase":
            (event,) = told["events"]
            channels = {"market_trades": "trade", "ticker": "quote", "l2_data": "book"}
            named = {**event, **(event.get("trades") or event.get("tickers") or [{}])[0]}
            # Heartbeats are numbered like all else, and about no instrument.
            channel = channels.get(told["channel"], told["channel"])
            return Stream(channel, named.get("product_id", ""), 1)
    raise ValueError(f"expected a venue whose messages are known, found {venue!r}")


def is_out_of_order(venue: str, strike: Mapping[str, Any]) -> bool:
    """Tell whether the two messages of a `reorder` have an order that can be seen."""
    hit, other = (stream(venue, strike[name])[:2] for name in ("message", "overtaken_by"))
    # Streams have no order among each other, but for Coinbase's numbers of the connection.
    return venue == "coinbase" or hit == other


def due(venue: str, strikes: Iterable[Mapping[str, Any]], symbols: Mapping[str, str]) -> Due:
    """Return what faults that befell messages must leave; `symbols` are canonical by raw symbol.

    Of a strike that is `unseen` nothing came by which it had to show.
    """
    certain: Counter[Key] = Counter()
    possible: Counter[Key] = Counter()
    for strike in strikes:
        hit = stream(venue, strike["message"])
        symbol = symbols.get(hit.raw_symbol)
        counts = possible if strike.get("unseen") else certain
        match strike["fault"]:
            case "gap":
                _lose(venue, hit, symbols, counts, possible)
            case "corrupt":
                certain["undecodable", None] += 1
                doubted = doubted_books(venue, strike["sent"], symbols)
                # Coinbase's number, which is missing then, spoils all books, these among them.
                if venue != "coinbase":
                    certain.update(("resync", each) for each in doubted)
                if venue == "coinbase" or not doubted or hit.channel != "book":
                    _lose(venue, hit, symbols, counts, possible)
            case "duplicate" if venue == "coinbase":
                certain["duplicate", None] += 1
            case "duplicate" if _is_numbered(venue, hit.channel):
                certain["duplicate", symbol] += hit.numbers
            case "reorder":
                if venue == "coinbase":
                    certain["late", None] += 1
                elif not is_out_of_order(venue, strike):
                    continue
                elif hit.channel != "book" and _is_numbered(venue, hit.channel):
                    certain["late", symbol] += hit.numbers
                elif _is_numbered(venue, hit.channel):
                    # A change that comes when its book is being rebuilt is only part of that.
                    possible["late", symbol] += 1
                _lose(venue, hit, symbols, certain, possible)
            case "crc":
                counts["checksum", symbol] += 1
                counts["resync", symbol] += 1
    return Due(certain, possible)


def doubted_books(venue: str, left: str, symbols: Mapping[str, str]) -> set[str]:
    """Return whose books are doubted for what is left of a message that cannot be read.

    Where that does not tell that it was about no book, or about which one, it may be any.
    """
    if venue not in NO_BOOK or any(kind in left for kind in NO_BOOK[venue]):
        return set()
    plain = left.replace("\\/", "/")
    spelt = {raw: (f'"{raw}"', f'"{raw.lower()}@') for raw in symbols}
    named = {symbols[raw] for raw, names in spelt.items() if any(name in plain for name in names)}
    return named or set(symbols.values())


def due_of_lines(venue: str, fault: str, count: int, symbols: Iterable[str]) -> Due:
    """Return what so many broken connections must leave; what was lost meanwhile may show."""
    if fault == "life" and venue in BINANCE:
        # The venue says when it will close: a new connection is there before, and nothing is lost.
        return Due(Counter({("replaced", None): count}), Counter())
    certain: Counter[Key] = Counter({("disconnected", None): count})
    if fault == "half-open":
        certain["half_open", None] = count
    numbered = symbols if venue in NUMBERED_TRADES else ()
    return Due(certain, Counter({("gap", symbol): count for symbol in numbered}))


def due_of_answers(fault: str, count: int) -> Due:
    """Return what so many wrong answers must leave."""
    kinds = HTTP_KINDS | CHAIN_KINDS
    return Due(Counter({(kinds[fault], None): count}), Counter())


def due_of_handshakes(is_polled: bool, count: int) -> tuple[range, tuple[Key, ...]]:
    """Return how many rows so many refused certificates must leave, and which they may be."""
    kinds: tuple[Key, ...] = (("disconnected", None), ("fetch_failed", None))
    # The last handshake may be under way when the run ends; one failure of REST is told once.
    return range(1 if is_polled else count - 1, count + 1), kinds


def recorded(statuses: Iterable[Mapping[str, Any]], venue: str) -> Counter[Key]:
    """Count the judged status rows of a venue; those of scope `symbol` repeat its connection's."""
    return Counter(
        (row["kind"], row["symbol"])
        for row in statuses
        if row["venue"] == venue and row["kind"] in JUDGED and row["scope"] != "symbol"
    )


def problems(
    wanted: Due, found: Counter[Key], absorbed: Mapping[str, int] | None = None
) -> list[str]:
    """Say in what a recording differs from what was due.

    `absorbed` says how many losses, by symbol, came while a book was being rebuilt already.
    """
    said = []
    for key in sorted(wanted.certain | wanted.possible | found, key=str):
        least, most = wanted.certain[key], wanted.certain[key] + wanted.possible[key]
        if key[0] == "resync":
            least = max(0, least - (absorbed or {}).get(key[1] or "", 0))
        if not least <= found[key] <= most:
            wish = str(least) if least == most else f"{least} to {most}"
            whose = key[1] or "the connection"
            said.append(f"expected {wish} {key[0]} of {whose}, found {found[key]}")
    return said


def checked_levels(venue: str, faults: Sequence[str]) -> int | None:
    """Return how many levels a side must be right in after these faults; None for all."""
    if venue not in CHECKED_BOOKS:
        return None
    loses = {"gap", "corrupt", "reorder"} & set(faults)
    return CHECKED_LEVELS if loses else KRAKEN_DEPTH


def _lose(
    venue: str,
    hit: Stream,
    symbols: Mapping[str, str],
    certain: Counter[Key],
    possible: Counter[Key],
) -> None:
    """Add what the loss of a message must leave."""
    symbol = symbols.get(hit.raw_symbol)
    if venue == "coinbase":
        certain["gap", None] += 1
        for each in symbols.values():
            certain["resync", each] += 1
    elif hit.channel == "trade" and venue in NUMBERED_TRADES:
        certain["gap", symbol] += 1
    elif hit.channel == "book" and venue in CHECKED_BOOKS:
        # The next change may make it good, and the checksum does not see all levels.
        possible["checksum", symbol] += 1
        possible["resync", symbol] += 1
    elif hit.channel == "book" and venue in UNPROVABLE_BOOKS:
        possible["crossed", symbol] += 1
        possible["mismatch", symbol] += 1
        possible["resync", symbol] += 1
    elif hit.channel == "book":
        certain["gap", symbol] += 1
        certain["resync", symbol] += 1


def _is_numbered(venue: str, channel: str) -> bool:
    """Tell whether a repeated or late message of a stream shows by its own number."""
    venues = {"trade": NUMBERED_TRADES, "quote": NUMBERED_QUOTES, "book": NUMBERED_BOOKS}
    return venue in venues[channel]
