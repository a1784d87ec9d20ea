"""SQL: one SELECT over all recordings, the running one included."""

from __future__ import annotations

import asyncio
from functools import partial
from html import escape
from pathlib import Path
from threading import Event
from typing import Any

import panel as pn

from monitor import queries
from monitor.hub import Hub, Instrument
from monitor.segments import FILE_ERRORS
from monitor.views import style, tables

MAX_ROWS = 200
MAX_BYTES = 16 << 20
FIRST = (
    "SELECT venue, symbol, count(*) AS quotes, avg((ask - bid) / bid) * 1e4 AS spread_bps\n"
    "FROM quote GROUP BY ALL ORDER BY ALL"
)


class Sql:
    """A box, two buttons and the result; the statement runs in its own process."""

    title = "SQL"

    def __init__(self, folder: Path) -> None:
        self._folder, self._result = folder, style.html()
        self._cancelled = Event()
        self._text = pn.widgets.TextAreaInput(
            name="SQL over all recordings",
            value=FIRST,
            rows=3,
            sizing_mode="stretch_width",
            stylesheets=[style.WIDGET_CSS],
        )
        look: dict[str, Any] = {"width": 80, "align": "end", "stylesheets": [style.WIDGET_CSS]}
        self._run = pn.widgets.Button(name="Run", **look)
        self._run.on_click(self._ask)
        self._cancel = pn.widgets.Button(name="Cancel", disabled=True, **look)
        self._cancel.on_click(lambda _: self._cancelled.set())
        self.view = pn.Column(
            pn.Row(self._text, self._run, self._cancel, sizing_mode="stretch_width"),
            self._result,
            sizing_mode="stretch_width",
        )

    def refresh(self, hub: Hub, instrument: Instrument | None) -> None:
        """Leave the result as it is: it changes when somebody asks again."""

    async def _ask(self, _: Any) -> None:
        self._cancelled = Event()
        self._run.disabled, self._cancel.disabled = True, False
        ask = partial(
            queries.run,
            self._text.value,
            self._folder,
            max_rows=MAX_ROWS,
            max_bytes=MAX_BYTES,
            cancelled=self._cancelled,
        )
        try:
            result = await asyncio.to_thread(ask)
            rows = queries.texts(result.table).to_pylist()
            cells = [[escape(str(cell)) for cell in row.values()] for row in rows]
            more = f", truncated to {MAX_ROWS}" if result.truncated else ""
            names = [escape(name) for name in result.table.column_names]
            self._result.object = tables.table(f"{len(rows)} rows{more}", names, cells)
        except (*queries.ERRORS, *FILE_ERRORS) as error:
            told = escape((str(error).splitlines() or [type(error).__name__])[0])
            self._result.object = f'<div class="panel error">{told}</div>'
        finally:
            self._run.disabled, self._cancel.disabled = False, True
