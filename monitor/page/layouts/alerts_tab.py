"""The tab Alerts: rules in force, a form to change them, and a trial on a recording."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from html import escape
from typing import Any

import panel as pn

from monitor.access import Viewer
from monitor.hub import Hub, Instrument
from monitor.jobs import ArchiveError, Job
from monitor.page.layouts import Shared
from monitor.page.layouts.rule_form import RuleForm
from monitor.page.views import style, tables, time_axis
from monitor.page.views.clickable import Clickable
from monitor.page.views.note import Note
from monitor.settings import AlertRule, rules_of

TABLE_EVERY_S = 0.5
LEVELS = {"info": ("quiet", "●"), "warn": ("stale", "▲"), "alert": ("failed", "✖")}
ALL, FORM = "all rules in force", "the rule in the form"


class Alerts:
    """Operators add, change and remove rules, at once and for everyone; others see them."""

    title = "Alerts"

    def __init__(self, shared: Shared, viewer: Viewer) -> None:
        self._shared, self._viewer, self._table_s = shared, viewer, 0.0
        self._table = Clickable(self._say)
        self.view = pn.Column(self._table, sizing_mode="stretch_width")
        if viewer.may_act:
            self._make_form()

    def _make_form(self) -> None:
        look: dict[str, Any] = {"align": "end", "stylesheets": [style.WIDGET_CSS]}
        self._form, self._note = RuleForm(), Note()
        # The rule that is being changed, by its title.
        self._changed = ""
        self._save = pn.widgets.Button(name="Add", width=170, **look)
        self._save.on_click(self._save_rule)
        self._new = pn.widgets.Button(name="New rule", width=90, visible=False, **look)
        self._new.on_click(lambda _: self._edit(None))
        self._recording = pn.widgets.Select(name="Try on a recording", width=230, **look)
        self._tried = pn.widgets.Select(name="of", options=[ALL, FORM], width=180, **look)
        self._try = pn.widgets.Button(name="Try", width=80, **look)
        self._try.on_click(self._begin)
        self._job: Job | None = None
        self._trial = Clickable(self._say)
        parts = (self._save, self._new, self._recording, self._tried, self._try)
        self.view.extend(
            [
                *(self._form.view, style.flowing(*parts)),
                *(self._note.view, self._trial),
            ]
        )

    def refresh(self, hub: Hub, instrument: Instrument | None) -> None:
        if time.monotonic() - self._table_s < TABLE_EVERY_S:
            return
        self._table_s = time.monotonic()
        about = self._shared.about()
        self._table.show(_rules(about.get("rules", []), self._viewer.may_act))
        if self._viewer.may_act:
            # Labels are HTML, and names come from folders.
            names = style.labels(about.get("recordings", []))
            if names != self._recording.options:
                self._recording.options = names
            self._trial.show(_trial(self._job))
            self._note.refresh()

    def _say(self, said: str) -> None:
        """Handle a click; a browser can send values that the page does not offer."""
        if not self._viewer.may_act:
            return
        what, _, value = said.partition(":")
        if what == "edit":
            self._edit(next((one for one in self._added() if one["title"] == value), None))
        elif what == "remove":
            remove = {"action": "remove_rule", "title": value}
            pn.state.execute(partial(self._ask, remove))
        elif what == "cancel" and self._job is not None:
            self._shared.archive.cancel(self._job.number)
            self._table_s = 0.0

    def _added(self) -> list[dict[str, Any]]:
        return [one for one in self._shared.about().get("rules", []) if not one["is_fixed"]]

    def _edit(self, one: dict[str, Any] | None) -> None:
        """Show a rule in the form, or begin a new one."""
        self._changed = one["title"] if one else ""
        self._save.name = "Save the change" if one else "Add"
        self._new.visible = one is not None
        if one:
            self._form.show(one["rule"])
        else:
            self._form.clear()
        self._note.say(f"changing {self._changed}" if one else "")

    async def _save_rule(self, _: Any) -> None:
        rule = self._form.written()
        await self._ask({"action": "save_rule", "rule": rule, "replaces": self._changed})

    async def _ask(self, wanted: dict[str, Any]) -> None:
        """Send it to the collector on a thread, so that no other page waits."""
        named = {**wanted, "by": self._viewer.name}
        wrong = await asyncio.to_thread(self._shared.alert, named)
        self._table_s = 0.0
        if wrong:
            self._note.say(wrong.partition(" failed: ")[2], is_well=False)
            return
        is_saved = wanted["action"] == "save_rule"
        if is_saved or wanted["title"] == self._changed:
            self._edit(None)
        if is_saved:
            name = wanted["rule"]["name"] or wanted["rule"]["kind"]
            self._note.say(f"{name}: in force for everyone")
        else:
            self._note.say(f"{wanted['title']}: removed for everyone, no longer in force")

    async def _begin(self, _: Any) -> None:
        """Evaluate rules on the chosen recording, in a child process."""
        name, rules = self._recording.value, [self._form.written()]
        if self._tried.value == ALL:
            rules = [one["rule"] for one in self._shared.about().get("rules", [])]
        try:
            if name not in self._recording.options.values() or not rules:
                raise ValueError("expected a recording and a rule, found none")
            rules_of(rules)
            listed = await asyncio.to_thread(self._shared.archive.listing)
            (total,) = [sum(o["rows"].values()) for o in listed or [] if o["id"] == name] or [0]
            self._job = self._shared.archive.start("try", name, rules=rules, total=total)
        except (ArchiveError, ValueError) as error:
            self._note.say(str(error).splitlines()[0], is_well=False)
            return
        self._note.say("")
        self._table_s = 0.0


def rules_in_force(about: dict[str, Any]) -> list[AlertRule]:
    """Return the rules that the collector evaluates; none without a collector."""
    return rules_of([one["rule"] for one in about.get("rules", [])])


def _rules(rules: Sequence[dict[str, Any]], may_act: bool) -> str:
    rows = []
    for one in rules:
        written = dict(one["rule"])
        (rule,) = rules_of([one["rule"]])
        look, shape = LEVELS[rule.severity]
        own = [
            f"{name} = {value:g}"
            for name, value in written.items()
            if isinstance(value, (int, float))
        ]
        acts = "from the configuration"
        if not one["is_fixed"]:
            title = escape(one["title"], quote=True)
            acts = "from the page"
            if may_act:
                acts = "".join(
                    f'<button data-say="{what}:{title}">{word}</button> '
                    for what, word in (("edit", "Edit"), ("remove", "Remove"))
                )
        rows.append(
            [
                f"<b>{escape(one['title'])}</b>",
                escape(rule.kind),
                "the recorder" if rule.of_recorder else escape(rule.match),
                f'<span class="state {look}">{shape} {rule.severity}</span>',
                f'<span class="wrap">{escape(", ".join(own)) or "the defaults"}</span>',
                acts,
            ]
        )
    names = ["rule", "kind", "watches", "severity", "changed from default", ""]
    return tables.table("Alert rules in force", names, rows, "none: nothing is told; add one below")


def _trial(job: Job | None) -> str:
    """The progress of a trial, and the signals of the rules."""
    if job is None:
        return ""
    if job.state == "running":
        part = f'max="{job.total}" value="{job.done}"' if job.total else ""
        told = f'<progress {part}></progress> <button data-say="cancel">Cancel</button>'
    elif job.state == "done":
        lines, count = job.outcome["lines"], job.outcome["signals"]
        first = f", the first {len(lines)}" if len(lines) < count else ""
        told = f"{count:,} signals in {job.outcome['rows']:,} rows, {job.seconds:.1f} s{first}"
        told += "".join(f'<div class="wrap">{escape(_local(line))}</div>' for line in lines)
    else:
        told = f'<span class="error">{job.state} {escape(job.error)}</span>'
    title = f"Tried on {escape(job.recording)}, times: {time_axis.zone()}"
    return f'<div class="panel"><h3>{title}</h3>{told}</div>'


def _local(line: str) -> str:
    """Convert the time at the start of a line to the viewer's zone."""
    at, _, rest = line.partition(" ")
    return f"{time_axis.local(time_axis.local_ns(at))} {rest}"
