"""Page-wide behaviour: keys, address, theme, time zone, plot files, a lost server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import param
from panel.custom import JSComponent

from monitor.page.views.style import FONT, look

CSS = f"""
:host {{ font-family: {FONT}; color: var(--text); font-size: 13px; }}
.habits {{ display: flex; gap: 6px; flex-wrap: wrap; }}
button {{ background: var(--field); color: var(--strong); border: 1px solid var(--edge);
         border-radius: 4px; padding: 5px 10px; font: inherit; cursor: pointer; }}
button:hover {{ background: var(--hover); }}
button:focus-visible {{ outline: 2px solid var(--accent); }}
[hidden] {{ display: none !important; }}
.shade {{ position: fixed; inset: 0; background: rgb(0 0 0 / 55%); z-index: 1000; display: flex;
         align-items: center; justify-content: center; }}
.help {{ background: var(--panel); border: 1px solid var(--edge); border-radius: 8px;
        padding: 16px 22px; max-width: min(520px, 90vw); }}
.help h3 {{ margin: 0 0 10px; color: var(--strong); }}
dl {{ display: grid; grid-template-columns: auto 1fr; gap: 6px 16px; margin: 0; }}
dt {{ font-weight: 700; color: var(--strong); }} dd {{ margin: 0; }}
.help p {{ color: var(--muted); margin: 12px 0 0; }}
.lost {{ position: fixed; top: 0; left: 0; right: 0; z-index: 1001; text-align: center;
        background: var(--alarm-bg); color: var(--alarm); padding: 10px; font-weight: 700; }}
"""


class Habits(JSComponent):  # type: ignore[misc]  # Panel tells no types.
    """Buttons, and the listeners in the browser.

    A shortcut that the server handles calls `on_key`; a save tool of a plot calls `on_save`.
    """

    theme = param.String()
    zone = param.String()
    replaying = param.Boolean(default=False)
    # Whether the shown rows are old: the page is then dimmed.
    old = param.Boolean(default=False)

    _esm = Path(__file__).with_suffix(".js")
    _stylesheets: ClassVar[list[str]] = [CSS]

    def __init__(
        self, on_key: Callable[[str], None], on_save: Callable[[dict[str, Any]], None]
    ) -> None:
        chosen = look()
        super().__init__(theme=chosen.theme, zone=chosen.zone.key, align="end", margin=(5, 10))
        self._on_key, self._on_save = on_key, on_save
        self._query = ""

    def address(self, query: str) -> None:
        """Set the browser's address without a new entry in its history."""
        if query != self._query:
            self._query = query
            self._send_msg({"query": query})

    def give(self, name: str, content: bytes) -> None:
        """Let the browser save a file; the server writes none."""
        self._send_msg({"file": {"name": name, "bytes": content}})

    def _handle_msg(self, data: Any) -> None:
        # Earlier messages reached no browser.
        if data.get("ready") and self._query:
            self._send_msg({"query": self._query})
        elif "press" in data:
            self._on_key(str(data["press"]))
        elif "save" in data:
            self._on_save(data["save"])
