"""The systemd unit and the container recipe of the documentation: their commands are run."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.collectors import answers, free_port
from support.running import DEADLINE_S, ROOT, until

from monitor import recordings

Run = Callable[..., Any]
PROGRAM = "/opt/monitor/.venv/bin/monitor"
CONFIG, STATE = "/etc/monitor.toml", "/var/lib/monitor"
# Mounts all that is there read-only but for its first argument, and becomes nobody in particular.
APART = """
mount --make-rprivate / && mount --bind "$0" "$0" && chown 65534:65534 "$0"
for at in $(awk '{print $2}' /proc/self/mounts | grep -v -E '^/(proc|sys|dev)'); do
    [ "$at" = "$0" ] || mount -o remount,bind,ro "$at"
done
cd /
exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs \\
    env -i PATH=/usr/bin:/bin PYTHONPATH="$PYTHONPATH" "$@"
"""


def block(language: str) -> str:
    text = (ROOT / "monitor" / "docs" / "operations.md").read_text(encoding="utf-8")
    found = re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)
    assert len(found) == 1, language
    return str(found[0])


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(block("ini"))
    return parser


def container() -> dict[str, str]:
    """Return the last stage's instructions."""
    lines = block("dockerfile").replace("\\\n", " ").splitlines()
    told = [line.split(None, 1) for line in lines if line and not line.startswith("#")]
    last = max(at for at, (name, _) in enumerate(told) if name == "FROM")
    return dict(told[last:])


def commands() -> dict[str, list[str]]:
    made = container()
    return {
        "unit": shlex.split(unit()["Service"]["ExecStart"]),
        "container": json.loads(made["ENTRYPOINT"]) + json.loads(made["CMD"]),
    }


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    service = unit()["Service"]
    assert service["StateDirectory"] == Path(STATE).name
    assert service["ProtectSystem"] == "strict"
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze")
    # What is not installed here is left to the other test.
    text = block("ini").replace(PROGRAM, "/bin/true")
    file = tmp_path / "monitor.service"
    file.write_text(text)
    done = subprocess.run(
        [analyze, "verify", "--recursive-errors=no", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_container_recipe_uses_no_root(tmp_path: Path) -> None:
    made = container()
    assert made["USER"] == "monitor"
    assert f"/{STATE.strip('/')}" in made["RUN"] and made["VOLUME"] == STATE


@pytest.mark.parametrize("which", ["unit", "container"])
def test_what_is_documented_runs_without_rights_on_a_read_only_system(
    which: str, tmp_path: Path
) -> None:
    program, *arguments = commands()[which]
    assert program == PROGRAM and CONFIG in arguments and STATE in arguments
    state, config, port = tmp_path / "state", tmp_path / "monitor.toml", free_port()
    state.mkdir()
    config.write_text("")
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder != Path("/tmp") and folder.owner() != "nobody":
            folder.chmod(folder.stat().st_mode | 0o055)
    given = [{CONFIG: str(config), STATE: str(state)}.get(one, one) for one in arguments]
    # Its own Python may lie in a folder of root's; all of the same version are as good.
    python = f"/usr/bin/python3.{sys.version_info.minor}"
    sites = [path for path in sys.path if path.endswith("site-packages")]
    tried = ["unshare", "-m", "sh", "-c", APART, str(state), python]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sites])}
    probe = subprocess.run(
        [*tried, "-c", "import monitor.cli.commands"],
        env=environment,
        capture_output=True,
        check=False,
    )
    if probe.returncode:
        pytest.skip(f"needs the right to mount, and {python}: {probe.stderr.decode()[-200:]}")
    page = subprocess.Popen(
        [*tried, "-m", "monitor", *given, "--port", str(port)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: answers(f"http://127.0.0.1:{port}/health"), "the page")
        page.send_signal(signal.SIGTERM)
        out, err = page.communicate(timeout=DEADLINE_S)
    finally:
        page.kill()
    assert (page.returncode, err) == (0, ""), out
    assert [one["state"] for one in recordings.catalogue(state)] == ["sealed"]
