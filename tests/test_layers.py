"""The shape of the code: imports point one way, every outside library has one home."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.running import ROOT

LINES = 400
MONITOR = ROOT / "monitor"
FILES = sorted(MONITOR.rglob("*.py"))
# The packages and modules that may import an outside library.
HOMES = {
    "streamz": {"graph"},
    "duckdb": {"recordings", "sql"},
    "websocket": {"feeds.transport"},
    "panel": {"app", "page"},
    "holoviews": {"page.viewer_document", "page.views"},
    "bokeh": {"page"},
    "typer": {"cli", "simulate.__main__", "simulate.command"},
    "rich": {"cli"},
    "aiohttp": {"simulate"},
}
# Each package may import only those before it.
LAYERS = [
    *("_rust_feed", "rows", "processes", "settings", "state", "graph", "hooks", "feeds"),
    *("recordings", "verify", "sql", "alerting", "hub", "collector", "access", "jobs", "page"),
    *("probe", "simulate", "cli", "app"),
]
# Names that several folders have for the same part of each of them.
SAME_IN_EACH = {"__init__", "__main__", "stream", "rest", "texts"}


def module_of(file: Path) -> str:
    """Return the dotted name of a file's module within `monitor`; a package's is its own."""
    parts = file.relative_to(MONITOR).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in FILES}


def imports(file: Path) -> Iterator[tuple[str, str]]:
    """Yield the module that each import names, and what it takes from it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


def own_imports(file: Path) -> Iterator[tuple[str, str]]:
    """Yield the imports of `monitor`, as the package or module within it and a name of it."""
    for module, name in imports(file):
        if module == "monitor":
            yield name, ""
        elif module.startswith("monitor."):
            yield module.removeprefix("monitor."), name


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_each_outside_library_has_one_home(file: Path) -> None:
    mine = module_of(file)
    for module, _ in imports(file):
        homes = HOMES.get(module.split(".")[0])
        assert homes is None or any(f"{mine}.".startswith(f"{home}.") for home in homes), module


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_imports_point_one_way(file: Path) -> None:
    mine = module_of(file).split(".")[0]
    if mine in ("", "__main__"):
        return
    for module, _ in own_imports(file):
        package = module.split(".")[0]
        if package != "__version__":
            assert LAYERS.index(package) <= LAYERS.index(mine), f"{mine} imports {module}"


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_packages_use_each_other_through_what_they_export(file: Path) -> None:
    mine = module_of(file).split(".")[0]
    for module, name in own_imports(file):
        package = module.split(".")[0]
        if package in (mine, "_rust_feed", "__version__") or mine == "":
            continue
        assert module == package, f"{mine} imports from {module}"
        tree = ast.parse(MODULES[package].read_text(encoding="utf-8"))
        exported = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        ]
        assert not name or name in exported[0], f"{package} does not export {name}"


def test_the_top_holds_packages_and_four_files() -> None:
    top = {file.name for file in MONITOR.glob("*.py")}
    assert top == {"__init__.py", "__main__.py", "app.py"}
    packages = {path.name for path in MONITOR.iterdir() if (path / "__init__.py").exists()}
    assert packages == set(LAYERS) - {"_rust_feed", "app"}


def test_no_two_modules_share_a_name() -> None:
    names = Counter(file.stem for file in FILES if file.stem not in SAME_IN_EACH)
    assert [name for name, count in names.items() if count > 1] == []


def test_tests_mirror_the_packages_and_share_helpers_in_one_place() -> None:
    tests = ROOT / "tests"
    modules = [file for file in tests.rglob("test_*.py") if file.parent != tests]
    folders = {file.parent.relative_to(tests).as_posix() for file in modules}
    assert folders <= {name.removeprefix("_") for name in LAYERS} | {"docs"}
    names = Counter(file.name for file in modules)
    assert [name for name, count in names.items() if count > 1] == []
    for file in modules:
        taken = re.findall(r"^(?:from|import) (?:test_|conftest)", file.read_text("utf-8"), re.M)
        assert not taken, f"{file.name} imports another test module"


def test_files_are_short_and_say_what_they_are_for() -> None:
    sources = [*FILES, *(ROOT / "rust_feed" / "src").rglob("*.rs"), *(ROOT / "tests").rglob("*.py")]
    for file in sources:
        lines = file.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= LINES, f"{file.name} has {len(lines)} lines"
        assert lines[0].startswith(('"""', "//!")), f"{file.name} does not say what it is for"


def test_no_export_hides_a_module() -> None:
    for package in LAYERS:
        if package in ("_rust_feed", "app"):
            continue
        tree = ast.parse(MODULES[package].read_text(encoding="utf-8"))
        taken = {
            alias.asname or alias.name
            for node in tree.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        own = {module.split(".")[1] for module in MODULES if module.startswith(f"{package}.")}
        assert not taken & own, f"{package} has both a name and a module {taken & own}"
