"""The tab SQL: one SELECT over one recording or all of them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from concurrent.futures import Future
from functools import partial
from html import escape
from threading import Event
from typing import Any
from urllib.parse import quote

import panel as pn

from monitor.hub import Hub, Instrument
from monitor.page.layouts import Shared
from monitor.page.layouts.sql_result import SqlResult
from monitor.page.layouts.sql_snippets import FIRST, SNIPPETS
from monitor.page.views import style
from monitor.page.views.clickable import Clickable
from monitor.page.views.editor import Editor
from monitor.recordings import FILE_ERRORS
from monitor.sql import queries

# Most rows of a result: it is kept in memory and written to one file.
MAX_ROWS = 100_000
MAX_BYTES = 32 << 20
HISTORY = 50
HISTORY_CHARS = 70
# A link is one line of a request, and servers limit its length.
MAX_LINK_CHARS = 6_000
ALL, SNIPPET, EARLIER = "all recordings", "Snippets …", "History …"
LINK = "sql"


class Sql:
    """An editor beside the list of tables, and the result below."""

    title = "SQL"

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._cancelled = Event()
        self._asked: Future[queries.Result] | None = None
        self._began_s = 0.0
        self._history: deque[str] = deque(maxlen=HISTORY)
        self._schema_asked = False
        # The statement in the page's address.
        self.link = _linked()
        self.editor = Editor(
            lambda _: pn.state.execute(self.ask),
            text=self.link or FIRST,
            height=130,
            sizing_mode="stretch_width",
        )
        look: dict[str, Any] = {"align": "end", "stylesheets": [style.WIDGET_CSS]}
        self._run = pn.widgets.Button(name="Run", width=80, **look)
        self._run.on_click(lambda _: pn.state.execute(self.ask))
        self._cancel = pn.widgets.Button(name="Cancel", width=80, disabled=True, **look)
        self._cancel.on_click(lambda _: self.cancel())
        self._link = pn.widgets.Button(name="Link", width=60, **look)
        self._link.on_click(lambda _: self._make_link())
        self._within = pn.widgets.Select(options=[ALL], width=200, **look)
        self._snippets = pn.widgets.Select(options=[SNIPPET, *SNIPPETS], width=210, **look)
        self._snippets.param.watch(self._take_snippet, "value")
        self._earlier = pn.widgets.Select(options=[EARLIER], width=210, **look)
        self._earlier.param.watch(self._take_earlier, "value")
        self._state = style.html()
        self.result = SqlResult(self._tell)
        self._schema = Clickable(self.editor.insert, width=270, sizing_mode=None)
        self.view = style.side_by_side(
            pn.Column(
                self.editor,
                style.flowing(
                    *(self._run, self._cancel, self._within, self._snippets, self._earlier),
                    self._link,
                ),
                self._state,
                self.result.view,
                sizing_mode="stretch_width",
            ),
            self._schema,
            css=style.SIDES_CSS.replace("400px", "280px"),
        )
        pn.state.on_session_destroyed(lambda _: self.cancel())

    def refresh(self, hub: Hub, instrument: Instrument | None) -> None:
        """Show how long a statement has run; the result changes with the next run."""
        if not self._schema_asked:
            self._schema_asked = True
            pn.state.execute(self._show_schema)
        if self._asked is not None:
            state = "running" if self._asked.running() else "waiting for other statements"
            self._tell(f"● {state} · {time.monotonic() - self._began_s:.1f} s")
        names = [ALL, *self._shared.about().get("recordings", [])]
        if names != self._within.options:
            value = self._within.value if self._within.value in names else ALL
            self._within.param.update(options=names, value=value)

    async def ask(self) -> None:
        """Run the statement in the editor, unless one runs already."""
        if self._asked is not None:
            return
        text = self.editor.text
        self._remember(text)
        self._cancelled, self._began_s = Event(), time.monotonic()
        ask = partial(
            queries.run,
            text,
            self._shared.folder,
            None if self._within.value == ALL else self._within.value,
            max_rows=MAX_ROWS,
            max_bytes=MAX_BYTES,
            cancelled=self._cancelled,
        )
        self._run.disabled, self._cancel.disabled = True, False
        self._asked = self._shared.archive.ask(partial(_checked, ask), self._cancelled)
        try:
            result = await asyncio.wrap_future(self._asked)
            seconds = time.monotonic() - self._began_s
            self._tell(f"✔ done in {seconds:.1f} s")
            self.result.show(text, result)
        except (*queries.ERRORS, *FILE_ERRORS) as error:
            told = (str(error).splitlines() or [type(error).__name__])[0]
            self._fail(told)
        except asyncio.CancelledError:
            # It was still waiting to run.
            if not self._cancelled.is_set():
                raise
            self._fail("the query was cancelled")
        finally:
            self._asked = None
            self._run.disabled, self._cancel.disabled = False, True

    def cancel(self) -> None:
        self._cancelled.set()
        if self._asked is not None:
            self._asked.cancel()

    def _fail(self, why: str) -> None:
        self._tell(f"✖ {why}", "error")
        self.result.outlive()

    def _tell(self, text: str, kind: str = "muted") -> None:
        self._state.object = f'<span class="{kind}">{escape(text)}</span>'

    def _remember(self, text: str) -> None:
        if text in self._history:
            self._history.remove(text)
        self._history.appendleft(text)
        # Statements with the same start are listed once, the last one.
        short = {" ".join(old.split())[:HISTORY_CHARS]: old for old in reversed(self._history)}
        self._earlier.options = {EARLIER: "", **dict(reversed(short.items()))}

    def _take_earlier(self, event: Any) -> None:
        if event.new and event.new != EARLIER:
            self.editor.text = event.new
            self._earlier.value = self._earlier.options[EARLIER]

    def _take_snippet(self, event: Any) -> None:
        if event.new != SNIPPET:
            self.editor.text = SNIPPETS[event.new]
            self._snippets.value = SNIPPET

    def _make_link(self) -> None:
        """Put the statement into the address of the page, to share it."""
        text = self.editor.text
        if (chars := len(quote(text))) > MAX_LINK_CHARS:
            self._tell(
                f"✖ expected a link of at most {MAX_LINK_CHARS:,} characters, found {chars:,}",
                "error",
            )
            return
        self.link = text
        self._tell("The address of this page holds the statement now. It never runs by itself.")

    async def _show_schema(self) -> None:
        cache = pn.state.cache
        if "schema" not in cache:
            cache["schema"] = await asyncio.to_thread(queries.schema)
        parts = [
            f'<details data-name="{escape(table)}"><summary><b data-say="{escape(table)}"'
            f' tabindex="0">{escape(table)}</b></summary>'
            + "".join(
                f'<div class="column" tabindex="0" data-say="{escape(column.name)}">'
                f'{escape(column.name)} <span class="type">{escape(column.type)}</span></div>'
                for column in columns
            )
            + "</details>"
            for table, columns in cache["schema"].items()
        ]
        self._schema.show(
            '<div class="panel schema"><h3>Tables and views</h3>'
            f'<div class="muted">a click on a name inserts it</div>{"".join(parts)}</div>'
        )


def _checked(ask: partial[queries.Result]) -> queries.Result:
    """Run a statement, and check here whether its values have texts."""
    result = ask()
    queries.texts(result.table)
    return result


def _linked() -> str:
    """Return the statement in the address of the opened page."""
    given = pn.state.session_args.get(LINK, [b""])[0]
    return str(given.decode("utf-8", "replace"))[:MAX_LINK_CHARS]
