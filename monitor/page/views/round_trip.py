"""The round trip: the browser acknowledges each refresh."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import panel as pn
from bokeh.models import Spinner

# Refreshes that may be unacknowledged.
AHEAD = 2
NAME = "echo"


class Echo:
    """Numbers a page's refreshes; the browser acknowledges each number.

    `on_echo` receives the time in ns since 1970 and the round trip in ms.
    """

    def __init__(self, on_echo: Callable[[int, float], None]) -> None:
        self._on_echo = on_echo
        # The browser watches the first number: without a new one for long the page says so.
        self._sent = Spinner(value=0, visible=False, name=NAME)
        self._heard = Spinner(value=0, visible=False)
        self._sent.js_link("value", self._heard, "value")
        self._heard.on_change("value", self._take)
        self._went_s: dict[int, float] = {}
        self.view = pn.Row(*(pn.pane.Bokeh(model) for model in (self._sent, self._heard)))

    @property
    def is_behind(self) -> bool:
        """Whether the browser has not acknowledged the last refreshes."""
        ahead: int = self._sent.value - self._heard.value
        return ahead >= AHEAD

    def send(self) -> None:
        """Send the next number, after the changes since the last one."""
        number = self._sent.value + 1
        self._went_s[number] = time.monotonic()
        self._sent.value = number

    def _take(self, _: str, __: int, number: Any) -> None:
        # A browser can send anything.
        went_s = self._went_s.get(number)
        for old in [sent for sent in self._went_s if sent <= number]:
            del self._went_s[old]
        if went_s is not None:
            self._on_echo(time.time_ns(), (time.monotonic() - went_s) * 1e3)
