"""The live hub of the page process, filled with rows recorded before it attached.

A collector sends its last minutes to a page that attaches, after the states in force before them.
What it recorded before is read from its recording meanwhile: the hub is then exchanged for one
that counts from the start. A page that attaches to the same collector again shows what it has until
it is sent something newer.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

from monitor.hub.hub import Hub
from monitor.processes import Held, collector_client
from monitor.recordings import FILE_ERRORS, open_recording
from monitor.rows import Batch
from monitor.state import Present

# Rows that come while earlier ones are read; of more, the page counts since it attached.
KEPT_BYTES = 256 << 20
# To count the ticks of a longer recording would take the machine from its collector for long, as
# would to count them each time that a page is too slow.
MOST_ROWS, READ_EVERY_S = 50_000_000, 60.0
CLOSE_S = 10.0

log = logging.getLogger(__name__)


class Live:
    """A sink of the follower's batches; after each attachment `hub` is exchanged for another."""

    def __init__(self, folder: Path, present: Present) -> None:
        self.hub = Hub(present)
        self._folder, self._present = folder, present
        self._lock = threading.Lock()
        # The hub of a new attachment, until its rows are as new as those of `hub`.
        self._coming: Hub | None = None
        self._token: str | None = None
        self._recording, self._alerts = "", dict[str, Any]()
        self._in_force = Batch({})
        # Of this attachment all that came, while earlier rows are still to be read.
        self._kept: list[Batch] | None = None
        self._kept_bytes, self._has_first = 0, False
        self._reader: threading.Thread | None = None
        self._closing = threading.Event()
        self._read_s = -READ_EVERY_S
        # Since it attached no row of now has come yet.
        self.is_attaching = False

    def attach(self, held: Held, alerts: dict[str, Any], in_force: Batch) -> None:
        """Begin anew: the rows of a collector follow.

        `alerts` is what is active since before them, `in_force` the status rows that hold.
        """
        with self._lock:
            is_same, self._token = held.token == self._token, held.token
            self._recording, self._alerts, self._in_force = held.recording, alerts, in_force
            self._kept, self._kept_bytes, self._has_first = [], 0, False
            self.is_attaching = True
            self._present.arrived()
            self._coming = self._begun()
            if not is_same:
                self.hub, self._coming = self._coming, None

    def take(self, batch: Batch) -> None:
        """Take the next batch."""
        with self._lock:
            coming = self._coming
            if coming is None:
                self.hub(batch)
            else:
                coming(batch)
                if coming.last_ord >= self.hub.last_ord:
                    self.hub, self._coming = coming, None
            self.is_attaching &= self.hub.is_silent
            if self._kept is None:
                return
            self._kept.append(batch)
            self._kept_bytes += batch.nbytes
            if self._kept_bytes > KEPT_BYTES:
                self._kept = None
            elif batch.ords and not self._has_first:
                self._has_first = True
                self._read_before(batch.ords[0], batch.first_ns or 0)

    def close(self, timeout_s: float = CLOSE_S) -> None:
        self._closing.set()
        with self._lock:
            self._kept = None
        if self._reader:
            self._reader.join(timeout_s)

    def _read_before(self, number: int, from_ns: int) -> None:
        """Have the rows before the first one read, if there are any that can be."""
        if not self._recording or number == 0:
            self._kept = None
            return
        now_s = time.monotonic()
        wait_s = max(0.0, self._read_s + READ_EVERY_S - now_s)
        self._read_s = now_s + wait_s
        arguments = (self._kept, self._recording, number, from_ns, wait_s)
        self._reader = threading.Thread(target=self._read, args=arguments, name="past", daemon=True)
        self._reader.start()

    def _begun(self) -> Hub:
        hub = Hub(self._present)
        hub.prime(self._in_force)
        if self._alerts:
            hub.alerts.seed(self._alerts)
        return hub

    def _read(
        self, kept: list[Batch], recording: str, number: int, from_ns: int, wait_s: float
    ) -> None:
        """Exchange the hub for one that knows the rows below `number`, at `from_ns`, too."""
        if self._closing.wait(wait_s) or self._kept is not kept:
            return
        try:
            if number > MOST_ROWS:
                raise ValueError(f"expected at most {MOST_ROWS:,} rows, found {number:,}")
            with open_recording(self._folder, recording) as opened:
                opened.use_one_thread()
                past = opened.past_below(number, from_ns)
        except (ValueError, *collector_client.ERRORS, *FILE_ERRORS) as error:
            why = str(error).splitlines()[0]
            log.warning("what %s holds of before is not counted: %s", recording, why)
            with self._lock:
                self._kept = None if self._kept is kept else self._kept
            return
        hub = self._begun()
        hub.remember(past)
        with self._lock:
            # Another attachment, or too many rows, have made it useless.
            if self._kept is kept:
                for batch in kept:
                    hub(batch)
                self._kept = None
                if self._coming is None:
                    self.hub = hub
                else:
                    self._coming = hub
