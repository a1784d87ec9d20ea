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
# Old batches that are joined into one.
JOINED = 200

# What a collector that goes away, or is not there yet, makes of a connection or a read.
LINE_ERRORS = (OSError, http.client.HTTPException, pa.ArrowException)


class _EmitError(Exception):
    """`emit` raised its cause: nothing is wrong with the line."""


class Follower:
    """Attaches to the collector that `locate` finds, and to the next one when that is gone.

    An error that `emit` raises ends it, and is `error` from then on.
    """

    def __init__(
        self,
        locate: Callable[[], Held | None],
        emit: Callable[[Batch], None],
        on_attach: Callable[[Held, Batch], None] = lambda _held, _in_force: None,
        leads_to_now: bool = False,
    ) -> None:
        """One that `leads_to_now` attaches anew when it falls far behind, and joins old batches.

        `on_attach` is given the status rows in force before the batches that follow; they are
        known to one that `leads_to_now` alone.
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
        """End the thread and wait for it, at most so long."""
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
                # One that goes away or hangs is looked for again.
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
        """Emit batches: the minutes that come first in few large ones, which takes a fraction."""
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
