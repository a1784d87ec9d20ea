"""The result of a statement: pages of rows, a chart, and files."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from html import escape
from typing import Any

import panel as pn
import pyarrow as pa

from monitor.page.views import chart, style
from monitor.page.views.clickable import Clickable
from monitor.rows import exact_text
from monitor.sql import queries

PAGE_ROWS = 50
MAX_CELL_CHARS = 300
FORMS = {"csv": "CSV", "parquet": "Parquet"}
CHART, NO_CHART = "Chart", "No chart"


class SqlResult:
    """The rows of the last successful statement; errors go to `tell`."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._result: queries.Result | None = None
        self._page = 0
        self._rows = Clickable(self._turn)
        look: dict[str, Any] = {"align": "end", "stylesheets": [style.WIDGET_CSS]}
        self._chart = pn.widgets.Button(name=CHART, width=90, **look)
        self._chart.on_click(lambda _: self._show_chart(self._chart.name == CHART))
        self._number = pn.widgets.Select(name="Column", width=150, **look)
        self._by = pn.widgets.Select(name="A line for each", width=180, **look)
        for choice in (self._number, self._by):
            choice.param.watch(lambda _: self._draw(), "value")
        self._files = {
            form: pn.widgets.FileDownload(
                callback=self._writer(form),
                filename=f"result.{form}",
                label=f"Save as {name}",
                auto=True,
                width=130,
                **look,
            )
            for form, name in FORMS.items()
        }
        self._drawn = pn.Column(sizing_mode="stretch_width", visible=False)
        self._choices = (self._number, self._by)
        self._actions = style.flowing(
            *(self._chart, *self._choices, *self._files.values()), visible=False
        )
        self._statement, self._earlier = "", style.html()
        self.view = pn.Column(
            *(self._earlier, self._actions, self._drawn, self._rows),
            sizing_mode="stretch_width",
            margin=0,
        )

    def show(self, statement: str, result: queries.Result) -> None:
        """Show the first page of a new result."""
        self._statement, self._result, self._page = statement, result, 0
        self._earlier.object = ""
        found = chart.axes(result.table)
        ways: dict[str, list[str]] = {"nothing": []}
        ways |= {", ".join(names): names for names in _subsets(found.texts)}
        with_numbers = bool(found.times and found.numbers)
        # Two results have different columns: draw neither in between.
        with pn.io.hold():
            was_drawn, self._drawn.visible = self._drawn.visible, False
            self._number.param.update(options=found.numbers, value=_first(found, result.table))
            self._by.param.update(options=ways, value=list(ways.values())[-1])
            self._chart.disabled = not with_numbers
            self._files["parquet"].disabled = not _is_parquet(result.table)
            self._actions.visible = True
            self._show_chart(was_drawn and with_numbers)
            self._show_page()

    def outlive(self) -> None:
        """Mark the shown result as older than the last, failed statement."""
        if self._result is not None:
            told = escape(" ".join(self._statement.split())[:MAX_CELL_CHARS])
            self._earlier.object = (
                '<div class="panel error">▲ The last statement gave no result. Below is that of an'
                f" earlier one: <code>{told}</code></div>"
            )

    def _turn(self, said: str) -> None:
        if self._result is not None and said in ("next", "previous"):
            last = (self._result.table.num_rows - 1) // PAGE_ROWS
            self._page = max(0, min(last, self._page + (1 if said == "next" else -1)))
            self._show_page()

    def _show_page(self) -> None:
        assert self._result is not None
        whole = self._result.table
        first = self._page * PAGE_ROWS
        part = queries.texts(whole.slice(first, PAGE_ROWS), only_finite=False)
        numeric = [_is_number(kind) for kind in whole.schema.types]
        head = "".join(
            f'<th class="{_of(number)}">{escape(name)}</th>'
            for name, number in zip(whole.column_names, numeric, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(_cell(cell, number) for cell, number in zip(row, numeric, strict=True))
            + "</tr>"
            for row in exact_text.shown(part)
        )
        told = f"{whole.num_rows:,} row{'s' if whole.num_rows != 1 else ''}"
        if self._result.truncated:
            told += (
                f', <span class="error">▲ truncated: there are more than {whole.num_rows:,}</span>'
            )
        if left_out := len(self._result.unread):
            told += f', <span class="error">▲ {left_out} unreadable segments left out</span>'
        self._rows.show(
            f'<div class="panel"><h3>{told}</h3><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table>{pages(first, PAGE_ROWS, whole.num_rows)}</div>"
        )

    def _show_chart(self, is_wanted: bool) -> None:
        self._chart.name = NO_CHART if is_wanted else CHART
        for choice in self._choices:
            choice.visible = is_wanted
        self._drawn.visible = is_wanted
        self._draw()

    def _draw(self) -> None:
        if self._result is None or not self._drawn.visible or self._number.value is None:
            self._drawn.objects = []
            return
        table = self._result.table
        time = chart.axes(table).times[0]
        self._drawn.objects = [chart.chart(table, time, self._number.value, self._by.value)]

    def _writer(self, form: str) -> Callable[[], Any]:
        async def write() -> io.BytesIO:
            out = io.BytesIO()
            assert self._result is not None
            await asyncio.to_thread(queries.write, self._result.table, form, out)
            out.seek(0)
            return out

        return write


def pages(first: int, size: int, total: int) -> str:
    """Make the page buttons; none for a single page."""
    if total <= size:
        return ""
    back = "" if first else " disabled"
    on = "" if first + size < total else " disabled"
    return (
        f'<div class="foot"><button data-say="previous"{back}>◀ Previous</button>'
        f"<span>{first + 1:,} to {min(first + size, total):,} of {total:,}</span>"
        f'<button data-say="next"{on}>Next ▶</button></div>'
    )


def _subsets(texts: list[str]) -> list[list[str]]:
    """Return each text column, then all together, if there are several."""
    return [[name] for name in texts] + ([texts] if len(texts) > 1 else [])


def _first(found: chart.Axes, table: pa.Table) -> str | None:
    """Prefer a measured number to a count."""
    measured = [n for n in found.numbers if pa.types.is_floating(table.schema.field(n).type)]
    return next(iter([*measured, *found.numbers]), None)


def _is_parquet(table: pa.Table) -> bool:
    """Return whether Parquet can store every column."""
    try:
        queries.write(table.slice(0, 0), "parquet", io.BytesIO())
    except queries.ERRORS:
        return False
    return True


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _of(is_number: bool) -> str:
    return "number" if is_number else ""


def _cell(text: str | None, is_number: bool) -> str:
    if text is None:
        return f'<td class="none {_of(is_number)}">NULL</td>'
    if len(text) > MAX_CELL_CHARS:
        text = text[:MAX_CELL_CHARS] + "…"
    return f'<td class="{_of(is_number)}">{escape(text)}</td>'
