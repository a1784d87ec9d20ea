"""The instrument list in the header, and the chosen instrument."""

from __future__ import annotations

import time
from collections.abc import Callable

import panel as pn

from monitor.hub import Hub, Instrument
from monitor.page.views import style

# After the first row, sources appear during this time, measured on the rows' clock: a paused
# replay adds none.
APPEAR_NS, REST_S = 5_000_000_000, 5.0


class Instruments:
    """The choice of an instrument of a hub.

    A wanted name (from the address, or the instrument shown before) is chosen when it appears
    within the first seconds; until then, and if it never does, the first of the list is. After
    that the viewer's choice counts.
    """

    def __init__(self, wanted: str, on_choose: Callable[[], None] = lambda: None) -> None:
        """`on_choose` is called when a viewer has chosen."""
        self._on_choose = on_choose
        self.view = pn.widgets.Select(
            label="Instrument", options=[], width=200, stylesheets=[style.WIDGET_CSS]
        )
        self.view.param.watch(lambda _: self._take_choice(), "value")
        # The note about a name that did not appear.
        self.trouble = self._missed = ""
        self._wanted, self._is_asked_for = wanted, bool(wanted)
        self._is_ours = False
        self._source: object = None
        self._epoch, self._since_ns = -1, 0
        # The time of the newest row, and when it arrived.
        self._newest_ns, self._moved_s = 0, time.monotonic()

    @property
    def name(self) -> str:
        """The name for the address: the wanted one while it may appear, else the chosen one."""
        return self._wanted or self.view.value or ""

    def of(self, hub: Hub, source: object) -> Instrument | None:
        """Return the shown instrument of a hub; None if the hub has none.

        `source` is the replay that the hub shows, None for live. After a seek the hub fills again;
        the list keeps its entries.
        """
        known = {f"{venue} {symbol}": (venue, symbol) for venue, symbol in hub.instruments()}
        if source is not self._source or hub.epoch != self._epoch:
            kept = self.view.options if source is self._source else []
            if not kept:
                self._wanted = self._wanted or self.view.value or ""
            self._source, self._epoch, self._since_ns = source, hub.epoch, 0
            self._set(list(kept), self.view.value if kept else None)
        if not known:
            if source is None and self._since_ns and self.view.options:
                # Every instrument was removed.
                gone = self._wanted or self.view.value
                self._miss(gone, f"{gone} is followed no longer")
                self._wanted, self._is_asked_for = "", False
                self._set([], None)
            return None
        if self._missed in known:
            self.trouble = self._missed = ""
        self._since_ns = self._since_ns or hub.now_ns
        if hub.now_ns != self._newest_ns:
            self._newest_ns, self._moved_s = hub.now_ns, time.monotonic()
        rests = time.monotonic() - self._moved_s > REST_S
        appear = hub.now_ns - self._since_ns < APPEAR_NS and not rests
        before = self.view.options if appear or source is not None else []
        names = sorted({*before, *known})
        value = self._wanted if self._wanted in names else self.view.value
        if value not in names:
            if value and not self._wanted:
                self._miss(value, f"{value} is followed no longer")
            value = next(name for name in names if name in known)
        if names != self.view.options or value != self.view.value:
            self._set(names, value)
        if self._wanted in known or not appear:
            self._settle(known)
        return known.get(self.view.value)

    def choose(self, instrument: Instrument) -> None:
        name = " ".join(instrument)
        if name in self.view.options:
            self.view.value = name

    def _settle(self, known: dict[str, Instrument]) -> None:
        if self._wanted and self._wanted not in known and self._is_asked_for:
            name = self._wanted
            self._miss(name, f"expected the instrument {name}, found no such one here")
        self._wanted, self._is_asked_for = "", False

    def _miss(self, name: str, told: str) -> None:
        """Say that a name is missing, until it appears."""
        self._missed, self.trouble = name, told

    def _set(self, names: list[str], value: str | None) -> None:
        self._is_ours = True
        self.view.param.update(options=names, value=value)
        self._is_ours = False

    def _take_choice(self) -> None:
        if not self._is_ours:
            self._wanted, self._is_asked_for = "", False
            self.trouble = self._missed = ""
            self._on_choose()
