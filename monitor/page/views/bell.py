"""The bell: the active alerts, and buttons to acknowledge and mute them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import panel as pn
from panel.custom import JSComponent

from monitor.hub import Hub
from monitor.page.views.style import FONT, look
from monitor.rows import iso
from monitor.state import Alert, Alerts, Mute

# Most active and most ended alerts that are listed; the count includes all.
SHOWN_ACTIVE, SHOWN_ENDED = 100, 30
# Above this number one toast gives the count.
TOASTS = 3
ACTIONS = {"acknowledge": "since", "mute": "seconds", "unmute": ""}

CSS = f"""
:host {{ font-family: {FONT}; color: var(--text); font-size: 13px; }}
.bell {{ position: relative; color: var(--text); }}
button, select {{ background: var(--field); color: var(--strong); border: 1px solid var(--edge);
         border-radius: 4px; padding: 3px 8px; font: inherit; cursor: pointer; }}
button:hover {{ background: var(--hover); }}
button:focus-visible, select:focus-visible {{ outline: 2px solid var(--accent); }}
.ring {{ padding: 5px 10px; white-space: nowrap; display: flex; gap: 7px; align-items: center; }}
.ring svg {{ width: 14px; height: 14px; fill: currentColor; }}
.ring.some {{ background: var(--alarm-bg); color: var(--alarm); border-color: var(--alarm);
         font-weight: 700; }}
[hidden] {{ display: none !important; }}
.box {{ position: absolute; top: calc(100% + 6px); z-index: 900; max-height: 70vh;
       width: min(760px, calc(100vw - 28px)); overflow: auto; background: var(--panel);
       border: 1px solid var(--edge); border-radius: 8px; padding: 10px 14px; }}
.head, .foot {{ display: flex; gap: 6px 10px; align-items: center; flex-wrap: wrap; }}
h3 {{ margin: 0; font-size: 13px; font-weight: 600; color: var(--strong); flex: 1; }}
ul {{ list-style: none; margin: 8px 0; padding: 0; }}
li {{ border-top: 1px solid var(--line); padding: 6px 0; display: grid; gap: 2px 12px;
     grid-template-columns: 112px 84px minmax(0, 1fr) auto; align-items: center; }}
li .text {{ overflow-wrap: anywhere; }} li .where {{ font-weight: 600; color: var(--strong); }}
.acts {{ display: flex; gap: 6px; }} .acts select {{ width: 92px; }}
.level {{ font-weight: 600; }} .warn {{ color: var(--warn); }} .alert {{ color: var(--bad); }}
.over {{ color: var(--ok); }} .muted, .time {{ color: var(--muted); }}
.time {{ font-variant-numeric: tabular-nums; }}
.note:not(:empty) {{ color: var(--warn); padding: 4px 0; }}
.toasts {{ position: fixed; right: 14px; bottom: 14px; z-index: 999; display: flex; gap: 8px;
          flex-direction: column; width: min(380px, calc(100vw - 28px)); }}
.toast {{ background: var(--panel); border: 1px solid var(--edge); border-left-width: 5px;
         border-radius: 6px; padding: 8px 10px; display: flex; gap: 10px; align-items: start;
         box-shadow: 0 4px 18px rgb(0 0 0 / 35%); }}
