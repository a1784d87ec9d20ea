"""Time and sales: the newest trades, each in full."""

from __future__ import annotations

from typing import Any

import panel as pn

from monitor.hub import Hub, Instrument
from monitor.views import style
from monitor.views.figures import DENSE_CSS, exact_texts
from monitor.views.tables import clock, number

TRADES = 40
EVERY_NS = 250_000_000
# A side is told by shape, word and colour alike.
SIDES = {1: ("buy", "▲"), -1: ("sell", "▼"), 0: ("none", "–")}


class Tape:
    """A table of trades, the newest first; what does not fit is cut off at the old end."""

    def __init__(self) -> None:
        self._shown: tuple[Any, ...] | None = None
        self.pane = pn.pane.HTML(
            "", stylesheets=[style.PANE_CSS, DENSE_CSS], sizing_mode="stretch_both", margin=(4, 5)
        )

    def refresh(self, hub: Hub, instrument: Instrument) -> None:
        shown = (id(hub), hub.epoch, instrument, hub.now_ns // EVERY_NS)
        if shown == self._shown:
            return
        self._shown = shown
        html = _tape(hub, instrument)
        if self.pane.object != html:
            self.pane.object = html


def _tape(hub: Hub, instrument: Instrument) -> str:
    trades = hub.last("trade", instrument, TRADES)
    if not trades:
        return (
            '<div class="panel fill"><h3>Time and sales</h3>'
            '<div class="muted">no trade of this source yet</div></div>'
        )
    trades = {name: values[::-1] for name, values in trades.items()}
    rows = []
    for price, size, side, event, recv, latency in zip(
        exact_texts(trades["price"]),
        exact_texts(trades["size"]),
        trades["side"].tolist(),
        trades["ts_event"].tolist(),
        trades["ts_recv"].tolist(),
        trades["latency_ms"].tolist(),
        strict=True,
    ):
        word, shape = SIDES[side]
        rows.append(
            f'<tr><td class="{word}">{shape} {word}</td><td class="{word}">{price}</td>'
            f"<td>{size}</td><td>{clock(recv)}</td>"
            f'<td class="faint">{clock(event) if event else "–"}</td>'
            f'<td class="faint">{number(latency, 1)}</td></tr>'
        )
    names = ("aggressor", "price", "size", "received", "at venue", "ms")
    head = "".join(f"<th>{name}</th>" for name in names)
    return (
        '<div class="panel fill"><h3>Time and sales</h3><div class="rows"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></div>"
    )
