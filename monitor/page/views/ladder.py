"""The depth ladder: the best levels of the book as a table with size bars."""

from __future__ import annotations

from html import escape

import numpy as np

from monitor.hub import Hub, Instrument
from monitor.page.views import tables
from monitor.page.views.figures import Dense, exact_texts
from monitor.state import Columns

NO_BOOK = "no order book from this source: add the channel <b>book</b> to it, or choose another"
# Same column widths above and below the spread.
COLUMNS = '<colgroup><col class="mark"><col class="price"><col><col></colgroup>'
HEAD = "<tr><th></th><th>price</th><th>size</th><th>total</th></tr>"


class Ladder(Dense):
    """Asks above bids, with the spread between them; far levels that do not fit are cut off."""

    def html(self, hub: Hub, instrument: Instrument) -> str:
        return _ladder(hub, instrument)


def _ladder(hub: Hub, instrument: Instrument) -> str:
    depth = hub.last("depth", instrument)
    if not depth:
        return f'<div class="panel fill"><h3>Ladder</h3><div class="muted">{NO_BOOK}</div></div>'
    quote = hub.last("quote", instrument)
    told, is_true = "", True
    if depth["bad"][0]:
        told, is_true = '<span class="book bad">✖ bad book</span>', False
    elif quote and np.isnan(quote["bid"][0]) and np.isnan(quote["ask"][0]):
        told, is_true = '<span class="book bad">■ ended</span>', False
    bid_prices, ask_prices = depth["bid_prices"][0], depth["ask_prices"][0]
    bids, asks = (int(np.isfinite(prices).sum()) for prices in (bid_prices, ask_prices))
    prices = exact_texts(np.concatenate([bid_prices[:bids], ask_prices[:asks]]))
    most = max(
        1e-300, *(float(np.nanmax(depth[f"{s}_sizes"][0], initial=0)) for s in ("bid", "ask"))
    )
    above = _rows("ask", prices[bids:], depth["ask_sizes"][0][:asks], most)
    below = _rows("bid", prices[:bids], depth["bid_sizes"][0][:bids], most)
    spread = ask_prices[0] - bid_prices[0]
    bps = spread / ((ask_prices[0] + bid_prices[0]) / 2) * 1e4
    between = f"spread {spread:,.8g} · {bps:.2f} bps" if np.isfinite(spread) else "one side only"
    dim = "" if is_true else " dim"
    return (
        f'<div class="panel fill ladder"><h3>Ladder {told}{_when(depth, quote)}</h3>'
        f'<div class="sides{dim}">'
        f'<div class="head"><table>{COLUMNS}{HEAD}</table></div>'
        f'<div class="asks"><table>{COLUMNS}{"".join(reversed(above))}</table></div>'
        f'<div class="between">{escape(between)}</div>'
        f'<div class="bids"><table>{COLUMNS}{"".join(below)}</table></div></div></div>'
    )


def _when(depth: Columns, quote: Columns) -> str:
    """Show the time of the book, and how much later the last quote came: its best may differ."""
    at_ns = int(depth["ts_recv"][0])
    behind_ns = int(quote["ts_recv"][0]) - at_ns if quote else 0
    later = f" · quote {tables.age(behind_ns / 1e6)} later" if behind_ns > 0 else ""
    return f'<span class="muted when">{tables.clock(at_ns)}{later}</span>'


def _rows(side: str, prices: list[str], sizes: np.ndarray, most: float) -> list[str]:
    texts = exact_texts(sizes)
    decimals = len(texts[0].partition(".")[2]) if texts else 0
    return [
        f'<tr class="{side}{" best" if at == 0 else ""}">'
        f"<td>{'best' if at == 0 else ''}</td><td>{price}</td>"
        f'<td class="size" style="--part:{size / most * 100:.1f}%">{text}</td>'
        f"<td>{total:,.{decimals}f}</td></tr>"
        for at, (price, text, size, total) in enumerate(
            zip(prices, texts, sizes, np.cumsum(sizes), strict=True)
        )
    ]
