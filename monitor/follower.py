"""The follower: a thread that reads a collector's stream and emits its batches."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Callable

import pyarrow as pa

from monitor.batches import Batch, from_wire
from monitor.lock import Held

RETRY_S = 0.5
TIMEOUT_S = 10.0

# What a collector that goes away, or is not there yet, makes of a read.
LINE_ERRORS = (OSError, http.client.HTTPException, pa.ArrowException)


class Follower:
    """Attaches to the collector that `locate` finds, and to the next one when that is gone."""

    def __init__(
        self,
        locate: Callable[[], Held | None],
        emit: Callable[[Batch], None],
        on_attach: Callable[[Held], None] = lambda _: None,
        skips: bool = False,
    ) -> None:
        """With `skips` rows are left out, and counted, when this follower falls far behind."""
        self._locate, self._emit, self._on_attach = locate, emit, on_attach
        self._path = "/tail?skip=1" if skips else "/tail"
        self._closing = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the thread and wait for it."""
        self._closing.set()
        connection = self._connection
        if connection is not None and connection.sock is not None:
            connection.sock.close()
        self._thread.join(TIMEOUT_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            held = self._locate()
            if held is not None:
                # One that goes away or hangs is looked for again.
                with contextlib.suppress(*LINE_ERRORS):
                    self._follow(held)
            self._closing.wait(RETRY_S)

    def _follow(self, held: Held) -> None:
        connection = http.client.HTTPConnection(held.address, timeout=TIMEOUT_S)
        self._connection = connection
        try:
            connection.request("GET", self._path, headers={"Authorization": f"Bearer {held.token}"})
            response = connection.getresponse()
            if response.status != http.client.OK:
                return
            self._on_attach(held)
            with pa.ipc.open_stream(response) as stream:
                for record in stream:
                    if self._closing.is_set():
                        return
                    self._emit(from_wire(record))
        finally:
            connection.close()
