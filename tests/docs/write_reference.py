"""Write the generated tables of the documentation: every setting, and every table and view of SQL.

Run: .venv/bin/python tests/docs/write_reference.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from monitor.settings import Settings
from monitor.sql import queries

DOCS = Path(__file__).resolve().parents[2] / "monitor" / "docs"


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that the type of a setting holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in models_in(part)]


def settings_of(model: type[BaseModel], table: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield the settings of a model and of those in it: dotted name and field."""
    for name, field in model.model_fields.items():
        dotted = f"{table}{field.alias or name}"
        inner = [] if name == "alerts" else models_in(field.annotation)
        if not inner or name in ("sources",):
            yield dotted, field
        key = ".NAME" if "dict" in str(field.annotation) else ""
        for one in inner:
            yield from settings_of(one, f"{dotted}{key}.")


def settings_table() -> str:
    rows = ["| setting | default |", "| --- | --- |"]
    for name, field in settings_of(Settings):
        default = field.get_default(call_default_factory=True)
        text = "required" if field.is_required() else _toml(default)
        rows.append(f"| `{name}` | {text} |")
    return "\n".join(rows)


def _toml(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple | set | frozenset | list):
        return f"`{list(value)}`"
    return f"`{value!r}`"


def schema_tables() -> str:
    parts = []
    for name, columns in queries.schema().items():
        rows = [f"### `{name}`", "", "| column | type |", "| --- | --- |"]
        rows += [f"| `{column.name}` | `{column.type}` |" for column in columns]
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def filled(text: str, block: str, content: str) -> str:
    """Return a page whose generated block holds this content."""
    found = rf"(<!-- generated: {block} -->\n).*?(<!-- end -->)"
    return re.sub(found, lambda match: f"{match[1]}\n{content}\n\n{match[2]}", text, flags=re.S)


def pages() -> Iterator[tuple[Path, str]]:
    """Yield each page that has a generated block, and its text with the block as it must be."""
    made = (("configuration", "settings", settings_table), ("sql", "schema", schema_tables))
    for page, block, content in made:
        file = DOCS / f"{page}.md"
        yield file, filled(file.read_text(encoding="utf-8"), block, content())


if __name__ == "__main__":
    for file, text in pages():
        file.write_text(text, encoding="utf-8")
