"""The watch list: state, prices and quality of every source; only changed cells are sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import param
from panel.custom import JSComponent

from monitor.hub import Hub, Instrument
from monitor.page.views.style import FONT
from monitor.page.views.tables import BOOKS, SHAPES
from monitor.state import MIDS

Row = list[Any]
# The column of mids: one is added a second, so it is not sent whole.
MIDS_AT = 13

CSS = f"""
:host {{ font-family: {FONT}; color: var(--text); font-size: 13px; }}
.watchlist {{ background: var(--panel); border: 1px solid var(--line); border-radius: 6px;
        padding: 6px 10px; }}
.head {{ display: flex; gap: 12px; align-items: center; flex-wrap: wrap; margin-bottom: 4px; }}
h3 {{ margin: 0; font-size: 13px; font-weight: 600; color: var(--strong); }}
.filter {{ background: var(--field); color: var(--strong); border: 1px solid var(--edge);
          border-radius: 4px; padding: 3px 8px; width: 240px; max-width: 100%; font: inherit; }}
.filter::placeholder {{ color: var(--muted); }}
.filter:focus-visible, th:focus-visible, tr:focus-visible {{ outline: 2px solid var(--accent);
          outline-offset: -2px; }}
.told, .none {{ color: var(--muted); }} .none {{ padding: 6px 0; }}
.box {{ overflow: auto; max-height: 38vh; }}
table {{ width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th {{ position: sticky; top: 0; background: var(--panel); color: var(--muted); font-size: 11px;
     font-weight: 500; padding: 2px 10px 2px 0; cursor: pointer; text-align: right;
     white-space: nowrap; }}
td {{ color: var(--text); padding: 2px 10px 2px 0; border-top: 1px solid var(--line);
     white-space: nowrap; text-align: right; }}
th.text, td.text, th.state, td.state, th.book, td.book, th.spark, td.spark {{ text-align: left; }}
tbody tr {{ cursor: pointer; }} tbody tr:hover {{ background: var(--hover); }}
tr.chosen {{ background: var(--hover); box-shadow: inset 3px 0 var(--accent); }}
tr.doubted .price, tr.doubted .fixed2, tr.doubted .spark {{ opacity: .75; font-style: italic; }}
td:first-child {{ padding-left: 8px; font-weight: 600; }}
.state {{ font-weight: 600; }} td.connected {{ color: var(--ok); }}
td.quiet {{ color: var(--info); }}
td.initialising, td.stopped {{ color: var(--idle); }} td.polling {{ color: var(--alt); }}
td.stale, td.lost {{ color: var(--warn); }} td.failed {{ color: var(--bad); }}
td.book.ok {{ color: var(--ok); }} td.book.building, td.book.unverifiable {{ color: var(--idle); }}
td.book.bad {{ color: var(--bad); font-weight: 600; }}
canvas {{ width: 90px; height: 18px; color: var(--accent); vertical-align: middle; }}
"""


class Grid(JSComponent):  # type: ignore[misc]  # Panel tells no types.
    """A grid of all sources; a click on one calls `on_choose`.

    A browser that connects requests the whole grid; after that it receives the changed cells and
    the added mids.
    """

    shapes = param.Dict(default=SHAPES)
    books = param.Dict(default=BOOKS)
    kept = param.Integer(default=MIDS)

    _esm = Path(__file__).with_suffix(".js")
    _stylesheets: ClassVar[list[str]] = [CSS]

    def __init__(self, on_choose: Callable[[Instrument], None], **options: Any) -> None:
        super().__init__(sizing_mode="stretch_width", margin=(4, 5), **options)
        self._on_choose = on_choose
        self._rows: list[Row] = []
        self._chosen = ""

    def refresh(self, hub: Hub, instrument: Instrument | None) -> None:
        """Send what changed since the last time; nothing, if nothing did."""
        rows = grid_rows(hub)
        told: dict[str, Any] = {}
        if [row[:2] for row in rows] != [row[:2] for row in self._rows]:
            told["rows"] = rows
        else:
            told |= changed(self._rows, rows)
        self._rows = rows
        chosen = " ".join(instrument) if instrument else ""
        if chosen != self._chosen:
            self._chosen = told["chosen"] = chosen
        if told:
            self._send_msg(told)

    def _handle_msg(self, data: Any) -> None:
        if data.get("ready"):
            self._send_msg({"rows": self._rows, "chosen": self._chosen})
        elif "choose" in data:
            venue, symbol = data["choose"]
            self._on_choose((str(venue), str(symbol)))


def grid_rows(hub: Hub) -> list[Row]:
    """Return a row per source, in the order of the grid's columns, rounded as displayed."""
    quotes = {(quote.venue, quote.symbol): quote for quote in hub.quotes()}
    rows = []
    for source in hub.sources():
        quote = quotes.get((source.venue, source.symbol))
        bid, ask = (quote.bid, quote.ask) if quote else (math.nan, math.nan)
        rows.append(
            [
                source.venue,
                source.symbol,
                source.state,
                *(_shown(value) for value in (source.last, bid, ask)),
                _shown((ask - bid) / (ask + bid) * 2e4, 2),
                _shown(source.updates_s, 0),
                _age(source.age_ms),
                _shown(source.latency_p50_ms, 1),
                _shown(source.latency_p99_ms, 1),
                source.losses,
                source.book_health,
                [_shown(mid) for mid in source.mids],
                source.error,
            ]
        )
    return rows


def changed(before: list[Row], after: list[Row]) -> dict[str, Any]:
    """Return the changed `cells`, each with its row and column, and the new `mids`.

    New mids come with their row; mids that do not continue the earlier ones are a cell.
    """
    cells, mids = [], []
    for at, (old, new) in enumerate(zip(before, after, strict=True)):
        for column, value in enumerate(new):
            if value == old[column]:
                continue
            added = _added(old[column], value) if column == MIDS_AT else None
            if added is None:
                cells.append((at, column, value))
            else:
                mids.append((at, added))
    return {name: found for name, found in (("cells", cells), ("mids", mids)) if found}


def _added(old: list[Any], new: list[Any]) -> list[Any] | None:
    """Return the values to append to `old` to get `new`; None if that is impossible."""
    for count in range(1, len(new)):
        if [*old, *new[-count:]][-MIDS:] == new:
            return new[-count:]
    return None


def _shown(value: float, digits: int | None = None) -> float | None:
    if math.isnan(value):
        return None
    return value if digits is None else round(value, digits)


def _age(age_ms: float | None) -> int | None:
    """Round an age to tenths of a second; younger ages are all 0."""
    return None if age_ms is None else round(age_ms / 100) * 100
