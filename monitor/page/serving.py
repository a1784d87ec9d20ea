"""The page process: attach to the running collector, or start one, and serve the page."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.ioloop import PeriodicCallback
from tornado.netutil import bind_sockets

from monitor.access import HEADERS, Desk, Exposure, Gate, Users, check, guard, routes
from monitor.collector import Keeper, KeeperError, kept
from monitor.processes import AttachError, end_signals

RENEW_EVERY_MS = 60_000

log = logging.getLogger(__name__)
APP = Path(__file__).parents[1] / "app.py"


class ServeError(Exception):
    """The page could not be served; the message is one line."""


def serve(folder: Path, exposure: Exposure, collector: list[str]) -> None:
    """Serve until a signal; `collector` are the arguments that start one if none runs."""
    tls = _tls(exposure)
    with _bound(exposure) as sockets:
        # Port 0 is any free port.
        exposure = exposure._replace(port=sockets[0].getsockname()[1])
        try:
            with kept(folder, collector) as keeper:
                _serve_page(folder, exposure, sockets, tls, keeper)
        except (KeeperError, AttachError) as error:
            raise ServeError(str(error)) from None


def _tls(exposure: Exposure) -> ssl.SSLContext | None:
    if exposure.certificate is None:
        return None
    certificate, key = exposure.certificate
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:
        raise ServeError(f"expected a certificate and its key in PEM, found: {error}") from None
    return context


class Renewal:
    """Uses a certificate that was renewed on disk for new connections."""

    def __init__(self, exposure: Exposure, http: HTTPServer) -> None:
        self._exposure, self._http = exposure, http
        self._seen = self._written()

    def look(self) -> None:
        """Load the files again if they changed; log and ignore unusable ones."""
        if (written := self._written()) == self._seen:
            return
        self._seen = written
        try:
            self._http.ssl_options = _tls(self._exposure)
        except ServeError as error:
            log.warning("the certificate is not renewed: %s", error)
        else:
            log.warning("the certificate was renewed")

    def _written(self) -> list[tuple[int, int]]:
        """Return a value that differs for each version of the files."""
        found = []
        for file in self._exposure.certificate or ():
            with contextlib.suppress(OSError):
                about = file.stat()
                found.append((about.st_ino, about.st_mtime_ns))
        return found


@contextlib.contextmanager
def _bound(exposure: Exposure) -> Iterator[list[socket.socket]]:
    """Bind the port: only one of several programs can."""
    address, port = exposure.address, exposure.port
    try:
        sockets = bind_sockets(port, address)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ServeError(f"expected port {port} of {address} to be free, found: {why}") from None
    try:
        yield sockets
    finally:
        for bound in sockets:
            bound.close()


def _serve_page(
    folder: Path,
    exposure: Exposure,
    sockets: list[socket.socket],
    tls: ssl.SSLContext | None,
    keeper: Keeper,
) -> None:
    from monitor.page import (
        forwarded_endpoints,
        opening_page,
        shared_state,
        web_server,
    )

    os.environ[shared_state.FOLDER_VARIABLE] = str(folder)
    import panel as pn

    from monitor.processes import event_loop

    # Bokeh would log a closed tab ten times a second until its session expires.
    logging.getLogger("bokeh.server.views.ws").setLevel(logging.ERROR)
    # Before anything reads the time.
    event_loop.steady()
    shared = shared_state.shared()
    users = Users(exposure.users)
    desk = Desk(users)
    try:
        shared.findings = check(exposure, HEADERS)
        opening_page.take_over()
        patterns = [*forwarded_endpoints.routes(shared), *(routes(desk) if users else [])]
        server, application, http = web_server.make(APP, exposure, sockets, tls, patterns)
        opening_page.queue(application, shared.turns)
        # Nothing is answered before the loop runs.
        guard(application, Gate(exposure, users))
        loop: Any = event_loop.steady()
        loop.asyncio_loop.set_exception_handler(_tell)
        end_signals.on_signal(lambda: loop.add_callback_from_signal(loop.stop))
        server.start()
        if tls is not None:
            PeriodicCallback(Renewal(exposure, http).look, RENEW_EVERY_MS).start()
        for finding in shared.findings:
            if not finding.is_well:
                print(f"monitor: {finding.name}: {finding.text}", file=sys.stderr, flush=True)
        print(f"monitor: {exposure.url}", flush=True)
        # Start-up objects are frozen: a full garbage collection would pause every viewer.
        gc.collect()
        gc.freeze()
        loop.start()
        # The collector ends at the same time.
        keeper.leave()
        server.stop()
    finally:
        desk.close()
        shared.close(keeper.leave())
        pn.state.cache.clear()


def _tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log errors that nobody awaited, without those of tabs that closed during a message."""
    from tornado.websocket import WebSocketClosedError

    if not isinstance(context.get("exception"), WebSocketClosedError):
        loop.default_exception_handler(context)
