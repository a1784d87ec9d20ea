"""The command `tail`: print live rows of a running collector that match a SOURCE."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli import support
from monitor.cli.recording_commands import DEFAULT_FOLDER, Folder

if TYPE_CHECKING:
    from monitor.processes import Held
    from monitor.rows import Batch, Source

# The kinds that each channel brings; `status` and `stat` rows name theirs in a column.
KINDS_OF = {
    "quote": ("quote",),
    "trade": ("trade",),
    "aggTrade": ("trade",),
    "book": ("book", "depth"),
}
NAME_CHANNELS = ("status", "stat")
# Kraken's names of assets, by canonical name.
OLD_NAMES = {"BTC": "XBT", "DOGE": "XDG"}


def tail(
    source: Annotated[list[str] | None, typer.Argument(metavar="[SOURCE]...")] = None,
    kind: Annotated[str | None, typer.Option(help="Only rows of this kind.")] = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Print live rows of the running collector, one JSON object a line, until interrupted."""
    from monitor.collector import Follower
    from monitor.processes import locks
    from monitor.rows import KINDS

    if kind is not None and kind not in KINDS:
        support.fail(f"expected a kind of {', '.join(KINDS)}, found {kind!r}", support.USAGE)
    _, wanted, _ = support.settings(None, source, None)
    _expect_kind(wanted, kind)
    held = locks.holder(folder)
    if held is None:
        support.fail(f"expected a running collector on {folder}, found none", support.FAILURE)
    for line in _unmatched(wanted, held):
        print(f"monitor: {line}", file=sys.stderr)

    def show(batch: Batch) -> None:
        sys.stdout.writelines(lines(batch, wanted, kind))
        sys.stdout.flush()

    follower = Follower(lambda: locks.holder(folder), show)
    follower.start()
    try:
        follower.wait()
    except KeyboardInterrupt:
        pass
    finally:
        follower.close()
    if follower.error is not None:
        # The reader of the output has closed it.
        if not isinstance(follower.error, BrokenPipeError):
            raise follower.error
        support.leave_output()


def lines(batch: Batch, wanted: Sequence[Source], kind: str | None) -> Iterator[str]:
    """Yield the matching rows of a batch, each as a line of JSON."""
    import pyarrow as pa

    from monitor.sql import queries

    for name, rows in batch.kinds.items():
        if kind in (None, name):
            for row in queries.texts(pa.Table.from_batches([rows])).to_pylist():
                if not wanted or any(_is_of(source, name, row, kind) for source in wanted):
                    yield json.dumps({"kind": name, **row}) + "\n"


def _is_of(source: Source, name: str, row: dict[str, Any], kind: str | None) -> bool:
    if row["venue"] != source.venue or row["symbol"] is None:
        return False
    if source.channels and not any(name in KINDS_OF[channel] for channel in source.channels):
        is_asked_for = kind in NAME_CHANNELS and row["channel"] in source.channels
        if not is_asked_for:
            return False
    return is_symbol(source.symbol, row["symbol"])


def is_symbol(asked: str, symbol: str) -> bool:
    """Return whether a source's symbol or pattern matches a canonical symbol.

    As with `record`, case is ignored and a pair matches all its markets.
    """
    base, dash, rest = asked.upper().replace("/", "-").partition("-")
    quote, at, market = rest.partition("@")
    asked, symbol = f"{_asset(base)}{dash}{_asset(quote)}{at}{market}", symbol.upper()
    pair = symbol.partition("@")[0]
    if "*" in asked:
        return fnmatchcase(symbol, asked)
    return asked in (symbol, pair) or asked.rpartition(":")[2] in _joined(pair)


def _asset(name: str) -> str:
    return next((ours for ours, old in OLD_NAMES.items() if old == name), name)


def _joined(pair: str) -> set[str]:
    """Return names of a pair at other venues, such as BTCUSD, BTC_USD, XBTUSD and XXBTZUSD."""
    base, _, quote = pair.partition("-")
    old_base, old_quote = OLD_NAMES.get(base, base), OLD_NAMES.get(quote, quote)
    return {
        f"{base}_{quote}",
        *(f"{first}{second}" for first in (base, old_base) for second in (quote, old_quote)),
        *(f"X{old_base}{letter}{old_quote}" for letter in "XZ"),
    }


def _expect_kind(wanted: Sequence[Source], kind: str | None) -> None:
    """Exit if no row can match both the kind and a source's channels."""
    if kind is None or kind in NAME_CHANNELS or not all(one.channels for one in wanted):
        return
    brought = sorted({name for one in wanted for at in one.channels for name in KINDS_OF[at]})
    if wanted and kind not in brought:
        support.fail(
            f"expected a kind that the channels bring ({', '.join(brought)}), found {kind!r}",
            support.USAGE,
        )


def _unmatched(wanted: Sequence[Source], held: Held) -> Iterator[str]:
    """Yield a line for each source that the collector does not have."""
    if not wanted:
        return
    from monitor.processes import collector_client

    try:
        sources = collector_client.request(held, "GET", "/health").json()["sources"]
    except (*collector_client.ERRORS, KeyError):
        # The follower keeps looking for a collector.
        return
    known = [(one["venue"], one["symbol"]) for one in sources]
    for one in wanted:
        if not any(venue == one.venue and is_symbol(one.symbol, name) for venue, name in known):
            has = ", ".join(f"{venue}:{symbol}" for venue, symbol in known[:10]) or "none"
            more = ", …" if len(known) > 10 else ""
            yield (
                f"expected a source of the collector ({has}{more}), found {one}:"
                " rows follow once there is one"
            )