.toast.warn {{ border-left-color: var(--warn); }} .toast.alert {{ border-left-color: var(--bad); }}
.toast div {{ flex: 1; overflow-wrap: anywhere; color: var(--text); }}
@media (max-width: 620px) {{ li {{ grid-template-columns: 1fr auto; }}
}}
"""


class Bell(JSComponent):  # type: ignore[misc]  # Panel tells no types.
    """A button with the number of unacknowledged active alerts, its panel, and toasts.

    `act` carries out an operator's choice on another thread and returns an error text, if any. A
    browser that connects requests everything; then it receives changes only.
    """

    _esm = Path(__file__).with_suffix(".js")
    _stylesheets: ClassVar[list[str]] = [CSS]

    def __init__(self, may_act: bool, act: Callable[[dict[str, Any]], str]) -> None:
        super().__init__(align="end", margin=(5, 10))
        # Not a property of the component: a browser could set that.
        self._may_act, self._act = may_act, act
        # No toast for alerts from before the page opened, or while it showed something else.
        self._told_ns = time.time_ns()
        self._seen: tuple[Any, ...] = ()
        self._sent: dict[str, Any] = {}

    def refresh(self, hub: Hub, is_live: bool) -> None:
        """Send changes since the last call, if any."""
        alerts = hub.alerts
        mutes = alerts.mutes(hub.now_ns)
        seen = (alerts, alerts.version, is_live, mutes)
        if not is_live:
            self._told_ns = time.time_ns()
        if seen == self._seen:
            return
        self._seen = seen
        self._sent = shown(alerts, mutes, hub.now_ns, is_live)
        news = self._news(alerts, hub.now_ns) if is_live else []
        self._send_msg({**self._sent, "news": news[:TOASTS], "more": len(news[TOASTS:])})

    def _news(self, alerts: Alerts, now_ns: int) -> list[dict[str, Any]]:
        active = alerts.active()
        fresh = [one for one in active if one.since_ns > self._told_ns and not one.by]
        self._told_ns = max([self._told_ns, *(one.since_ns for one in fresh)])
        return [
            _row(alert, now_ns)
            for alert in fresh
            if not alerts.is_muted(alert.rule, alert.where, alert.since_ns)
        ]

    def _handle_msg(self, data: Any) -> None:
        if data.get("ready"):
            self._send_msg({**self._sent, "may_act": self._may_act})
            return
        action = str(data.get("action"))
        # A browser can send values that the page does not offer.
        if not self._may_act or action not in ACTIONS:
            self._send_msg({"note": "refused: expected an operator, found a viewer"})
            return
        named = ("action", "rule", "where", ACTIONS[action])
        wanted = {name: data.get(name) for name in named if name}
        pn.state.execute(partial(self._carry_out, wanted))

    async def _carry_out(self, wanted: dict[str, Any]) -> None:
        self._send_msg({"note": await asyncio.to_thread(self._act, wanted)})


def shown(alerts: Alerts, mutes: Sequence[Mute], now_ns: int, is_live: bool) -> dict[str, Any]:
    """Return the contents of the bell's panel, and the count on the bell."""
    active = alerts.active()
    muted = {
        (one.rule, one.where) for one in active if alerts.is_muted(one.rule, one.where, now_ns)
    }
    # In a replay an alert may occur twice: recorded and recomputed.
    waiting = {(one.rule, one.where) for one in active if not one.by} - muted
    return {
        "count": len(waiting),
        "active": len(active),
        "live": is_live,
        "rows": [
            {**_row(one, now_ns), "muted": (one.rule, one.where) in muted}
            for one in active[:SHOWN_ACTIVE]
        ]
        + [_row(one, now_ns) for one in alerts.ended()[:SHOWN_ENDED]],
        "mutes": [
            {
                "rule": mute.rule,
                "where": mute.where,
                "by": mute.by,
                "until": None if mute.until_ns is None else _moment(mute.until_ns, now_ns),
            }
            for mute in mutes
        ],
    }


def _row(alert: Alert, now_ns: int) -> dict[str, Any]:
    return {
        "rule": alert.rule,
        "where": alert.where,
        "since": iso(alert.since_ns),
        "time": _moment(alert.since_ns, now_ns),
        "over": None if alert.ended_ns is None else _moment(alert.ended_ns, now_ns),
        "level": alert.level,
        "text": alert.text[:300],
        "origin": alert.origin,
        "by": alert.by,
    }


def _moment(ns: int, now_ns: int) -> str:
    """Return a time in the viewer's zone, with the date if it is not today."""
    at, now = (datetime.fromtimestamp(one / 1e9, look().zone) for one in (ns, now_ns))
    return at.strftime("%H:%M:%S" if at.date() == now.date() else "%m-%d %H:%M:%S")
