"""The SQL editor: Ctrl+Enter runs the statement; other parts can insert text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import param
from panel.custom import JSComponent

_SCRIPT = """
export function render({ model, el }) {
  const area = document.createElement('textarea');
  area.spellcheck = false;
  area.setAttribute('aria-label', 'SQL statement');
  area.value = model.text;
  const changed = () => { if (model.text !== area.value) model.text = area.value; };
  area.addEventListener('input', changed);
  area.addEventListener('keydown', event => {
    // Keys of the page have no business in here.
    event.stopPropagation();
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      model.send_msg(area.value);
    }
  });
  model.on('text', () => { if (model.text !== area.value) area.value = model.text; });
  model.on('msg:custom', said => {
    area.focus();
    area.setRangeText(said.insert, area.selectionStart, area.selectionEnd, 'end');
    changed();
  });
  return area;
}
"""
_CSS = """
textarea { width: 100%; height: 100%; box-sizing: border-box; resize: none; padding: 8px 10px;
           font: 13px/1.45 'DejaVu Sans Mono', ui-monospace, monospace; tab-size: 4;
           background: var(--field); color: var(--strong);
           border: 1px solid var(--edge); border-radius: 6px; }
textarea:focus { outline: 2px solid var(--accent); outline-offset: -1px; }
"""


class Editor(JSComponent):  # type: ignore[misc]
    """Holds the viewer's text; calls `run` with it on Ctrl+Enter."""

    text = param.String("")
    _esm = _SCRIPT

    def __init__(self, run: Callable[[str], None], **params: Any) -> None:
        self._run = run
        super().__init__(stylesheets=[_CSS], **params)

    def insert(self, text: str) -> None:
        """Insert a text at the cursor."""
        self._send_msg({"insert": text})

    def _handle_msg(self, data: Any) -> None:
        self.text = str(data)
        self._run(self.text)
