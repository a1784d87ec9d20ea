"""The follower: a thread that reads the stream of a collector and emits its batches."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pyarrow as pa

from monitor.processes import Held, collector_client
from monitor.rows import Batch, concat, from_wire
from monitor.state import SILENT_NS

RETRY_S = 0.5
TIMEOUT_S = 10.0
# Number of old batches joined into one.
JOINED = 200

# Errors of a connection to a collector that ends or has not started yet.
LINE_ERRORS = (OSError, http.client.HTTPException, pa.ArrowException)


class _EmitError(Exception):
    """`emit` raised its cause: nothing is wrong with the line."""


class Follower:
    """Attaches to the collector that `locate` finds, and to the next one when that is gone.

    An error of `emit` ends the thread and becomes `error`.
    """

    def __init__(
        self,
        locate: Callable[[], Held | None],
        emit: Callable[[Batch], None],
        on_attach: Callable[[Held, Batch], None] = lambda _held, _in_force: None,
        leads_to_now: bool = False,
    ) -> None:
        """With `leads_to_now` it attaches again when it falls far behind, and joins old batches.

        `on_attach` receives the status rows in force before the first batch; without
        `leads_to_now` there are none.
        """
        self._locate, self._emit, self._on_attach = locate, emit, on_attach
        self._leads_to_now = leads_to_now
        self._closing = threading.Event()
        self.error: BaseException | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self) -> None:
        """Wait for the end of the thread."""
        self._thread.join()

    def close(self, timeout_s: float = TIMEOUT_S) -> None:
        """End the thread and wait for it, up to a limit."""
        self._closing.set()
        connection = self._connection
        if connection is not None and connection.sock is not None:
            # A close would not wake the thread that reads.
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._closing.is_set():
            held = self._locate()
            if held is not None:
                # A collector that has ended or hangs is looked up again.
                try:
                    self._follow(held)
                except LINE_ERRORS:
                    pass
                except _EmitError as error:
                    self.error = error.__cause__
                    return
            self._closing.wait(RETRY_S)

    def _follow(self, held: Held) -> None:
        connection = collector_client.tail(held, self._leads_to_now)
        self._connection = connection
        try:
            response = connection.getresponse()
            if response.status != http.client.OK:
                return
            with pa.ipc.open_stream(response) as stream:
                batches = (from_wire(record) for record in stream)
                self._on_attach(held, next(batches) if self._leads_to_now else Batch({}))
                self._read(batches)
        finally:
            connection.close()

    def _read(self, batches: Iterator[Batch]) -> None:
        """Emit batches; join the first minutes into a few large ones, which is far cheaper."""
        held: list[Batch] = []
        try:
            for batch in batches:
                if self._closing.is_set():
                    return
                held.append(batch)
                if self._leads_to_now and len(held) < JOINED and _is_old(batch):
                    continue
                self._give(held)
        finally:
            if held:
                self._give(held)

    def _give(self, held: list[Batch]) -> None:
        joined = concat(held)
        held.clear()
        try:
            self._emit(joined)
        except LINE_ERRORS as error:
            raise _EmitError from error


def _is_old(batch: Batch) -> bool:
    return batch.now_ns is not None and time.time_ns() - batch.now_ns > SILENT_NS
