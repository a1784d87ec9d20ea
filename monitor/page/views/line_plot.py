"""Several named lines in one plot; which lines exist is known only when rows arrive."""

from __future__ import annotations

from typing import Any

from monitor.hub import Hub, Instrument
from monitor.page.views import elements, plot
from monitor.state import Columns

# More lines cannot be told apart.
SLOTS = 12


class Lines(plot.Plot):
    """Lines of `y` by owner (an instrument or source); a subclass names the owners and their rows.

    HoloViews draws all lines before their owners are known: each owner gets a free one and keeps
    it. If there are too few, the page's instrument comes first, then its symbol's other venues; the
    title says how many are left out.
    """

    slots = SLOTS
    label = ""
    # The tooltip of `y`, and further columns.
    tooltips: tuple[tuple[str, str], ...] = ()
    extra: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.owners: list[Instrument] = []
        # The only owners to show, beside the page's instrument; empty means all.
        self.chosen: frozenset[Instrument] = frozenset()
        self._turn = 0
        super().__init__()

    def draw(self) -> list[Any]:
        return [
            elements.curve(
                *("y", str(at), plot.LINES[at % len(plot.LINES)], self.extra),
                line_dash="solid" if at < len(plot.LINES) else "dotdash",
                tools=[elements.hover([("", f"line {at}"), *self.tooltips])],
            )
            for at in range(self.slots)
        ]

    def all_of_them(self, hub: Hub, instrument: Instrument) -> list[Instrument]:
        """Return all possible owners of lines."""
        raise NotImplementedError

    def line(self, hub: Hub, owner: Instrument, anew: bool) -> Columns | None:
        """Return the rows to append to the line of `owner`: `time`, `y` and `extra`."""
        raise NotImplementedError

    def scope(self, hub: Hub, instrument: Instrument) -> object:
        # A line that changes its owner is emptied first.
        if not {*self.owners} <= {*self._wanted(hub, instrument)[0]}:
            self._turn += 1
        return self._turn

    def collect(self, hub: Hub, instrument: Instrument, anew: bool) -> dict[int, Columns]:
        self._hand_out(*self._wanted(hub, instrument), anew)
        new = {at: self.line(hub, owner, anew) for at, owner in enumerate(self.owners)}
        return {at: columns for at, columns in new.items() if columns and len(columns["time"])}

    def _wanted(self, hub: Hub, instrument: Instrument) -> tuple[list[Instrument], int]:
        """Return the owners to show, and the number of owners without a line."""
        found = [
            owner
            for owner in self.all_of_them(hub, instrument)
            if not self.chosen or owner in self.chosen or owner == instrument
        ]
        nearest = sorted(found, key=lambda of: (of != instrument, of[1] != instrument[1]))
        drawn = nearest[: self.slots]
        return [owner for owner in found if owner in drawn], len(found) - len(drawn)

    def _hand_out(self, wanted: list[Instrument], left_out: int, anew: bool) -> None:
        """Assign lines to new owners, and name them in the legend and in tooltips."""
        before = [] if anew else self.owners
        owners = [*before, *(owner for owner in wanted if owner not in before)]
        title = f"{self.title} ({left_out} more not shown)" if left_out else self.title
        if self.figure.title.text != title:
            self.figure.title.text = title
        if owners == self.owners and not anew:
            return
        self.owners = owners
        for at, item in enumerate(self.figure.legend[0].items[: self.slots]):
            name = " ".join(owners[at]) if at < len(owners) else ""
            item.label, item.visible = {"value": name}, bool(name)
            self.hovers[at].tooltips = elements.told_at_time([("", name), *self.tooltips])
