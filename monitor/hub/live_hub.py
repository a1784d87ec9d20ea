"""The live hub of the page process, filled with rows recorded before it attached.

A collector sends a page that attaches the states in force and then its last minutes. Earlier rows
are read from its recording meanwhile; then the hub is replaced by one that counts from the start. A
page that attaches to the same collector again shows what it has until newer rows arrive.
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

# Limit of rows that arrive while earlier ones are read; above it counts begin at the attachment.
KEPT_BYTES = 256 << 20
# Counting a longer recording, or counting again for each slow page, would take too much of the
# machine from the collector.
MOST_ROWS, READ_EVERY_S = 50_000_000, 60.0
CLOSE_S = 10.0

log = logging.getLogger(__name__)


class Live:
    """A sink of the follower's batches; each attachment replaces `hub`."""

    def __init__(self, folder: Path, present: Present) -> None:
        self.hub = Hub(present)
        self._folder, self._present = folder, present
        self._lock = threading.Lock()
        # The hub of a new attachment, until it is as new as `hub`.
        self._coming: Hub | None = None
        self._token: str | None = None
        self._recording, self._alerts = "", dict[str, Any]()
        self._in_force = Batch({})
        # All rows of this attachment, while earlier rows are being read.
        self._kept: list[Batch] | None = None
        self._kept_bytes, self._has_first = 0, False
        self._reader: threading.Thread | None = None
        self._closing = threading.Event()
        self._read_s = -READ_EVERY_S
        # No present row has arrived since it attached.
        self.is_attaching = False

    def attach(self, held: Held, alerts: dict[str, Any], in_force: Batch) -> None:
        """Begin again: the rows of a collector follow.

        `alerts` are those already active, `in_force` the status rows in force.
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
        """Start reading the recorded rows before the first one, if there are any."""
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
        """Replace the hub by one that includes the rows below `number`, at `from_ns`."""
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
            # Another attachment, or too many rows, made this reading useless.
            if self._kept is kept:
                for batch in kept:
                    hub(batch)
                self._kept = None
                if self._coming is None:
                    self.hub = hub
                else:
                    self._coming = hub
