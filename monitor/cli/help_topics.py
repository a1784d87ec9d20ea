"""The command `help`: list the topics of the documentation, or print one."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Annotated

import typer

DOCS = Path(__file__).resolve().parents[1] / "docs"


def topics() -> dict[str, str]:
    """Return the first sentence of each topic, by name and in that order."""
    found = {}
    for file in sorted(DOCS.glob("*.md")):
        _, _, rest = file.read_text(encoding="utf-8").partition("\n\n")
        paragraph = " ".join(rest.partition("\n\n")[0].split())
        found[file.stem] = paragraph.partition(". ")[0].rstrip(".") + "."
    return found


def show_help(topic: Annotated[str | None, typer.Argument(metavar="[TOPIC]")] = None) -> None:
    """Print a topic of the documentation; without one, list the topics."""
    known = topics()
    if topic is None:
        width = max(map(len, known))
        for name, sentence in known.items():
            print(f"{name:{width}}  {sentence}")
        return
    if topic not in known:
        near = difflib.get_close_matches(topic, known) or list(known)
        raise typer.BadParameter(f"expected a topic ({', '.join(near)}), found {topic!r}")
    text = (DOCS / f"{topic}.md").read_text(encoding="utf-8")
    if not sys.stdout.isatty():
        print(text, end="")
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text))
