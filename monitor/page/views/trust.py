"""Tables of the tab Health: sources, minutes, latencies, incidents."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from monitor.hub import Hub, SourceStatus, Totals
from monitor.page.views.tables import BOOKS, SHAPES, age, clock, number, table
from monitor.rows import MINUTE_NS, SECOND_NS
from monitor.state import WINDOW_ROWS, Incident, Minute, Stage

SHOWN_MINUTES = 30
INCIDENTS_A_PAGE = 40
SHOWN_NODES = 12
GB_FROM_MB = 10_240
# A cell of the heat map shows its worst fault, by colour and shape.
WORST = (
    ("losses", "bad", "▲"),
    ("stale_ns", "warn", "◷"),
    ("late", "info", "↓"),
    ("duplicates", "idle", "≡"),
)
# Upper bounds of the latency bins, in ms.
BINS_MS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
SAMPLES = (
    f"Quotes and trades with a time of the venue's, of the last {WINDOW_ROWS:,} of each at most"
)
STEPS = 5
SHARES = (50, 95, 99)
# The meaning of each number of a source; connections have only the counts of status rows.
SOURCE_HELP = {
    "source": "A line named connection holds what concerns no single instrument of a venue",
    "state": "Whether the line is believed",
    "updates": "Quotes, trades and book messages",
    "msg/s": "Updates in the last second",
    "age": "Since the last update",
    "p50 / p99 ms": "Latency of the last second, venue to receipt; of the slowest channel",
    "book": "Health of the order book",
    "losses": "Status rows gap, checksum, crossed and mismatch of the instrument itself; those of"
    " its connection are on the connection's line",
    "duplicates": "Messages received again, of the instrument itself",
    "late": "Messages received after later ones, of the instrument itself",
    "stale": "Time in state stale or failed",
    "incidents": "Incidents of the instrument itself",
    "": "",
}
OUTCOMES = {
    "lasts": ("state failed", "✖ lasts"),
    "unknown": ("state initialising", "○"),
    "lost": ("mark", "▲"),
    "over": ("", "●"),
}


def sources(hub: Hub) -> str:
    """Every source and connection, with its losses and interruptions."""
    states = {(source.venue, source.symbol): source for source in hub.sources()}
    rows = [_source(total, states.get((total.venue, total.symbol or ""))) for total in hub.totals()]
    names = [f'<span title="{escape(help)}">{name}</span>' for name, help in SOURCE_HELP.items()]
    return table("Sources", names, rows, "none yet: start one with monitor record SOURCE")


def _source(total: Totals, source: SourceStatus | None) -> list[str]:
    cells = [f"<b>{escape(total.venue)}</b> {escape(total.symbol or 'connection')}"]
    error = ""
    if source is None:
        cells += ["–"] * 6
    else:
        state, book = escape(source.state), escape(source.book_health)
        error = f'<span class="error">{escape(source.error[:120])}</span>'
        cells += [
            f'<span class="state {state}">{SHAPES.get(source.state, "?")} {state}</span>',
            f"{source.updates:,}",
            number(source.updates_s, 0),
            age(source.age_ms),
            f"{number(source.latency_p50_ms, 1)} / {number(source.latency_p99_ms, 1)}",
            f'<span class="book {book}">{BOOKS.get(source.book_health, "–")} {book}</span>',
        ]
    counts = total.counts
    stale = f"{counts.stale_ns / SECOND_NS:,.1f} s" if total.symbol else "–"
    return [
        *cells,
        *(f"{count:,}" for count in (counts.losses, counts.duplicates, counts.late)),
        stale,
        f"{total.incidents:,}",
        error,
    ]


def minutes(hub: Hub) -> str:
    """The heat map: the worst fault of each instrument in each minute."""
    found, _ = hub.quality()
    last = hub.now_ns // MINUTE_NS
    shown = range(last - SHOWN_MINUTES + 1, last + 1)
    rows = []
    for (venue, symbol), of_place in sorted(found.items(), key=lambda item: _place(item[0])):
        if not any(minute in of_place for minute in shown):
            continue
        name = f"<b>{escape(venue)}</b> {escape(symbol or 'connection')}"
        rows.append([name, *(_cell(minute, of_place.get(minute)) for minute in shown)])
    names = ["instrument"]
    names += [clock(m * MINUTE_NS)[:5] if m % 5 == 0 else "" for m in shown]
    legend = "▲ lost or wrong · ◷ seconds stale · ↓ late · ≡ duplicate; the worst of a minute"
    title = f'Minutes <span class="muted">{legend}</span>'
    return table(title, names, rows, "nothing was lost, late, repeated or stale in this time")


def incidents(hub: Hub, most: int = INCIDENTS_A_PAGE) -> str:
    """Incidents with cause and end, the newest first; a click on the time sends it in ns.

    Above `most` a click on `more` shows further ones.
    """
    _, found = hub.quality()
    rows = [
        [
            f'<button data-say="{incident.began_ns}" title="see it again">'
            f"{clock(incident.began_ns)} ↺</button>",
            f"<b>{escape(incident.venue)}</b> {escape(incident.symbol or 'connection')}",
            f'<span class="mark">▲ {escape(incident.kind)}</span>{_times(incident)}',
            f'<span class="wrap">{escape(incident.cause[:160])}</span>',
            _ending(incident),
        ]
        for incident in reversed(found[-most:])
    ]
    title = "Incidents"
    if len(found) > most:
        title += (
            f' <span class="muted">{most} of {len(found)} shown</span>'
            ' <button data-say="more">Show more</button>'
        )
    names = ["began", "where", "what", "cause", "recovery"]
    return table(title, names, rows, "none: no line broke and no book was wrong")


def recorder(about: dict[str, Any], why: str) -> str:
    """The recorder, and the nodes of the collector's graph with their counts.

    `why` says why nothing is known, if so.
    """
    told = about.get("recorder")
    if told is None:
        return table("Recorder", ["state"], [], escape(why))
    state = str(told["state"])
    shown = {"recording": "connected", "failed": "failed", "off": "stopped"}.get(state, "quiet")
    lost = int(told["unrecorded_rows"] or 0)
    facts = [
        f'<span class="state {shown}">{SHAPES[shown]} {escape(state)}</span>',
        number(float(about.get("rows_s", "nan")), 0),
        f"{number(float(told['lag_ms'] or 0), 0)} ms",
        _space(about.get("free_mb")),
        f'<span class="{"state failed" if lost else ""}">{lost:,}</span>',
        f'<span class="error">{escape(about.get("trouble") or "")}</span>',
    ]
    names = ["state", "rows/s", "lag", "disk free", "unrecorded rows", ""]
    first = table("Recorder", names, [facts])
    nodes = list(about.get("nodes", {}).items())[:SHOWN_NODES]
    names = ["node of the graph", *(nodes[0][1] if nodes else ())]
    rows = [[escape(name), *(f"{count:,}" for count in of.values())] for name, of in nodes]
    return first + table("What flowed through the collector", [escape(n) for n in names], rows)


def _space(megabytes: int | None) -> str:
    if megabytes is None:
        return "–"
    return f"{megabytes:,} MB" if megabytes < GB_FROM_MB else f"{megabytes / 1024:,.0f} GB"


def stages(by_name: Mapping[str, Stage]) -> str:
    """Latency of the last minute's rows inside this program and to this browser."""
    rows = []
    for name, stage in by_name.items():
        took_ms = stage.last_minute()["ms"]
        parts = np.percentile(took_ms, SHARES) if len(took_ms) else [np.nan] * len(SHARES)
        rows.append([escape(name), *(number(ms, 1) for ms in parts), f"{len(took_ms):,}"])
    names = ["stage, of the last minute, in ms", *(f"p{share}" for share in SHARES), "of"]
    return table("Latency within the monitor", names, rows)


