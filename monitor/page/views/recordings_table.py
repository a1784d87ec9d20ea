"""HTML tables of recordings and of the jobs on them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, Protocol

from monitor.page.views import time_axis

# Shape, colour and word all show the state; the class sets the colour.
STATES = {
    "open": ("●", "connected", "recording"),
    "sealed": ("■", "quiet", "sealed"),
    "unclean": ("▲", "stale", "unclean"),
    "damaged": ("✖", "failed", "damaged"),
}
JOB_STATES = {
    "running": ("●", "connected"),
    "done": ("✔", "quiet"),
    "failed": ("✖", "failed"),
    "cancelled": ("■", "stopped"),
}
KINDS = ("quote", "trade", "book")
UNREAD = "its collector was killed; the next one that starts recovers the segment left open"
MAX_JOBS = 8
MAX_SOURCES_CHARS = 40
TOLD_PROBLEMS = 10


class Job(Protocol):
    """A job as shown on the page."""

    number: int
    work: str
    recording: str
    state: str
    done: int
    total: int
    outcome: dict[str, Any]
    error: str

    @property
    def seconds(self) -> float: ...


def table(listed: Sequence[dict[str, Any]], chosen: str | None, total: int) -> str:
    """The recordings of a page, the newest first; a click on a row chooses it."""
    names = ["recording", "state", f"started ({time_axis.zone()})", "lasted", "sources"]
    numbers = [*KINDS, "other", "losses", "size"]
    head = "".join(f"<th>{name}</th>" for name in names)
    head += "".join(f'<th class="number">{name}</th>' for name in numbers)
    body = "".join(_row(one, one["id"] == chosen) for one in listed)
    empty = (
        f'<tr><td colspan="{len(names) + len(numbers)}" class="none">none yet: start one with'
        " <b>monitor record binance:BTC-USDT</b>, or read captured frames with"
        " <b>monitor ingest</b></td></tr>"
    )
    return (
        f"<h3>Recordings ({total:,})</h3><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body or empty}</tbody></table>"
    )


def _row(one: dict[str, Any], is_chosen: bool) -> str:
    rows = one["rows"]
    sources = " ".join(one["sources"])
    if len(sources) > MAX_SOURCES_CHARS:
        sources = f"{len(one['sources'])} sources: {sources[:MAX_SOURCES_CHARS]}…"
    other = sum(rows.values()) - sum(rows[kind] for kind in KINDS)
    losses = f'<span class="mark">▲ {one["losses"]:,}</span>' if one["losses"] else "0"
    cells = [f"<b>{escape(one['id'])}</b>", state(one["state"]), _when(one["started"])]
    cells += [_lasted(one), f'<span class="muted">{escape(sources)}</span>']
    numbers = [*(f"{rows[kind]:,}" for kind in KINDS), f"{other:,}", losses]
    if one["state"] == "open" or one["unread"]:
        # Unknown for a segment that is open or was left open.
        numbers = [f"{number} +" if sum(rows.values()) else "…" for number in numbers]
    numbers.append(size(one["bytes"]))
    return (
        f'<tr data-say="choose:{escape(one["id"])}" tabindex="0"'
        f' class="{"chosen" if is_chosen else ""}">'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "".join(f'<td class="number">{cell}</td>' for cell in numbers)
        + "</tr>"
    )


def about(one: dict[str, Any], jobs: Sequence[Job]) -> str:
    """The details of a recording, with its last verification."""
    rows = ", ".join(f"{count:,} {kind}" for kind, count in one["rows"].items() if count)
    facts = [
        ("state", state(one["state"])),
        ("sources", escape(", ".join(one["sources"]) or "–")),
        ("rows", rows or "none"),
        (
            "losses",
            f"{one['losses']:,} (gap, checksum, crossed, mismatch), {one['gaps']:,} of them gaps",
        ),
        ("size", f"{size(one['bytes'])} ({one['bytes']:,} bytes)"),
        (
            "digest",
            f"<code>{escape(one['digest'] or '– (only a sealed recording has one)')}</code>",
        ),
    ]
    if one["state"] == "open":
        facts.insert(1, ("", "the segment that is being written is not counted yet"))
    if one["unread"]:
        facts.insert(1, ("", f"{UNREAD}: it is not counted yet"))
    body = "".join(
        f'<tr><td class="none">{name}</td><td class="wrap">{fact}</td></tr>' for name, fact in facts
    )
    verified = next((j for j in jobs if j.work == "verify" and j.state == "done"), None)
    return f'<div class="panel"><h3>{escape(one["id"])}</h3><table>{body}</table></div>' + (
        _verdict(verified.outcome) if verified else ""
    )


def _verdict(found: dict[str, Any]) -> str:
    """The result of `verify`: damage, and the verified and clean shares of the time."""
    problems = found["problems"]
    if problems:
        word = f'<span class="told failed">✖ damaged: {len(problems)} problems</span>'
    else:
        word = '<span class="told connected">✔ not damaged</span>'
    lines = [f'<div class="error wrap">✖ {escape(text)}</div>' for text in problems[:TOLD_PROBLEMS]]
    if len(problems) > TOLD_PROBLEMS:
        lines.append(f'<div class="error">and {len(problems) - TOLD_PROBLEMS} more</div>')
    lines += [f'<div class="muted wrap">{escape(note)}</div>' for note in found["notes"]]
    told = ", ".join(f"{count:,} {kind}" for kind, count in found["told"].items())
    instruments = "".join(
        f"<tr><td><b>{escape(item['venue'])}</b> {escape(item['symbol'])}</td>"
        f"<td>{escape(item['guard'])}</td>"
        f'<td class="number">{_percent(item["verified_pct"])}</td>'
        f'<td class="number">{_percent(item["clean_pct"])}</td>'
        f'<td class="number">{item["mismatches"]:,}</td></tr>'
        for item in found["instruments"]
    )
    return (
        f'<div class="panel" style="margin-top: 8px"><h3>Verified: {word}</h3>{"".join(lines)}'
        f"<div>missing rows: {found['missing']:,}; told: {escape(told) or 'nothing'}</div>"
        '<table><thead><tr><th>instrument</th><th>guard</th><th class="number">verified %</th>'
        '<th class="number">clean %</th><th class="number">wrong</th></tr></thead>'
        f"<tbody>{instruments}</tbody></table></div>"
    )


def jobs(listed: Sequence[Job]) -> str:
    """Running and finished jobs, for every viewer."""
    body = "".join(_job(job) for job in listed[:MAX_JOBS])
    if not body:
        return ""
    head = "".join(f"<th>{name}</th>" for name in ("what", "state", "time", "outcome"))
    return (
        f'<div class="panel"><h3>Work</h3><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _job(job: Job) -> str:
    shape, look = JOB_STATES[job.state]
    return (
        f"<tr><td>{escape(job.work)} <b>{escape(job.recording)}</b></td>"
        f'<td class="told {look}">{shape} {job.state}</td><td>{job.seconds:.1f} s</td>'
        f'<td class="wrap">{_outcome(job)}</td></tr>'
    )


def _outcome(job: Job) -> str:
    if job.state == "running":
        bar = (
            f'<progress max="{job.total}" value="{job.done}"></progress>'
            f" {job.done:,} of {job.total:,} rows"
            if job.total
            else "<progress></progress>"
        )
        return f'{bar} <button data-say="cancel:{job.number}">Cancel</button>'
    if job.state == "failed":
        return f'<span class="error">{escape(job.error)}</span>'
    if job.state == "cancelled":
        return "nothing of it is left"
    found = job.outcome
    if job.work == "verify":
        problems = len(found["problems"])
        return f"✖ damaged: {problems} problems" if problems else "✔ not damaged"
    if job.work == "delete":
        return f"{size(found['bytes'])} freed"
    left_out = escape(", ".join(found["unread"]))
    told = f'; <span class="error">▲ unreadable, left out: {left_out}</span>' if left_out else ""
    if job.work == "try":
        return f"{found['signals']:,} signals in {found['rows']:,} rows{told}"
    return f"{found['rows']:,} rows, {size(found['bytes'])}, in {escape(found['path'])}{told}"


def state(name: str) -> str:
    shape, look, word = STATES[name]
    return f'<span class="told {look}">{shape} {word}</span>'


def size(count: int) -> str:
    for unit, one in (("GB", 1e9), ("MB", 1e6)):
        if count >= one:
            return f"{count / one:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _when(text: str | None) -> str:
    if not text:
        return "–"
    return escape(time_axis.local(time_axis.local_ns(text))[:19].replace("T", " "))


def _lasted(one: dict[str, Any]) -> str:
    if not one["started"]:
        return "–"
    began = datetime.fromisoformat(one["started"])
    if not one["ended"] and one["state"] != "open":
        return "–"
    ended = datetime.fromisoformat(one["ended"]) if one["ended"] else datetime.now(UTC)
    seconds = int((ended - began).total_seconds())
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
