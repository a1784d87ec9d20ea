"""The shape of the code: imports point one way, every outside library has one home."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from conftest import ROOT

LINES = 400
FILES = sorted((ROOT / "monitor").rglob("*.py"))
HOMES = {
    "streamz": {"pipeline"},
    "duckdb": {
        "segments",
        "recovery",
        "catalogue",
        "segment_files",
        "recordings",
        "streams",
        "upkeep",
        "past",
        "queries",
        "query_worker",
    },
    "websocket": {"feeds/transport"},
    "panel": {"app", "instruments", "layouts", "listening", "opening", "page", "role", "server"}
    | {"shared_state", "tabs", "transport_bar", "views"},
    "holoviews": {"app", "views"},
    "bokeh": {"listening", "opening", "plain_serve", "views"},
    "typer": {"bench", "cli", "cli_commands", "cli_recordings", "cli_tail", "simulate"},
    "rich": {"cli", "cli_support"},
    "aiohttp": {"simulate"},
}
# Each may import only what stands before it.
LAYERS = [
    "_rust_feed attached bounded child ending exact first_process lock loop names output",
    "passwords rules space times turns",
    "text_rows",
    "batches client quote_assets sources",
    "config",
    "users",
    "exposure",
    "gate role",
    "fold checks coverage",
    "rings beat present",
    "stages standing",
    "incidents followed",
    "quality authority candles alerts feeds pipeline segments recovery catalogue streams publisher",
    "segment_files",
    "past",
    "health metrics",
    "alerting",
    "abandoned losses",
    "hooks signals hub recorder upkeep recordings control follower seen",
    "merge user_hooks apart delivery",
    "slices",
    "whole_recording",
    "live replay ready_made queries query_worker overview views probe verify",
    "collector export clip ingest api archive archive_worker",
    "layouts",
    "drawing instruments permalink replaying replay_choice tabs transport_bar headline page",
    "app listening shared_state opening passing plain_serve",
    "keeper login",
    "server simulate bench",
    "cli_support",
    "headless cli_password cli_recordings",
    "cli_tail",
    "cli_commands",
    "cli",
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names.split()}


def home(file: Path) -> tuple[str, str]:
    """Return a file's top name within the package, and its path without the suffix."""
    path = file.relative_to(ROOT / "monitor").with_suffix("")
    return path.parts[0], path.as_posix()


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module == "monitor":
                found |= {f"monitor.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: home(file)[1])
def test_each_outside_library_has_one_home(file: Path) -> None:
    for name in imports(file):
        homes = HOMES.get(name.split(".")[0])
        assert homes is None or homes & set(home(file)), name


@pytest.mark.parametrize("file", FILES, ids=lambda file: home(file)[1])
def test_imports_point_one_way(file: Path) -> None:
    mine = home(file)[0]
    for name in imports(file):
        parts = name.split(".")
        if parts[0] == "monitor" and len(parts) > 1 and parts[1] in LEVEL and mine in LEVEL:
            other = parts[1]
            assert other == mine or LEVEL[other] <= LEVEL[mine], f"{mine} imports {other}"


def test_files_are_short_and_say_what_they_are_for() -> None:
    sources = [*FILES, *(ROOT / "rust_feed" / "src").rglob("*.rs"), *(ROOT / "tests").rglob("*.py")]
    for file in sources:
        lines = file.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= LINES, f"{file.name} has {len(lines)} lines"
        assert lines[0].startswith(('"""', "//!")), f"{file.name} does not say what it is for"
