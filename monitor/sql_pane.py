"""The SQL box of the page: one SELECT over all recordings, the running one included."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import panel as pn

from monitor import queries
from monitor.segments import FILE_ERRORS
from monitor.views import tables

MAX_ROWS = 200
FIRST = (
    "SELECT venue, symbol, count(*) AS quotes, avg((ask - bid) / bid) * 1e4 AS spread_bps\n"
    "FROM quote GROUP BY ALL ORDER BY ALL"
)


class SqlPane:
    """A box, a button and the result; the statement runs in its own process."""

    def __init__(self, folder: Path, styles: Sequence[str], pane: Any) -> None:
        self._folder, self._result = folder, pane
        self._text = pn.widgets.TextAreaInput(
            name="SQL over all recordings",
            value=FIRST,
            rows=3,
            sizing_mode="stretch_width",
            stylesheets=list(styles),
        )
        self._run = pn.widgets.Button(name="Run", width=80, align="end", stylesheets=list(styles))
        self._run.on_click(self._ask)
        self.view = pn.Column(
            pn.Row(self._text, self._run, sizing_mode="stretch_width"),
            self._result,
            sizing_mode="stretch_width",
        )

    async def _ask(self, _: Any) -> None:
        self._run.disabled = True
        ask = partial(queries.run, self._text.value, self._folder, max_rows=MAX_ROWS)
        try:
            result = await asyncio.to_thread(ask)
        except (queries.QueryError, ValueError, *FILE_ERRORS) as error:
            told = escape(str(error).splitlines()[0])
            self._result.object = f'<div class="panel error">{told}</div>'
        else:
            rows = queries.texts(result.table).to_pylist()
            cells = [[escape(str(cell)) for cell in row.values()] for row in rows]
            more = f", truncated to {MAX_ROWS}" if result.truncated else ""
            names = [escape(name) for name in result.table.column_names]
            self._result.object = tables.table(f"{len(rows)} rows{more}", names, cells)
        finally:
            self._run.disabled = False
