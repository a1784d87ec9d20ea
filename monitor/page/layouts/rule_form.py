"""The form of an alert rule, made from the rule's model with its defaults."""

from __future__ import annotations

from math import isfinite
from typing import Any, get_args

import panel as pn

from monitor.page.views import style
from monitor.settings import KINDS, Rule, Severity

UNITS = {"s": "s", "ms": "ms", "bps": "bps", "percent": "%"}
COMMON = {
    "hold_s": "Must hold for (s)",
    "clear": "Recovery margin (share)",
    "cooldown_s": "Again no sooner than (s)",
}


class RuleForm:
    """Widgets for one rule; `written` returns it in the form of the configuration file."""

    def __init__(self) -> None:
        self._look: dict[str, Any] = {"stylesheets": [style.WIDGET_CSS]}
        self._kind = pn.widgets.Select(
            name="Kind", options=list(KINDS), value="spread", width=140, **self._look
        )
        self._kind.param.watch(lambda _: self._offer(), "value")
        self._name = pn.widgets.TextInput(name="Name (none: the kind)", width=170, **self._look)
        self._match = pn.widgets.TextInput(name="Watches (pattern)", width=190, **self._look)
        self._severity = pn.widgets.Select(
            name="Severity", options=list(get_args(Severity)), width=90, **self._look
        )
        self._common = {field: self._number(title) for field, title in COMMON.items()}
        self._own: dict[str, Any] = {}
        self._thresholds = style.flowing(margin=0)
        self._told = style.html()
        first = (self._kind, self._name, self._match, self._thresholds)
        second = (self._severity, *self._common.values())
        self.view = pn.Column(
            self._told,
            style.flowing(*first),
            style.flowing(*second),
            sizing_mode="stretch_width",
        )
        self.clear()

    def clear(self) -> None:
        """Show the defaults of a new rule."""
        self._name.value = ""
        self._fill(KINDS[self._kind.value], {})

    def show(self, written: dict[str, Any]) -> None:
        """Show an existing rule."""
        self._kind.value = written["kind"]
        self._name.value = written.get("name", "")
        self._fill(KINDS[written["kind"]], written)

    def written(self) -> dict[str, Any]:
        """Return the values of the form; an empty one gets the rule's default."""
        numbers = {
            field: widget.value
            for field, widget in (self._own | self._common).items()
            if widget.value is not None
        }
        return {
            "kind": self._kind.value,
            "name": self._name.value.strip(),
            "match": self._match.value.strip() or "*",
            "severity": self._severity.value,
            **numbers,
        }

    def _offer(self) -> None:
        """Show the thresholds of the chosen kind."""
        rule = KINDS[self._kind.value]
        fields = [name for name in rule.model_fields if name not in Rule.model_fields]
        self._own = {name: self._number(_title(name)) for name in fields}
        self._thresholds.objects = list(self._own.values())
        # Rules on the recorder have no source.
        self._match.visible = not rule.of_recorder
        meaning = " ".join((rule.__doc__ or "").replace("`", "").split())
        self._told.object = f'<div class="muted">{meaning}</div>'
        self._set(self._own, rule, {})

    def _fill(self, rule: type[Rule], written: dict[str, Any]) -> None:
        self._offer()
        self._set(self._own | self._common, rule, written)
        self._match.value = written.get("match", "*")
        self._severity.value = written.get("severity", rule.model_fields["severity"].default)

    def _set(self, widgets: dict[str, Any], rule: type[Rule], written: dict[str, Any]) -> None:
        for field, widget in widgets.items():
            value = written.get(field, rule.model_fields[field].default)
            widget.value = value if isfinite(value) else None

    def _number(self, title: str) -> Any:
        return pn.widgets.FloatInput(
            name=title, value=None, placeholder="none", width=160, **self._look
        )


def _title(field: str) -> str:
    """Return a field's name as words, with its unit in brackets."""
    words, _, unit = field.rpartition("_")
    title = f"{words} ({UNITS[unit]})" if unit in UNITS else field
    return title.replace("_", " ").capitalize()
