"""One symbol across venues: the mid of each venue and the best bid and offer.

A quote counts for a given time after it arrived. Then its leg is stale: its line ends, a muted
broken line with the word continues at its last mid, and it is not part of the best bid and offer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from monitor.hub import ALERT_LEVELS, Hub, Instrument, Mark
from monitor.page.views import elements, plot
from monitor.page.views.legs import Across, Leg, Span
from monitor.page.views.line_plot import Lines
from monitor.page.views.refresh_pace import Pace
from monitor.page.views.thinning import thin
from monitor.page.views.what_if import WhatIf
from monitor.rows import quote_assets
from monitor.state import Columns

LEGS = 8
# Distance of a label's middle from its line.
WORD_PX = 8.0
ROLLOVER_SPANS = 500
TITLE = "Mid of each venue, best bid and offer"
BEST, WAS_STALE, IS_STALE, WORDS, CHANCES = LEGS, LEGS + 2, LEGS + 3, LEGS + 4, LEGS + 5


class CrossVenue(Lines):
    title = TITLE
    kinds = ()
    height = None
    slots = LEGS
    extra = ("bid", "ask")
    tooltips = (
        ("mid", elements.exact("y")),
        ("bid", elements.exact("bid")),
        ("ask", elements.exact("ask")),
    )

    def __init__(self, fresh_ms: float, taken_for: quote_assets.TakenFor, what_if: WhatIf) -> None:
        self._fresh_ns, self._taken_for = int(fresh_ms * 1e6), taken_for
        self._what_if = what_if
        # Symbols drawn over that of the instrument.
        self.others: tuple[str, ...] = ()
        self._legs: dict[Instrument, Leg] = {}
        self._fresh: dict[Instrument, Columns] = {}
        self._spans: list[Span] = []
        # The legs have been read up to here.
        self._until_ns = 0
        self._across = Across(LEGS)
        self._pace = Pace()
        super().__init__()

    def draw(self) -> list[Any]:
        muted: dict[str, Any] = {"color": plot.MUTED, "line_dash": "dashed", "line_width": 1.5}
        return [
            *super().draw(),
            *(
                elements.curve(
                    *(name, f"best {name}", plot.BEST),
                    line_dash="dotted",
                    line_width=1.0,
                    tools=[elements.hover([(f"best {name}", elements.exact(name))])],
                )
                for name in ("bid", "ask")
            ),
            elements.segments("", **muted),
            elements.segments("", **muted),
            elements.texts(
                ("shift",),
                text_color=plot.MARK,
                text_font_size="11px",
                text_align="right",
                text_baseline="middle",
            ),
            elements.points(
                *("bid", "hypothetical chance", ("bps", "text")),
                color=plot.MARK,
                marker="star",
                size=9,
                line_color=None,
                tools=[elements.hover([("hypothetical", "@text"), ("bid", elements.exact("bid"))])],
            ),
        ]

    def finish(self, plot: Any, element: Any) -> None:
        words = self._sources[WORDS].data
        # HoloViews leaves out columns without a label.
        if "shift" not in words:
            words["shift"] = []
        self.renderers[WORDS].glyph.y_offset = {"field": "shift"}

    def scope(self, hub: Hub, instrument: Instrument) -> object:
        return instrument[1], self.others, self._what_if.turn, super().scope(hub, instrument)

    def all_of_them(self, hub: Hub, instrument: Instrument) -> list[Instrument]:
        symbols = (instrument[1], *self.others)
        legs = [
            leg
            for leg in hub.instruments()
            if leg[1] in symbols or self.is_same(leg[1], instrument[1])
        ]
        # The compared ones first.
        place = {symbol: at for at, symbol in enumerate(symbols)}
        return sorted(legs, key=lambda leg: (place.get(leg[1], 0), leg[1] not in place, leg))

    def is_same(self, symbol: str, other: str) -> bool:
        """Whether instruments of these symbols are compared."""
        one, two = (quote_assets.compared(name, self._taken_for) for name in (symbol, other))
        return one == two

    def concerns(self, mark: Mark, instrument: Instrument) -> bool:
        symbols = {None, instrument[1], *self.others, *(symbol for _, symbol in self.owners)}
        venues = {"monitor", *(venue for venue, _ in self.owners)}
        return mark.symbol in symbols and (mark.kind in ALERT_LEVELS or mark.venue in venues)

    def update(self, hub: Hub, instrument: Instrument, anew: bool) -> None:
        if anew:
            self._legs, self._across = {}, Across(LEGS)
            self._what_if.begin()
        self._fresh, self._spans, self._until_ns = {}, [], hub.now_ns
        symbols = [symbol for _, symbol in self.all_of_them(hub, instrument)]
        name = quote_assets.compound(symbols, instrument[1], self._taken_for)
        self.title = TITLE if name == instrument[1] else f"{TITLE}: {name}"
        new = self.collect(hub, instrument, anew)
        new |= self._best(instrument[1]) | self._was_stale()
        for at in range(WAS_STALE):
            self.append(at, new.get(at), anew)
        # Spans arrive when they end, so not in the order of their starts.
        self.append(WAS_STALE, new.get(WAS_STALE), anew, ROLLOVER_SPANS)
        same = [leg for leg in hub.instruments() if self.is_same(leg[1], instrument[1])]
        self.append(CHANCES, self._what_if.take(hub, same), anew)
        if self._pace.is_due(hub) or anew:
            for at, columns in self._is_stale(hub.now_ns).items():
                self.patch(at, columns, anew)

    def line(self, hub: Hub, owner: Instrument, anew: bool) -> Columns | None:
        leg = self._legs.setdefault(owner, Leg(self._fresh_ns))
        rows, spans = leg.take(hub, owner, self._until_ns)
        self.has_hole |= leg.has_hole
        self._fresh[owner] = rows
        self._spans += spans
        rows = thin(rows, self.telling(rows))
        mid = (rows["bid"] + rows["ask"]) / 2
        return {"time": rows["ts_recv"], "y": mid, "bid": rows["bid"], "ask": rows["ask"]}

    def _best(self, symbol: str) -> dict[int, Columns]:
        """Return the best of the legs of the symbol itself, or treated as it."""
        none: Columns = {"ts_recv": np.empty(0, np.int64), "bid": np.empty(0), "ask": np.empty(0)}
        mine = [
            self._fresh[owner] if self.is_same(owner[1], symbol) else none for owner in self.owners
        ]
        times, bids, asks = self._across.take(mine + [none] * (LEGS - len(mine)))
        if not len(times):
            return {}
        rows = {
            "ts_recv": times,
            "bid": np.fmax.reduce(bids, axis=0),
            "ask": np.fmin.reduce(asks, axis=0),
        }
        rows = thin(rows, self.telling(rows))
        return {
            BEST + at: {"time": rows["ts_recv"], name: rows[name]}
            for at, name in enumerate(("bid", "ask"))
        }

    def _was_stale(self) -> dict[int, Columns]:
        if not self._spans:
            return {}
        starts, ends, mids = (np.array(values) for values in zip(*self._spans, strict=True))
        return {WAS_STALE: {"time": starts, "from": mids, "until": ends, "to": mids}}

    def _is_stale(self, now_ns: int) -> dict[int, Columns]:
        """Return the lines and labels of stale legs; always one row per leg."""
        lines = {name: np.full(LEGS, np.nan) for name in ("time", "from", "until", "to")}
        words = {"time": np.full(LEGS, np.nan), "at": np.full(LEGS, np.nan)}
        texts = [""] * LEGS
        for at, owner in enumerate(self.owners):
            leg = self._legs[owner]
            if leg.is_stale:
                lines["time"][at], lines["until"][at] = leg.mid_ns, now_ns
                lines["from"][at] = lines["to"][at] = words["at"][at] = leg.mid
                words["time"][at] = now_ns
                texts[at] = f"{owner[0]} stale {(now_ns - leg.mid_ns) // 1_000_000_000} s"
        # The lowest line has its label below, the others above, so that none overlap.
        lowest = np.fmin.reduce(words["at"]) if sum(map(bool, texts)) > 1 else np.nan
        words["shift"] = np.where(words["at"] == lowest, WORD_PX, -WORD_PX)
        order = np.argsort(lines["time"])
        lines = {name: values[order] for name, values in lines.items()}
        return {IS_STALE: lines, WORDS: {**words, "text": np.array(texts, object)}}
