"""A real nginx before the page, with the configuration of the documentation."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.collectors import free_port
from support.running import DEADLINE_S, ROOT, until

CONFIGURATION = re.compile(r"```nginx\n(.*?)```", re.DOTALL)
LISTEN = re.compile(r"listen 443 .*;")
AROUND = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
events {{}}
http {{
access_log off;
client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
proxy_read_timeout {read_timeout_s}s;
{server}
}}
"""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def nginx(folder: Path, port: int, host: str = "$host", read_timeout_s: int = 60) -> Iterator[str]:
    """Serve the page of `port` below /monitor/; yield the address of that."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        assert not os.environ.get("CI"), "expected nginx, found none"
        pytest.skip("needs nginx")
    text = (ROOT / "monitor" / "docs" / "operations.md").read_text(encoding="utf-8")
    (written,) = CONFIGURATION.findall(text)
    mine = free_port()
    server = LISTEN.sub(f"listen 127.0.0.1:{mine};", written)
    server = server.replace("127.0.0.1:5006", f"127.0.0.1:{port}")
    assert server.count("$host;") == 1 and f":{port}/" in server
    server = server.replace("$host;", f"{host};")
    folder.mkdir()
    file = folder / "nginx.conf"
    file.write_text(AROUND.format(folder=folder, read_timeout_s=read_timeout_s, server=server))
    process = subprocess.Popen([program, "-c", str(file), "-e", str(folder / "error.log")])
    try:
        until(lambda: listens(mine), "nginx")
        yield f"http://127.0.0.1:{mine}/monitor/"
    finally:
        process.terminate()
        process.wait(DEADLINE_S)
