"""The wheel, installed where there is neither Rust nor a compiler: it records and replays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.running import DEADLINE_S, ROOT, until

# A first build compiles the core; installing takes what the network takes.
BUILD_S, INSTALL_S = 1200, 600
SOURCE = "kraken:BTC-USD"


def run(*command: object, timeout_s: float = DEADLINE_S, **options: object) -> str:
    """Run a command to its end and return its standard output."""
    done = subprocess.run(
        [*map(str, command)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def wheel() -> Path:
    """The wheel that the documented command builds, in the folder where the core is compiled."""
    printed = run(ROOT / "serve.sh", "wheel", timeout_s=BUILD_S)
    return ROOT / printed.splitlines()[-1]


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a machine with the wheel and what it needs, and nothing else on PATH."""
    venv = tmp_path_factory.mktemp("bare") / "venv"
    run(sys.executable, "-m", "venv", venv)
    bare = {"PATH": str(venv / "bin"), "HOME": str(venv)}
    for name in ("cargo", "rustc", "cc", "gcc", "clang", "zig"):
        assert shutil.which(name, path=bare["PATH"]) is None
    # The rest of the environment may say how packages are reached.
    pip = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | bare
    install = (venv / "bin" / "python", "-m", "pip", "install", "--quiet")
    locked = ("--require-hashes", "--only-binary", ":all:", "-r", ROOT / ".lock" / "serve.txt")
    run(*install, *locked, timeout_s=INSTALL_S, env=pip)
    run(*install, "--no-deps", "--no-index", wheel, timeout_s=INSTALL_S, env=pip)
    yield bare
    shutil.rmtree(venv)


def test_a_wheel_is_for_any_python_and_an_old_linux(wheel: Path) -> None:
    assert wheel.name.startswith("monitor-")
    assert "-cp311-abi3-" in wheel.name
    assert "manylinux_2_17" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "monitor/_rust_feed.abi3.so" in names
    files = [path for path in (ROOT / "monitor").rglob("*") if path.suffix in (".py", ".js", ".md")]
    assert files
    assert {str(path.relative_to(ROOT)) for path in files} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests")]


def test_a_machine_without_rust_and_compiler_records(bare: dict[str, str], tmp_path: Path) -> None:
    program = f"{bare['PATH']}/monitor"
    exchange = subprocess.Popen(
        [program, "simulate", "kraken"], stdout=subprocess.PIPE, text=True, env=bare, cwd=tmp_path
    )
    try:
        assert exchange.stdout is not None
        venue, ws, http = until(exchange.stdout.readline, "an address").split()
        digest = run(
            *(program, "record", SOURCE, "--endpoint", f"{venue}={ws},{http}", "--for", "2s"),
            env=bare,
            cwd=tmp_path,
        )
    finally:
        exchange.terminate()
        exchange.wait(DEADLINE_S)
        assert exchange.stdout is not None
        exchange.stdout.close()
    help_ = run(program, "help", "sql", env=bare, cwd=tmp_path)
    assert help_ == (ROOT / "monitor" / "docs" / "sql.md").read_text(encoding="utf-8")
    sql = ("sql", "SELECT count(*) > 0 AS has_rows FROM quote", "--format", "csv")
    assert run(program, *sql, env=bare, cwd=tmp_path).split() == ["has_rows", "True"]
    (recording,) = json.loads(run(program, "recordings", "--json", env=bare, cwd=tmp_path))
    replay = ("replay", recording["id"], "--speed", "max", "--digest")
    replayed = run(program, *replay, env=bare, cwd=tmp_path)
    assert replayed.splitlines()[-1] == digest.splitlines()[-1]
