"""HTML tables of marks, signals and others; text of venues is escaped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from html import escape

from monitor.hub import Hub
from monitor.page.views.style import look

# Shape, colour and word all show the state.
SHAPES = {
    "connected": "●",
    "quiet": "◐",
    "initialising": "○",
    "polling": "◆",
    "stale": "▲",
    "failed": "✖",
    "stopped": "■",
    # Captured frames have no connection state.
    "unknown": "?",
}
BOOKS = {"ok": "●", "building": "○", "bad": "✖", "unverifiable": "◌"}
LINES = 8


def events(hub: Hub) -> str:
    """The last faults, the newest first."""
    rows = [
        [
            clock(mark.ts_recv),
            f'<span class="mark">▲ {escape(mark.kind)}</span>',
            escape(" ".join(part for part in (mark.venue, mark.symbol) if part)),
            f'<span class="wrap">{escape(mark.text[:160])}</span>',
        ]
        for mark in reversed(hub.marks()[1][-LINES:])
    ]
    names = ["time", "kind", "where", "what"]
    return table("Gaps, outages and own drops", names, rows, "none: nothing was lost")


def signals(hub: Hub) -> str:
    """The hooks' last signals, the newest first."""
    rows = [
        [
            clock(row["ts_recv"].value),
            escape(f"{row['venue']} {row['symbol'] or ''}"),
            f'<span class="wrap">{escape(row["text"])} <span class="muted">'
            f"{escape(row['level'])}, {escape(row['hook'])}, {escape(row['origin'])}</span></span>",
        ]
        for row in reversed(hub.signals()[-LINES:])
    ]
    names = ["time", "instrument", "what"]
    return table("Signals", names, rows, "none yet: a hook signals here and on the plots")


def age(age_ms: float | None) -> str:
    if age_ms is None:
        return "–"
    return f"{age_ms:.0f} ms" if age_ms < 1000 else f"{age_ms / 1000:.1f} s"


def clock(ns: int) -> str:
    """Return a time of day in the viewer's zone."""
    return datetime.fromtimestamp(ns / 1e9, look().zone).strftime("%H:%M:%S.%f")[:-3]


def number(value: float, decimals: int | None = None) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:,.{decimals}f}" if decimals is not None else f"{value:,.8g}"


def table(
    title: str,
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    empty: str = "nothing yet",
) -> str:
    """Make a titled table; the cells are HTML, escaped by the caller."""
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    nothing = f'<tr><td colspan="{len(names)}" class="none">{empty}</td></tr>'
    return (
        f'<div class="panel"><h3>{title}</h3><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body or nothing}</tbody></table></div>"
    )
