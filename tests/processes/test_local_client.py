"""What goes to this machine stays on it, and what is started here is this program's own."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.running import ROOT, collector_of

from monitor.processes import collector_client

Run = Callable[..., Any]


class Proxy(http.server.BaseHTTPRequestHandler):
    """Answers nothing, and notes what it was asked."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        self.send_error(502)

    do_POST = do_GET  # noqa: N815  # The server asks for these names.
    do_CONNECT = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = type("Noting", (Proxy,), {"asked": asked})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="proxy")
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_nothing_to_this_machine_goes_by_a_proxy_or_with_a_login_of_netrc(
    tmp_path: Path, background: Run, proxy: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = proxy
    (tmp_path / ".netrc").write_text("default login someone password else\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    # Its venue is on this machine too.
    background("record", "mock:BTC-USD", "--simulated")
    held = collector_of(tmp_path / "recordings")
    assert collector_client.request(held, "GET", "/sources").json()["recording"] == held.recording
    command = [sys.executable, "-m", "monitor.cli"]
    for arguments in (["sql", "SELECT count(*) AS n FROM clock"], ["recordings", "--json"]):
        done = subprocess.run(
            [*command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    (listed,) = json.loads(done.stdout)
    assert listed["id"] == held.recording
    assert asked == []


def test_files_of_the_current_folder_are_not_taken_for_the_programs_own(tmp_path: Path) -> None:
    # A script that somebody left where a trader works.
    (tmp_path / "recordings").mkdir()
    for name in ("duckdb", "queue", "pyarrow", "monitor"):
        (tmp_path / f"{name}.py").write_text(f"open('{tmp_path}/ran', 'a').write('{name} ')\n")
    script = Path(sys.executable).parent / "monitor"
    done = subprocess.run(
        [script, "sql", "SELECT 41 + 1 AS n", "--format", "csv"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert not (tmp_path / "ran").exists()
    assert (done.returncode, done.stdout) == (0, "n\n42\n"), done.stderr
