"""The tables as HTML: status grid, last quotes, marks and signals; text of venues is escaped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from monitor.hub import Hub

# A state is told by shape, colour and word alike.
SHAPES = {
    "connected": "●",
    "quiet": "◐",
    "initialising": "○",
    "polling": "◆",
    "stale": "▲",
    "failed": "✖",
    "stopped": "■",
}
LINES = 8


def status(hub: Hub) -> str:
    """The grid of sources: state, updates, age and error text."""
    rows = []
    for source in hub.sources():
        shape = SHAPES.get(source.state, "?")
        state = f'<span class="state {escape(source.state)}">{shape} {escape(source.state)}</span>'
        name = f"<b>{escape(source.venue)}</b> {escape(source.symbol)}"
        error = f'<span class="error">{escape(source.error)}</span>'
        book = (
            f'<span class="book {escape(source.book_health)}">{escape(source.book_health)}</span>'
        )
        latency = f"{number(source.latency_p50_ms, 1)} / {number(source.latency_p99_ms, 1)}"
        cells = [f"{source.updates:,}", age(source.age_ms), latency, book, error]
        rows.append([name, state, *cells])
    names = ["source", "state", "updates", "age", "p50 / p99 ms", "book", ""]
    return table("Sources", names, rows)


def quotes(hub: Hub) -> str:
    """The last quote of every instrument, with its spread."""
    rows = []
    for quote in hub.quotes():
        spread = (quote.ask - quote.bid) / ((quote.ask + quote.bid) / 2) * 1e4
        cells = [f"<b>{escape(quote.venue)}</b> {escape(quote.symbol)}"]
        cells += [number(value) for value in (quote.bid_size, quote.bid, quote.ask, quote.ask_size)]
        rows.append([*cells, number(spread, 2), age(quote.age_ms)])
    names = ["last quotes", "bid size", "bid", "ask", "ask size", "bps", "age"]
    return table("Last quotes", names, rows)


def events(hub: Hub) -> str:
    """What went wrong last, the newest first."""
    rows = [
        [
            clock(mark.ts_recv),
            f'<span class="mark">▲ {escape(mark.kind)}</span>',
            escape(" ".join(part for part in (mark.venue, mark.symbol) if part)),
            escape(mark.text[:160]),
        ]
        for mark in reversed(hub.marks()[1][-LINES:])
    ]
    return table("Gaps, outages and own drops", ["time", "kind", "where", "what"], rows)


def signals(hub: Hub) -> str:
    """The hooks' last signals, the newest first."""
    rows = [
        [
            clock(row["ts_recv"].value),
            escape(row["symbol"] or ""),
            escape(row["hook"]),
            f'<span class="wrap">{escape(row["text"])}</span>',
            escape(row["origin"]),
        ]
        for row in reversed(hub.signals()[-LINES:])
    ]
    return table("Signals", ["time", "symbol", "hook", "what", "origin"], rows)


def age(age_ms: float | None) -> str:
    if age_ms is None:
        return "–"
    return f"{age_ms:.0f} ms" if age_ms < 1000 else f"{age_ms / 1000:.1f} s"


def clock(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%H:%M:%S.%f")[:-3]


def number(value: float, decimals: int | None = None) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:,.{decimals}f}" if decimals is not None else f"{value:,.8g}"


def table(title: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Make a titled table; the cells are HTML, escaped by the caller."""
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    empty = f'<tr><td colspan="{len(names)}" class="none">nothing yet</td></tr>'
    return (
        f'<div class="panel"><h3>{title}</h3><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body or empty}</tbody></table></div>"
    )
