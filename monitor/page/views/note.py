"""A note: the result of a viewer's action, shown for some seconds."""

from __future__ import annotations

import time
from html import escape

from monitor.page.views import style

SHOWN_S = 10.0


class Note:
    """The last note, in a pane or, as `text`, elsewhere; an error stays in its pane."""

    def __init__(self) -> None:
        self.view = style.html()
        self._text, self._said_s, self._is_well = "", 0.0, True

    @property
    def text(self) -> str:
        """The note as HTML; empty after its time."""
        return escape(self._text) if time.monotonic() - self._said_s < SHOWN_S else ""

    def say(self, text: str, *, is_well: bool = True) -> None:
        """Replace the note."""
        self._text, self._said_s, self._is_well = text, time.monotonic(), is_well
        kind, mark = ("muted", "") if is_well else ("error", "✖ ")
        self.view.object = (
            f'<div class="{kind}" role="status">{mark}{escape(text)}</div>' if text else ""
        )

    def refresh(self) -> None:
        """Clear the note after its time."""
        if self._is_well and self.view.object and not self.text:
            self.view.object = ""
