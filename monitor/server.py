"""The page process: attaches to the collector that runs, or starts one, and serves the page."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from monitor import lock

START_S = 20.0
STOP_S = 4.5
POLL_S = 0.05


class ServeError(Exception):
    """The page could not be served; the message is one line."""


def serve(folder: Path, address: str, port: int, collector: list[str]) -> None:
    """Serve until SIGTERM or SIGINT; `collector` are the arguments that start one if none runs."""
    _check_port(address, port)
    with _collector(folder, collector):
        _serve_page(folder, address, port)


def _check_port(address: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise ServeError(
                f"expected port {port} of {address} to be free, found: {why}"
            ) from None


@contextlib.contextmanager
def _collector(folder: Path, arguments: list[str]) -> Iterator[None]:
    """Have a collector on `folder`; one that a page started is stopped at the end."""
    held = lock.holder(folder)
    if held is None:
        # Its own session: Ctrl-C and the death of the page must not reach it.
        child = subprocess.Popen(
            [sys.executable, "-m", "monitor.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            # The page's libraries take seconds to load: do that while the collector starts.
            import_module("monitor.app")
            held = _wait_for(folder, child)
        except BaseException:
            child.terminate()
            raise
    print(f"collector: PID {held.pid}, recording {held.recording or 'nothing'}", flush=True)
    try:
        yield
    finally:
        if held.started_by == "serve":
            _stop(folder, held)


def _wait_for(folder: Path, child: subprocess.Popen[bytes]) -> lock.Held:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        held = lock.holder(folder)
        if held is not None:
            return held
        if child.poll() is not None:
            # It has said why, on the standard error that it shares with this process.
            raise SystemExit(child.returncode or 1)
        time.sleep(POLL_S)
    raise ServeError(f"expected the collector to start within {START_S:g} s, found that it did not")


def _stop(folder: Path, held: lock.Held) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(held.pid, signal.SIGTERM)
    deadline_s = time.monotonic() + STOP_S
    while lock.holder(folder) == held and time.monotonic() < deadline_s:
        time.sleep(POLL_S)


def _serve_page(folder: Path, address: str, port: int) -> None:
    from monitor import app

    os.environ[app.FOLDER_VARIABLE] = str(folder)
    import panel as pn
    from panel.io.server import get_server
    from tornado.ioloop import IOLoop
    from tornado.web import RequestHandler

    # A closed tab is no news, and Bokeh would tell of it ten times a second until it expires.
    logging.getLogger("bokeh.server.views.ws").setLevel(logging.ERROR)
    shared = app.shared()

    class Proxy(RequestHandler):
        """Passes the collector's health and metrics on."""

        async def get(self) -> None:
            path = self.request.path
            status, kind, body = await IOLoop.current().run_in_executor(None, _ask, folder, path)
            self.set_status(status)
            self.set_header("Content-Type", kind)
            await self.finish(body)

    origins = [f"{host}:{port}" for host in ("localhost", "127.0.0.1")]
    server: Any = get_server(
        {"/": str(Path(app.__file__))},
        port=port,
        address=address,
        websocket_origin=origins,
        show=False,
        start=False,
        title="monitor",
        extra_patterns=[("/health", Proxy), ("/metrics", Proxy)],
        admin=False,
    )
    loop = IOLoop.current()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.add_callback_from_signal(loop.stop))
    server.start()
    print(f"monitor: http://{address}:{port}", flush=True)
    loop.start()
    server.stop()
    shared.close()
    pn.state.cache.clear()


def _ask(folder: Path, path: str) -> tuple[int, str, bytes]:
    import requests

    held = lock.holder(folder)
    if held is not None:
        with contextlib.suppress(requests.RequestException):
            answer = requests.get(f"http://{held.address}{path}", timeout=STOP_S)
            return answer.status_code, answer.headers["Content-Type"], answer.content
    recorder = {"state": "failed", "lag_ms": None, "unrecorded_rows": None}
    report = {"status": "failed", "sources": [], "recorder": recorder}
    return 503, "application/json", json.dumps(report).encode()
