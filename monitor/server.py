"""The page process: attaches to the collector that runs, or starts one, and serves the page."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hmac
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from monitor import lock
from monitor.child import command_of
from monitor.exposure import Exposure, check
from monitor.gate import COOKIE, HEADERS, Gate, guard
from monitor.login import Desk, routes
from monitor.users import Users

# A closed tab's session is looked for so often, and ends when it has been unused for so long:
# a slow browser takes its time from the page to the connection.
CLEAN_EVERY_MS, UNUSED_MS = 2_000, 15_000
# Who answers no ping for so long is gone; a busy server may come late to the answer.
PING_EVERY_S = 60.0
# Nothing is uploaded; the login form is a few lines.
MAX_BODY_BYTES = 64 << 10
START_S = 20.0
STOP_S = 4.5
POLL_S = 0.05


class ServeError(Exception):
    """The page could not be served; the message is one line."""


def serve(folder: Path, exposure: Exposure, collector: list[str]) -> None:
    """Serve until SIGTERM or SIGINT; `collector` are the arguments that start one if none runs."""
    _check_port(exposure.address, exposure.port)
    with _collector(folder, collector):
        _serve_page(folder, exposure)


def _check_port(address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
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
            command_of("cli", *arguments),
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


def _serve_page(folder: Path, exposure: Exposure) -> None:
    from monitor import app, opening, passing

    os.environ[app.FOLDER_VARIABLE] = str(folder)
    import panel as pn
    from panel.io.server import get_server
    from tornado.ioloop import IOLoop

    # A closed tab is no news, and Bokeh would tell of it ten times a second until it expires.
    logging.getLogger("bokeh.server.views.ws").setLevel(logging.ERROR)
    # Any origin may pass Bokeh: the gate before it wants the one that the page came from.
    logging.getLogger("bokeh.server.util").setLevel(logging.ERROR)
    shared = app.shared()
    shared.findings = check(exposure, HEADERS)
    users = Users(exposure.users)
    desk = Desk(users)
    opening.take_over()

    try:
        server: Any = get_server(
            {"/": str(Path(app.__file__))},
            port=exposure.port,
            address=exposure.address,
            websocket_origin="*",
            show=False,
            start=False,
            title="monitor",
            extra_patterns=[
                *passing.routes(shared),
                *(routes(desk) if users else []),
            ],
            admin=False,
            **_options(exposure),
        )
    except ssl.SSLError as error:
        raise ServeError(f"expected a certificate and its key in PEM, found: {error}") from None
    opening.queue(server._tornado, shared.turns)
    # Bokeh offers its application under no other name. Nothing is answered before the loop runs.
    guard(server._tornado, Gate(exposure, users))
    loop: Any = IOLoop.current()
    loop.asyncio_loop.set_exception_handler(_tell)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.add_callback_from_signal(loop.stop))
    server.start()
    for finding in shared.findings:
        if not finding.is_well:
            print(f"monitor: {finding.name}: {finding.text}", file=sys.stderr, flush=True)
    print(f"monitor: {exposure.url}", flush=True)
    # What is loaded by now stays: to look through it all again would hold up every viewer.
    gc.collect()
    gc.freeze()
    loop.start()
    server.stop()
    desk.close()
    shared.close()
    pn.state.cache.clear()


def _tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tell of what nobody waited for; that a tab closed amid a message is no news."""
    from tornado.websocket import WebSocketClosedError

    if not isinstance(context.get("exception"), WebSocketClosedError):
        loop.default_exception_handler(context)


def _options(exposure: Exposure) -> dict[str, Any]:
    """Return what Bokeh and Tornado are told beside the addresses."""
    options: dict[str, Any] = {
        "check_unused_sessions_milliseconds": CLEAN_EVERY_MS,
        "unused_session_lifetime_milliseconds": UNUSED_MS,
        # Tornado's pings, which wait for an answer, instead of Bokeh's, which trip over a
        # connection that is being closed.
        "keep_alive_milliseconds": 0,
        "websocket_ping_interval": PING_EVERY_S,
        "websocket_ping_timeout": PING_EVERY_S,
        "http_server_kwargs": {"max_body_size": MAX_BODY_BYTES},
        "use_xheaders": exposure.is_behind_proxy,
        # Bokeh writes the others into the page, where scripts can read them.
        "exclude_cookies": [COOKIE, "_xsrf"],
        "exclude_headers": ["Cookie"],
    }
    if exposure.cookie_secret:
        # Another key than the cookies': what one signs must mean nothing to the other.
        key = hmac.digest(exposure.cookie_secret.encode(), b"sessions", "sha256")
        options |= {"secret_key": key, "sign_sessions": True}
        options["cookie_secret"] = exposure.cookie_secret
        options["xsrf_cookie_kwargs"] = {"httponly": True, "samesite": "Strict"}
    if exposure.certificate:
        certificate, key_file = exposure.certificate
        options |= {"ssl_certfile": str(certificate), "ssl_keyfile": str(key_file)}
    return options
