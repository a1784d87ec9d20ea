"""The first line of the page: LIVE or REPLAY, and where the rows come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from monitor.hub import Hub
from monitor.page.collector_link import Standing
from monitor.page.viewer_replay import Replaying
from monitor.page.views import style
from monitor.page.views.tables import clock
from monitor.state import UP

NAME = '<span class="name">monitor</span>'


def of_replay(hub: Hub, replaying: Replaying, note: str) -> str:
    """Write the banner of a replay; `note` is HTML."""
    player = replaying.player
    text = f"REPLAY {escape(replaying.name)} — {player.told} — {hub.updates:,} updates"
    notes = [f"{_moment(player.position_ns)} · not live"]
    if replaying.hooks_from_ns:
        notes.append(f"recomputed signals since {_moment(replaying.hooks_from_ns)}")
    if replaying.trouble:
        notes.append(escape(replaying.trouble))
    return _bar(("replay", text), muted=" · ".join(notes) + note, kind="replaying")


def of_opening(
    names: Sequence[str], about: Mapping[str, Any], standing: Standing | None, note: str
) -> str:
    """Write the banner while a replay is being opened; `note` is HTML."""
    text = f"REPLAY — opening {escape(' + '.join(names))} …"
    waits = ""
    if about.get("recording") in names:
        waits = " · waiting for the collector's copy of the file that it writes"
        if standing and standing.kind == "hung":
            waits += f": {standing.advice}"
    return _bar(("replay", text), muted=f"not live{escape(waits)}{note}", kind="replaying")


def of_live(hub: Hub, about: Mapping[str, Any], standing: Standing | None, note: str) -> str:
    """Write the line of the live page; `about` is the collector's own report, `note` HTML."""
    badges = [("simulated", "SIMULATED")] if about.get("simulated") else []
    if standing is not None:
        badges.append(("waiting", standing.badge))
        return _bar(*badges, muted=f"{escape(standing.advice)}{note}")
    states = list(hub.states().values())
    up = sum(state in UP for state in states)
    badges.append(_live_badge(states, about, f"{hub.updates:,} updates"))
    if about.get("trouble"):
        badges.append(("waiting", escape(about["trouble"])))
    recording = about.get("recording")
    notes = [f"{up} of {len(states)} sources connected"]
    if _is_without_sources(states, about):
        notes = ["no source is followed (Settings adds one)"]
    notes.append(f"recording {escape(recording)}" if recording else "not recording")
    if hub.since_ns:
        # Rows before this page's server attached to the collector are not counted.
        notes.append(f"counted since {clock(hub.since_ns)}")
    return _bar(*badges, muted=" · ".join(notes) + note)


def _is_without_sources(states: Sequence[str], about: Mapping[str, Any]) -> bool:
    """Whether the collector follows nothing; unknown (false) before it has answered."""
    return not states and "followed" in about and not about["followed"]


def _live_badge(states: Sequence[str], about: Mapping[str, Any], updates: str) -> tuple[str, str]:
    """Return style and text of the badge; it is green only if a source is connected."""
    if _is_without_sources(states, about):
        return "waiting", f"NO SOURCES — {updates}"
    # Before the collector has answered it counts as running.
    if not about.get("running", True):
        return "stopped", f"STOPPED for everyone — {updates}"
    up = [state for state in states if state in UP]
    if not up:
        is_opening = all(state == "initialising" for state in states)
        return "waiting", f"{'CONNECTING' if is_opening else 'NO SOURCE CONNECTED'} — {updates}"
    polled = sum(state == "polling" for state in up)
    way = "REST" if polled == len(up) else "WebSocket and REST" if polled else "WebSocket"
    return "live", f"LIVE ({way}) — {updates}"


def _moment(ns: int) -> str:
    """Write date and time to the µs, in the zone that the viewer chose."""
    zone = style.look().zone
    return f"{datetime.fromtimestamp(ns // 1000 / 1e6, zone):%Y-%m-%d %H:%M:%S.%f} {zone.key}"


def _bar(*badges: tuple[str, str], muted: str, kind: str = "") -> str:
    shown = "".join(f'<span class="badge {of}">{text}</span>' for of, text in badges)
    return f'<div class="bar {kind}">{NAME}{shown}<span class="muted">{muted}</span></div>'
