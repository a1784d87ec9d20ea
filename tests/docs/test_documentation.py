"""The documentation: its commands, configurations and statements work; nothing is left out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import typer
import write_reference
from support.made_rows import batch_of, record, row
from support.running import ROOT

from monitor.cli import commands
from monitor.rows import KINDS
from monitor.settings import KINDS as RULE_KINDS
from monitor.settings import configuration
from monitor.sql import queries

DOCS = ROOT / "monitor" / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
COMMANDS: dict[str, Any] = typer.main.get_command(commands.app).commands  # type: ignore[attr-defined]
Monitor = Callable[..., CompletedProcess[str]]


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (page.name, block)
        for page in PAGES
        for block in re.findall(
            rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S
        )
    ]


def lines() -> list[tuple[str, str]]:
    """Return the command lines of the program, with the page each stands on."""
    found = []
    for page, block in blocks("sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = re.sub(r"^(\$ |sudo |nohup )*(\.venv/bin/)?", "", line.strip())
            if words.startswith("monitor "):
                found.append((page, words))
    return found


def text(topic: str) -> str:
    return (DOCS / f"{topic}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("page", "line"), lines())
def test_a_command_line_is_one_that_the_program_takes(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    stop = next((at for at, word in enumerate(words) if word in ("|", ">", "&", "&&", "2>")), None)
    name, *arguments = words[:stop]
    assert name in COMMANDS, f"{page}: {line}"
    COMMANDS[name].make_context(name, arguments)


@pytest.mark.parametrize(("page", "block"), blocks("toml"))
def test_a_configuration_is_valid(page: str, block: str, tmp_path: Path) -> None:
    file = tmp_path / "monitor.toml"
    file.write_text(block, encoding="utf-8")
    configuration.load(file)


@pytest.mark.parametrize(("page", "block"), blocks("sql"))
def test_a_statement_runs(page: str, block: str, tmp_path: Path) -> None:
    rows = [(kind, row(kind, n, 1_700_000_000_000_000_000 + n)) for n, kind in enumerate(KINDS)]
    record(tmp_path / "x", [batch_of(rows)])
    queries.run(block, tmp_path)


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            if "://" in link:
                continue
            file, _, place = link.partition("#")
            target = page.parent / file if file else page
            assert target.exists(), f"{page.name}: {link}"
            titles = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.M) if place else []
            places = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert not place or place in places, f"{page.name}: {link}"


def test_every_command_and_option_is_documented() -> None:
    described = dict(re.findall(r"^## `?(\w+)`?\n(.*?)(?=^## |\Z)", text("commands"), re.M | re.S))
    for name, command in COMMANDS.items():
        assert name in described, name
        everywhere = described[name] + text("commands").partition("\n## ")[0]
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and not getattr(parameter, "hidden", False):
                    assert option in everywhere, f"{name} {option}"


def test_the_generated_tables_are_those_of_the_program() -> None:
    """Every setting, and every table, view and column."""
    for file, text in write_reference.pages():
        assert file.read_text("utf-8") == text, "run tests/docs/write_reference.py"
    named = (DOCS / "configuration.md").read_text("utf-8")
    assert "`venues.NAME.fallback_after_s`" in named


def test_every_rule_kind_is_documented() -> None:
    for kind in RULE_KINDS:
        assert f"`{kind}`" in text("alerts"), kind


def test_every_status_kind_of_the_contract_is_documented(captures: Path) -> None:
    contract = (captures.parent / "CONTRACT.md").read_text(encoding="utf-8")
    listed = contract.partition("- `kind` of a status row:")[2].partition("One loss is one")[0]
    kinds = re.findall(r"`([a-z_]+)`", listed)
    assert len(kinds) > 50
    assert not [kind for kind in kinds if f"`{kind}`" not in text("words")]


def test_every_keyboard_shortcut_is_documented() -> None:
    script = (ROOT / "monitor" / "page" / "views" / "habits.js").read_text("utf-8")
    (listed,) = re.findall(r"const KEYS = \[\n(.*?)\n\];", script, re.S)
    keys = re.findall(r'\["(.+?)", ', listed)
    assert len(keys) == len(listed.splitlines())
    section = text("page").partition("## Keyboard shortcuts")[2].partition("\n## ")[0]
    for key in keys:
        for part in re.split(r" – | ", key):
            assert f"`{part}`" in section, key


def test_help_lists_the_topics_and_prints_one(monitor: Monitor) -> None:
    listed = monitor("help").stdout
    assert [line.split()[0] for line in listed.splitlines()] == [page.stem for page in PAGES[1:]]
    assert monitor("help", "sql").stdout == text("sql")
    wrong = monitor("help", "recording")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "recordings" in wrong.stderr and "'recording'" in wrong.stderr
