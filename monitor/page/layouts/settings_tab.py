"""The tab Settings: sources, refresh rate, and who can reach the page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from html import escape
from itertools import product
from typing import Any

import panel as pn

from monitor._rust_feed import venues
from monitor.access import Finding
from monitor.hub import Hub, Instrument, SourceStatus
from monitor.page.layouts import Shared
from monitor.page.views import style, tables
from monitor.page.views.note import Note

TABLE_EVERY_S = 0.5
RATES_MS = {"10 a second": 100, "5 a second": 200, "2 a second": 500, "1 a second": 1000}
MODES = {"Auto (WebSocket, REST fallback)": "auto", "WebSocket only": "ws", "REST only": "rest"}
# None leaves it to the venue.
LEAST_INTERVAL_S, MOST_INTERVAL_S = 0.1, 3600.0
NONE: dict[str, str | None] = {"choose one …": None}
# Kraken's names of assets in its own symbols.
CANONICAL = {"XBT": "BTC", "XDG": "DOGE"}
WORST_FIRST = ("failed", "stale", "polling", "initialising", "stopped", "quiet", "connected")


class Settings:
    """The collector's sources, shared by all, and this viewer's own choices."""

    title = "Settings"

    def __init__(self, shared: Shared, set_period: Callable[[int], None]) -> None:
        self._shared, self._tables_s = shared, 0.0
        self._followed, self._note = style.html(), Note()
        look: dict[str, Any] = {"stylesheets": [style.WIDGET_CSS]}
        button: dict[str, Any] = {**look, "align": "end"}
        self._venue = pn.widgets.Select(name="Venue", options=list(venues()), width=160, **look)
        self._symbol = pn.widgets.TextInput(
            name="Symbol or pattern", placeholder="BTC-USDT or *-USDT", width=190, **look
        )
        self._channels = pn.widgets.MultiChoice(name="Channels (none: all)", width=230, **look)
        self._venue.param.watch(lambda _: self._offer_channels(), "value")
        self._offer_channels()
        self._mode = pn.widgets.Select(name="Mode", options=MODES, width=220, **look)
        self._interval = pn.widgets.FloatInput(
            name="Seconds between polls",
            placeholder="venue default",
            value=None,
            start=LEAST_INTERVAL_S,
            end=MOST_INTERVAL_S,
            width=150,
            **look,
        )
        self._add = pn.widgets.Button(name="Add", width=80, **button)
        self._add.on_click(self._add_source)
        self._chosen = pn.widgets.Select(name="Source", options=NONE, width=300, **look)
        self._remove = pn.widgets.Button(name="Remove", width=90, **button)
        self._remove.on_click(self._remove_source)
        self._rate = pn.widgets.Select(
            name="This page is drawn", options=list(RATES_MS), width=190, **look
        )
        self._rate.param.watch(lambda event: set_period(RATES_MS[event.new]), "value")
        exposure = style.html()
        exposure.object = _checked(shared.findings)
        adding = (self._venue, self._symbol, self._channels, self._mode, self._interval, self._add)
        self.view = pn.Column(
            self._followed,
            style.flowing(*adding),
            style.flowing(self._chosen, self._remove, self._rate),
            self._note.view,
            exposure,
            sizing_mode="stretch_width",
        )

    def refresh(self, hub: Hub, instrument: Instrument | None) -> None:
        if time.monotonic() - self._tables_s < TABLE_EVERY_S:
            return
        self._tables_s = time.monotonic()
        self._note.refresh()
        followed = self._shared.about().get("followed", [])
        # The sources followed now, even during a replay.
        html = _followed(followed, self._shared.hub.sources())
        if self._followed.object != html:
            self._followed.object = html
        names = NONE | {source["source"]: source["source"] for source in followed}
        if names != self._chosen.options:
            value = self._chosen.value if self._chosen.value in names else None
            self._chosen.param.update(options=names, value=value)

    def _offer_channels(self) -> None:
        channels = venues()[self._venue.value]["channels"]
        kept = [channel for channel in self._channels.value if channel in channels]
        self._channels.param.update(options=channels, value=kept)

    async def _add_source(self, _: Any) -> None:
        symbol = self._symbol.value.strip()
        if not symbol:
            self._note.say("expected a symbol such as BTC-USDT, found none", is_well=False)
            return
        text = "+".join((f"{self._venue.value}:{symbol}", *self._channels.value))
        source = {"source": text, "mode": self._mode.value, "interval_s": self._interval.value}
        await self._ask("add", source)

    async def _remove_source(self, _: Any) -> None:
        if self._chosen.value is None:
            self._note.say("expected a source to be chosen, found none", is_well=False)
            return
        await self._ask("remove", {"source": self._chosen.value})

    async def _ask(self, action: str, source: dict[str, Any]) -> None:
        """Send it to the collector on a thread, so that no other page waits."""
        self._add.disabled = self._remove.disabled = True
        self._note.say(f"{source['source']}: asking the venue for its list …")
        try:
            told = await asyncio.to_thread(self._shared.control, action, [source])
        finally:
            self._add.disabled = self._remove.disabled = False
        self._note.say(told, is_well=" failed: " not in told)
        self._tables_s = 0.0


def _followed(followed: Sequence[dict[str, Any]], known: Sequence[SourceStatus]) -> str:
    """The followed sources: mode, interval and state, each in words."""
    words = {mode: word for word, mode in MODES.items()}
    rows = []
    for source in followed:
        interval_s = source["interval_s"]
        states = states_of(source["source"], known)
        worst = next((state for state in WORST_FIRST if states.get(state)), None)
        told = "nothing yet"
        if worst is not None:
            counts = ", ".join(
                f"{states[state]} {state}" if sum(states.values()) > 1 else state
                for state in WORST_FIRST
                if states.get(state)
            )
            told = f'<span class="state {worst}">{tables.SHAPES[worst]} {counts}</span>'
        rows.append(
            [
                f"<b>{escape(source['source'])}</b>",
                escape(words.get(source["mode"], source["mode"])),
                "venue default" if interval_s is None else f"{interval_s:g} s",
                told,
            ]
        )
    return tables.table(
        "Sources, for every viewer", ["source", "mode", "polls every", "state"], rows
    )


def states_of(source: str, known: Sequence[SourceStatus]) -> dict[str, int]:
    """Count the states of the instruments of a source `venue:SYMBOL[+channel…]`."""
    venue, _, rest = source.partition(":")
    wanted = rest.split("+")[0].upper().replace("/", "-")
    pattern = "-".join(CANONICAL.get(asset, asset) for asset in wanted.split("-"))
    counts: dict[str, int] = {}
    for status in known:
        # A pair may have several markets, distinguished after an @.
        names = (status.symbol.upper(), status.symbol.upper().partition("@")[0])
        fits = wanted in _joined(names[1]) or any(fnmatchcase(name, pattern) for name in names)
        if status.venue == venue and fits:
            counts[status.state] = counts.get(status.state, 0) + 1
    return counts


def _joined(symbol: str) -> set[str]:
    """Return the venues' spellings of a pair without a separator: `XBTUSD`, `XXBTZUSD`."""
    base, _, quote = symbol.partition("-")
    spelled = []
    for asset in (base, quote):
        old = next((name for name, of in CANONICAL.items() if of == asset), asset)
        spelled.append((asset, old, f"X{old}", f"Z{asset}"))
    return {"".join(pair) for pair in product(*spelled)}


def _checked(findings: Sequence[Finding]) -> str:
    rows = []
    for finding in findings:
        state = ("connected", "● OK") if finding.is_well else ("stale", "▲ warning")
        mark = f'<span class="state {state[0]}">{state[1]}</span>'
        rows.append(
            [escape(finding.name), mark, f'<span class="wrap">{escape(finding.text)}</span>']
        )
    return tables.table("Who can reach this page", ["what", "", "found"], rows)
