"""`serve.sh` on a machine without Rust: the build backend fetches a toolchain, or says why not."""

from __future__ import annotations

import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.running import DEADLINE_S, ROOT

# What set-up needs of a machine: no cargo among it.
PROGRAMS = (
    *("bash", "cat", "cc", "cut", "dirname", "env", "find", "grep", "mktemp", "sed", "sha256sum"),
    *("sort", "tail", "xargs"),
)
INSTALL_S = 600


class Toolchains(http.server.BaseHTTPRequestHandler):
    """A server of toolchains that has none."""

    asked: list[str]

    def do_HEAD(self) -> None:
        self.asked.append(self.path)
        self.send_error(404)

    do_GET = do_HEAD  # noqa: N815 (the library names it)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def toolchains() -> Iterator[http.server.ThreadingHTTPServer]:
    Toolchains.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Toolchains) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join(DEADLINE_S)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of what set-up reads, that nothing is compiled in."""
    clone = tmp_path / "clone"
    made = shutil.ignore_patterns("target", "*.so", "__pycache__")
    for name in (".lock", "rust_feed", "monitor"):
        shutil.copytree(ROOT / name, clone / name, ignore=made)
    for name in ("serve.sh", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone / name)
    return clone


def test_without_cargo_the_build_fetches_a_toolchain(
    clone: Path, tmp_path: Path, toolchains: http.server.ThreadingHTTPServer
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in PROGRAMS:
        found = shutil.which(name)
        assert found, f"expected {name}, found none"
        (programs / name).symlink_to(found)
    (programs / "python3").symlink_to(os.path.realpath(sys.executable))
    (host, port) = toolchains.server_address[:2]
    environment = os.environ | {
        "PATH": str(programs),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "RUSTUP_UPDATE_ROOT": f"http://{host!s}:{port}",
    }
    environment.pop("VIRTUAL_ENV", None)
    done = subprocess.run(
        ["bash", clone / "serve.sh"],
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
        check=False,
        env=environment,
    )
    assert done.returncode == 1
    assert Toolchains.asked
    assert all(path.endswith("/rustup-init") for path in Toolchains.asked)
    *_, told, error = done.stderr.splitlines()
    assert told.startswith("serve.sh: found no cargo: the build fetches a Rust toolchain")
    assert error.startswith("serve.sh: expected to fetch a Rust toolchain, found httpx.HTTPStatus")
    assert error.endswith("install cargo (see https://rustup.rs)")


def test_every_locked_package_has_a_version_and_a_hash() -> None:
    locks = sorted((ROOT / ".lock").glob("*.txt"))
    assert [lock.stem for lock in locks] == ["build", "dev", "pip", "serve"]
    pinned: dict[str, str] = {}
    for lock in locks:
        text = lock.read_text()
        assert "://" not in text
        lines = [line for line in text.replace("\\\n", "").splitlines() if not line.startswith("#")]
        assert lines
        for line in lines:
            name, version = line.split()[0].split("==")
            assert "--hash=sha256:" in line
            assert pinned.setdefault(name, version) == version