def latencies(hub: Hub) -> str:
    """The distribution of each source's latencies in the last minute."""
    edges = np.array([-np.inf, *BINS_MS, np.inf])
    rows = []
    for instrument in hub.instruments():
        ms = [hub.recent(kind, instrument, "latency_ms", MINUTE_NS) for kind in ("quote", "trade")]
        known = np.concatenate(ms)
        counts = np.histogram(known[np.isfinite(known)], edges)[0]
        total = int(counts.sum())
        if total:
            cells = [_share(count / total) for count in counts.tolist()]
            venue, symbol = map(escape, instrument)
            rows.append([f"<b>{venue}</b> {symbol}", *cells, f"{total:,}"])
    names = ["latency (ms)", "&lt; 0", *(f"&lt; {end}" for end in BINS_MS[1:]), "≥ 1000"]
    names.append(f'<span title="{SAMPLES}">samples</span>')
    title = "Latency, venue to receipt, last minute"
    return table(title, names, rows, "none: no venue has sent a time of its own")


def _place(place: tuple[str, str | None]) -> tuple[str, str]:
    return place[0], place[1] or ""


def _cell(number: int, minute: Minute | None) -> str:
    if minute is None:
        return ""
    values = minute._asdict()
    stale_s = values["stale_ns"] / SECOND_NS
    told = ", ".join(f"{n} {name}" for name, n in values.items() if n and name != "stale_ns")
    if stale_s:
        told = f"{told}, {stale_s:.1f} s stale".removeprefix(", ")
    # A fraction of a second is shown as one second, so that it is visible.
    values["stale_ns"] = math.ceil(stale_s)
    for name, color, shape in WORST:
        if values[name]:
            step = min(STEPS, 1 + values[name].bit_length())
            title = f"{clock(number * MINUTE_NS)[:5]}: {told}"
            return (
                f'<span class="heat {color} h{step}" title="{title}">{shape}{values[name]}</span>'
            )
    return ""


def _share(share: float) -> str:
    if not share:
        return ""
    step = max(1, min(STEPS, round(share * STEPS)))
    return f'<span class="heat info h{step}">{share:.1%}</span>'


def _times(incident: Incident) -> str:
    return f" × {incident.times}" if incident.times > 1 else ""


def _ending(incident: Incident) -> str:
    """Return the end of an incident as HTML; colour and shape show the outcome."""
    look, shape = OUTCOMES[incident.outcome]
    text = f'<span class="{look}">{shape}</span> {escape(incident.recovery)}'
    if incident.ended_ns is not None and incident.ended_ns != incident.began_ns:
        text += f" (after {age((incident.ended_ns - incident.began_ns) / 1e6)})"
    return f'<span class="wrap">{text}</span>'
