"""Time and sales: the newest trades, each in full."""

from __future__ import annotations

from monitor.hub import Hub, Instrument
from monitor.page.views.figures import Dense, exact_texts
from monitor.page.views.tables import clock, number

TRADES = 40
# Shape, word and colour all show the side.
SIDES = {1: ("buy", "▲"), -1: ("sell", "▼"), 0: ("none", "–")}


class Tape(Dense):
    """A table of trades, the newest first; old ones that do not fit are cut off."""

    def html(self, hub: Hub, instrument: Instrument) -> str:
        return _tape(hub, instrument)


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
