"""The legs of one symbol as a table, and the share of time each was best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from monitor.hub import Hub, Instrument, Quote
from monitor.page.views import plot, tables
from monitor.page.views.figures import exact_texts
from monitor.page.views.legs import Share, shares
from monitor.rows import quote_assets
from monitor.state import ENDED

NAMES = (
    *("leg", "state", "bid", "ask", "spread bps", "age", "bid off best, bps"),
    *("ask off best, bps", "at best bid", "at best ask", "stale"),
)


def legs(
    hub: Hub,
    owners: Sequence[Instrument],
    drawn: Sequence[Instrument],
    symbol: str,
    fresh_ms: float,
    taken_for: quote_assets.TakenFor,
) -> str:
    """Make the sentence and the table; only legs of the symbol, or treated as it, are compared.

    `drawn` are the legs with a line, in the order of lines. The shares are of the last minute; a
    leg is stale when no quote came for `fresh_ms`.
    """
    quotes = {(quote.venue, quote.symbol): quote for quote in hub.quotes()}
    states = hub.states()
    one = quote_assets.compared(symbol, taken_for)
    same = [owner for owner in owners if quote_assets.compared(owner[1], taken_for) == one]
    seconds, found = shares(hub, same, int(fresh_ms * 1e6))
    # Without rows the last minute is not the present one.
    share = {} if hub.is_silent else dict(zip(same, found, strict=True))
    fresh = [quotes[o] for o in same if o in quotes and not _is_stale(quotes[o], fresh_ms)]
    best_bid = max((q.bid for q in fresh if not math.isnan(q.bid)), default=math.nan)
    best_ask = min((q.ask for q in fresh if not math.isnan(q.ask)), default=math.nan)
    rows = []
    for owner in owners:
        quote = quotes.get(owner)
        rows.append(
            [
                _name(drawn, owner, quote_assets.told(owner[1], taken_for)),
                _state(states.get(owner, ""), quote, fresh_ms),
                *_cells(quote, best_bid, best_ask, owner in same, fresh_ms),
                *_parts(share.get(owner)),
            ]
        )
    told = _alone(hub, same[0]) if len(same) == 1 else _sentence(seconds, share)
    if hub.is_silent:
        told = '<span class="muted">no rows come: which venue is best is not known</span>'
    name = quote_assets.compound((of[1] for of in owners), symbol, taken_for)
    title = f"Legs of {escape(name)} — {told}"
    return tables.table(title, NAMES, rows)


def _sentence(seconds: float, share: dict[Instrument, Share]) -> str:
    """Answer which venue was best in the last minute, and whether any was stale."""
    if not share or not seconds:
        return '<span class="muted">no quote of it yet</span>'
    bid = max(share, key=lambda owner: share[owner].bid)
    ask = max(share, key=lambda owner: share[owner].ask)
    is_mixed = len({symbol for _, symbol in share}) > 1

    def name(owner: Instrument) -> str:
        return escape(" ".join(owner) if is_mixed else owner[0])

    stale = [f"{name(o)} ({s.stale:.0%})" for o, s in share.items() if s.stale >= 0.005]
    return (
        f"best in the last {seconds:.0f} s: highest bid {name(bid)} ({share[bid].bid:.0%} of"
        f" the time), lowest ask {name(ask)} ({share[ask].ask:.0%}) · stale: "
        + (", ".join(stale) if stale else "none")
    )


def _alone(hub: Hub, owner: Instrument) -> str:
    """Say that there is nothing to compare a venue with, and name what there is."""
    base = owner[1].partition("-")[0]
    near = [of for of in hub.instruments() if of[1].partition("-")[0] == base and of[1] != owner[1]]
    held = [" ".join(of) for of in near if sum(of[1] == symbol for _, symbol in near) > 1]
    told = f"only {escape(owner[0])} has it, so there is no best venue"
    if not held:
        return told
    return f"{told}; to compare some, choose under Instrument: {escape(' or '.join(held))}"


def _is_stale(quote: Quote, fresh_ms: float) -> bool:
    return quote.age_ms > fresh_ms


def _name(drawn: Sequence[Instrument], owner: Instrument, taken: str) -> str:
    name = f"<b>{escape(owner[0])}</b> {escape(owner[1])}"
    name += f' <span class="muted">({escape(taken)})</span>' if taken else ""
    if owner not in drawn:
        return f'<span class="swatch"></span>{name}'
    at = drawn.index(owner)
    color = plot.LINES[at % len(plot.LINES)]
    dash = "solid" if at < len(plot.LINES) else "dashed"
    swatch = f'<span class="swatch" style="border-top: 3px {dash} {color}"></span>'
    return f"{swatch}{name}"


def _state(state: str, quote: Quote | None, fresh_ms: float) -> str:
    if state not in ENDED and quote is not None and _is_stale(quote, fresh_ms):
        return '<span class="state stale">▲ stale</span>'
    shape = tables.SHAPES.get(state, "?")
    return f'<span class="state {escape(state)}">{shape} {escape(state)}</span>'


def _cells(
    quote: Quote | None, best_bid: float, best_ask: float, is_same: bool, fresh_ms: float
) -> list[str]:
    if quote is None:
        return ["–"] * 6
    bid, ask = (_price(value) for value in (quote.bid, quote.ask))
    spread = tables.number((quote.ask - quote.bid) / ((quote.ask + quote.bid) / 2) * 1e4, 2)
    if _is_stale(quote, fresh_ms):
        bid, ask, spread = (f'<span class="muted">{text}</span>' for text in (bid, ask, spread))
    cells = [bid, ask, spread, tables.age(quote.age_ms)]
    if not is_same:
        return [*cells, "another quote asset", ""]
    if _is_stale(quote, fresh_ms):
        return [*cells, "–", "–"]
    return [
        *cells,
        _off((quote.bid - best_bid) / best_bid * 1e4),
        _off((quote.ask - best_ask) / best_ask * 1e4),
    ]


def _price(value: float) -> str:
    return "–" if math.isnan(value) else exact_texts([value])[0]


def _off(bps: float) -> str:
    return '<span class="best">★ best</span>' if bps == 0 else tables.number(bps, 2)


def _parts(share: Share | None) -> list[str]:
    if share is None:
        return ["–"] * 3
    stale = f"{share.stale:.0%}"
    return [
        f"{share.bid:.0%}",
        f"{share.ask:.0%}",
        f'<span class="mark">▲ {stale}</span>' if share.stale >= 0.005 else stale,
    ]
