"""Run a hook on its own thread: rows never wait for it, even if a step never ends."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

import pyarrow as pa

from monitor.graph import Hook, HookEndsError
from monitor.rows import Batch, concat

# Limit of waiting batches; a batch without room is skipped, which counts as a failure.
WAITING_BYTES = 64 << 20
# After a longer step the hook is disabled.
STUCK_S = 20.0


class Apart:
    """A hook for a live graph: `step` queues the batch and returns the signals since the last call.

    An error of a step is raised at the next call. A thread cannot be ended within a step: a stuck
    one is abandoned.
    """

    def __init__(self, hook: Hook) -> None:
        self.name = hook.name
        self._hook = hook
        self._changed = threading.Condition()
        self._waiting: deque[Batch] = deque()
        self._waiting_bytes = 0
        self._began_s: float | None = None
        self._outcomes: deque[Batch | Exception] = deque()
        self._is_closed = False

    def start(self) -> None:
        thread = threading.Thread(
            target=self._run, args=(self._hook.start(),), name=f"hook-{self.name}", daemon=True
        )
        thread.start()

    def step(self, state: None, batch: Batch) -> tuple[None, pa.RecordBatch | None]:
        with self._changed:
            if self._began_s is not None and time.monotonic() - self._began_s > STUCK_S:
                count = len(self._waiting)
                self._end()
                why = f"expected a step of at most {STUCK_S:g} s, found one that did not end"
                raise HookEndsError(f"{why}; it saw {count} batches not, or not to their end")
            if self._waiting and self._waiting_bytes + batch.nbytes > WAITING_BYTES:
                raise TimeoutError("expected steps that keep up, found no room for a batch")
            self._waiting.append(batch)
            self._waiting_bytes += batch.nbytes
            self._changed.notify_all()
            return None, self._given()

    def rest(self, until_s: float) -> pa.RecordBatch | None:
        """Wait for all steps to end, up to a deadline; return their signals."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_closed or not self._waiting, max(0.0, until_s - time.monotonic())
            )
            self._outcomes = deque(one for one in self._outcomes if isinstance(one, Batch))
            return self._given()

    def close(self) -> None:
        """End the thread after its present step."""
        with self._changed:
            self._end()

    def _end(self) -> None:
        self._is_closed = True
        # Keep the batch of the present step.
        while len(self._waiting) > 1:
            self._waiting.pop()
        self._changed.notify_all()

    def _given(self) -> pa.RecordBatch | None:
        """Return the signals until a step failed; raise the error when it is next."""
        found: list[Batch] = []
        while self._outcomes:
            first = self._outcomes[0]
            if isinstance(first, Batch):
                found.append(first)
            elif found:
                break
            self._outcomes.popleft()
            if isinstance(first, Exception):
                raise first
        return concat(found)["signal"] if found else None

    def _run(self, state: Any) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if self._is_closed:
                    return
                batch = self._waiting[0]
                self._began_s = time.monotonic()
            outcome: Batch | Exception | None = None
            try:
                state, signals = self._hook.step(state, batch)
                if signals is not None and signals.num_rows:
                    outcome = Batch({"signal": signals})
            # A user's code may raise anything; the graph counts it.
            except Exception as error:
                outcome = error
            with self._changed:
                self._began_s = None
                self._waiting.popleft()
                self._waiting_bytes -= batch.nbytes
                if outcome is not None and not self._is_closed:
                    self._outcomes.append(outcome)
                self._changed.notify_all()
