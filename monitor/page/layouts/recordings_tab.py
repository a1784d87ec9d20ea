"""The tab Recordings: list, replay, verify, export, clip and delete recordings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from html import escape
from typing import Any

import panel as pn

from monitor.hub import Hub, Instrument
from monitor.jobs import FORMATS, LIST_EVERY_S, ArchiveError
from monitor.page.layouts import Shared
from monitor.page.layouts.download import Download
from monitor.page.layouts.sql_result import pages
from monitor.page.views import recordings_table, style, time_axis
from monitor.page.views.clickable import Clickable
from monitor.recordings import line

PAGE_ROWS = 10
JOBS_EVERY_S = 0.5
DANGER_CSS = ".bk-btn { border-color: var(--bad) !important; color: var(--bad) !important; }"


class Recordings:
    """The table of recordings, details of the chosen one, and all jobs."""

    title = "Recordings"

    def __init__(self, shared: Shared, replay: Callable[[str], None]) -> None:
        self._shared, self._archive, self._replay_it = shared, shared.archive, replay
        self._listed: list[dict[str, Any]] | None = None
        self._listed_s = self._jobs_s = 0.0
        self._is_reading = False
        self._page = 0
        self._chosen: dict[str, Any] | None = None
        self._table = Clickable(self._say)
        self._about = Clickable(self._say)
        self._jobs = Clickable(self._say)
        self._notice = style.html()
        self._make_actions()
        self.view = pn.Column(
            self._table,
            self._actions,
            style.side_by_side(self._about, self._jobs, css=style.PAIR_CSS),
            sizing_mode="stretch_width",
        )
        self._table.show('<div class="panel muted">Reading what there is …</div>')
        self._show_chosen()

    def _make_actions(self) -> None:
        look: dict[str, Any] = {"align": "end", "stylesheets": [style.WIDGET_CSS]}

        def button(name: str, act: Callable[[dict[str, Any]], None], **more: Any) -> Any:
            made = pn.widgets.Button(name=name, **{"width": 80, **look, **more})
            made.on_click(lambda _: self._act(act))
            return made

        self._replay = button("Replay", lambda one: self._replay_it(one["id"]))
        self._verify = button("Verify", lambda one: self._start("verify", one))
        self._form = pn.widgets.Select(options=list(FORMATS), width=95, **look)
        self._export = button(
            "Export", lambda one: self._start("export", one, form=self._form.value)
        )
        self._from = pn.widgets.TextInput(name=f"Clip from ({time_axis.zone()})", width=225, **look)
        self._to = pn.widgets.TextInput(name="to, inclusive", width=225, **look)
        self._clip = button("Clip", self._cut)
        self._delete = button("Delete …", self._ask)
        self._sure = button(
            "Delete", self._delete_it, width=330, stylesheets=[style.WIDGET_CSS, DANGER_CSS]
        )
        self._keep = button("Keep it", lambda _: self._end_asking())
        self._download = Download()
        self._question = style.flowing(self._sure, self._keep, visible=False)
        self._actions = pn.Column(
            style.flowing(
                *(self._replay, self._verify, self._export, self._form),
                *(self._from, self._to, self._clip, self._delete, self._download.view),
            ),
            self._question,
            self._notice,
            sizing_mode="stretch_width",
            visible=False,
        )

    def refresh(self, hub: Hub, instrument: Instrument | None) -> None:
        """Update table and jobs; a thread reads the disk."""
        now_s = time.monotonic()
        if not self._is_reading and now_s - self._listed_s >= LIST_EVERY_S:
            self._is_reading = True
            pn.state.execute(self._read)
        if now_s - self._jobs_s >= JOBS_EVERY_S:
            self._jobs_s = now_s
            jobs = self._archive.jobs()
            self._jobs.show(recordings_table.jobs(jobs))
            if self._chosen is not None:
                of_it = [job for job in jobs if job.recording == self._chosen["id"]]
                self._about.show(recordings_table.about(self._chosen, of_it))
                self._download.offer(of_it)

    async def _read(self) -> None:
        try:
            listed = await asyncio.to_thread(self._archive.listing)
            if listed is not None:
                self._listed = listed
                if self._chosen is not None:
                    self._choose(self._chosen["id"])
                self._show_table()
        except OSError as error:
            self._table.show(f'<div class="panel error">✖ {escape(line(error))}</div>')
        finally:
            self._is_reading, self._listed_s = False, time.monotonic()

    def _show_table(self) -> None:
        listed = self._listed or []
        self._page = min(self._page, max(0, (len(listed) - 1) // PAGE_ROWS))
        first = self._page * PAGE_ROWS
        chosen = self._chosen["id"] if self._chosen else None
        shown = recordings_table.table(listed[first : first + PAGE_ROWS], chosen, len(listed))
        foot = pages(first, PAGE_ROWS, len(listed))
        self._table.show(f'<div class="panel">{shown}{foot}</div>')

    def _say(self, said: str) -> None:
        """Handle a click in a pane."""
        what, _, value = said.partition(":")
        if what == "choose":
            self._end_asking()
            self._choose(value)
        elif what == "cancel" and value.isdigit():
            self._archive.cancel(int(value))
            self._jobs_s = 0.0
        elif what in ("next", "previous"):
            self._page = max(0, self._page + (1 if what == "next" else -1))
        self._show_table()

    def _choose(self, name: str) -> None:
        before = self._chosen["id"] if self._chosen else None
        found = [one for one in self._listed or [] if one["id"] == name]
        chosen = next(iter(found), None)
        self._chosen = chosen
        if name != before or chosen is None:
            self._show_chosen()
        if chosen is not None:
            self._replay.disabled = self._delete.disabled = chosen["state"] == "open"

    def _show_chosen(self) -> None:
        one = self._chosen
        self._actions.visible = one is not None
        self._question.visible = False
        self._jobs_s = 0.0
        if one is None:
            self._about.show('<div class="panel muted">Choose a recording in the table.</div>')
            return
        first, last = one["span_ns"] or (None, None)
        self._from.value = _time(first)
        # To the end of the last row's microsecond.
        self._to.value = _time(None if last is None else last + 999)
        self._tell("")

    def _act(self, act: Callable[[dict[str, Any]], None]) -> None:
        """Carry out a button on the chosen recording; a refusal is one line."""
        if self._chosen is None:
            return
        self._tell("")
        try:
            act(self._chosen)
        except (ArchiveError, ValueError) as error:
            self._tell(str(error).splitlines()[0])

    def _start(self, work: str, one: dict[str, Any], **options: Any) -> None:
        self._archive.start(work, one["id"], **options)
        self._jobs_s = 0.0

    def _cut(self, one: dict[str, Any]) -> None:
        from_ns, to_ns = _time_ns(self._from.value), _time_ns(self._to.value)
        if from_ns > to_ns:
            raise ValueError(
                f"expected a window that ends behind its start, found {self._from.value}"
                f" to {self._to.value}"
            )
        self._start("clip", one, from_ns=from_ns, to_ns=to_ns)

    def _ask(self, one: dict[str, Any]) -> None:
        self._sure.name = f"Delete {one['id']} for good, {recordings_table.size(one['bytes'])}"
        self._question.visible = True

    def _end_asking(self) -> None:
        self._question.visible = False

    def _delete_it(self, one: dict[str, Any]) -> None:
        # Delete the recording that the button names, not a later choice.
        self._end_asking()
        if self._sure.name.startswith(f"Delete {one['id']} "):
            self._start("delete", one)

    def _tell(self, text: str) -> None:
        told = f'<div class="panel error">✖ {escape(text)}</div>' if text else ""
        if self._notice.object != told:
            self._notice.object = told


def _time(ns: int | None) -> str:
    return "" if ns is None else time_axis.local(ns)


def _time_ns(text: str) -> int:
    try:
        return time_axis.local_ns(text.strip())
    except ValueError:
        raise ValueError(f"expected a time such as 2026-11-23T19:05:00.5, found {text!r}") from None
