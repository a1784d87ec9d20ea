"""HTML with clickable parts: an element sends its `data-say` to the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import param
from panel.custom import JSComponent

from monitor.page.views import style

# Enter on a part that has the focus is a click on it.
_SCRIPT = """
export function render({ model, el }) {
  const pane = document.createElement('div');
  const draw = () => {
    const kept = [...pane.querySelectorAll('details[open]')].map(part => part.dataset.name);
    const focused = el.getRootNode().activeElement?.dataset?.say;
    pane.innerHTML = model.html;
    for (const part of pane.querySelectorAll('details'))
      part.open ||= kept.includes(part.dataset.name);
    if (focused !== undefined)
      pane.querySelector(`[data-say="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  };
  const say = event => {
    const part = event.target.closest('[data-say]');
    if (!part || part.disabled) return false;
    model.send_msg(part.dataset.say);
    return true;
  };
  pane.addEventListener('click', event => { if (say(event)) event.preventDefault(); });
  pane.addEventListener('keydown', event => {
    if (event.key === 'Enter' && event.target.tagName !== 'BUTTON' && say(event))
      event.preventDefault();
  });
  model.on('html', draw);
  draw();
  return pane;
}
"""
CSS = """
[data-say] { cursor: pointer; }
tr[data-say]:hover td { background: rgba(127, 140, 160, .12); }
tr.chosen td { background: rgba(78, 161, 255, .18); }
[data-say]:focus-visible { outline: 2px solid var(--accent); outline-offset: -2px; }
td.wrap { overflow-wrap: anywhere; }
td.number, th.number { text-align: right; }
button { font: inherit; color: inherit; background: transparent; border: 1px solid var(--edge);
         border-radius: 4px; padding: 1px 10px; }
button:disabled { opacity: .4; cursor: default; }
.told { font-weight: 600; }
.foot { display: flex; gap: 10px; align-items: center; padding-top: 6px; }
progress { width: 140px; height: 8px; vertical-align: middle; }
summary { cursor: pointer; padding: 2px 0; }
summary .type, .column .type { color: var(--muted); font-size: 11px; }
.column { padding: 1px 0 1px 18px; }
.column:hover, summary b:hover { color: var(--accent); }
"""


class Clickable(JSComponent):  # type: ignore[misc]
    """A pane of HTML, escaped by the caller, that redraws only its changed parts."""

    html = param.String("")
    _esm = _SCRIPT

    def __init__(self, heard: Callable[[str], None], **params: Any) -> None:
        self._heard = heard
        look = {"sizing_mode": "stretch_width", "margin": (4, 5)} | params
        super().__init__(stylesheets=[style.PANE_CSS, CSS], **look)

    def show(self, html: str) -> None:
        if self.html != html:
            self.html = html

    def _handle_msg(self, data: Any) -> None:
        self._heard(str(data))
