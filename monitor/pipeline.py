"""The graph that every batch flows through, live or replayed. Read it top to bottom."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
from streamz import Stream

from monitor.batches import Batch

Sink = Callable[[Batch], None]

# A failing node is logged at most this often; its errors are all counted.
LOG_EVERY_S = 10.0

log = logging.getLogger(__name__)


class Hook(Protocol):
    """A fold over rows in `ord`; time comes from the rows alone."""

    name: str

    def start(self) -> Any:
        """Return the state before the first batch."""

    def step(self, state: Any, batch: Batch) -> tuple[Any, pa.RecordBatch | None]:
        """Return the next state, and rows of kind `signal` if there are any."""


class Count(NamedTuple):
    """How many batches a node took, gave out, and failed on."""

    taken: int
    given: int
    errors: int


class Graph:
    """A built graph: `emit(batch)` runs it right there, in the caller's thread."""

    def __init__(self, sinks: Mapping[str, Sink], hooks: Iterable[Hook]) -> None:
        self._guards: list[_Guard] = []
        self._head = Stream(stream_name="batches")
        signals = Stream(stream_name="signals")
        for name, sink in sinks.items():
            self._head.sink(self._guard(name, sink))
            signals.sink(self._guard(f"{name} (signals)", sink))
        for hook in hooks:
            step = _Fold(hook)
            self._head.map(self._guard(hook.name, step)).filter(bool).connect(signals)

    def emit(self, batch: Batch) -> None:
        self._head.emit(batch)

    def counters(self) -> dict[str, Count]:
        return {guard.name: Count(guard.taken, guard.given, guard.errors) for guard in self._guards}

    def _guard(self, name: str, function: Callable[[Batch], Any]) -> _Guard:
        guard = _Guard(name, function)
        self._guards.append(guard)
        return guard


class _Fold:
    """A hook with its state; a failed step leaves the state as it was."""

    def __init__(self, hook: Hook) -> None:
        self._hook = hook
        self._state = hook.start()

    def __call__(self, batch: Batch) -> Batch | None:
        self._state, signals = self._hook.step(self._state, batch)
        if signals is None or not signals.num_rows:
            return None
        return Batch({"signal": signals})


class _Guard:
    """Keeps a node's failure from its neighbours: streamz would abort the nodes after it."""

    def __init__(self, name: str, function: Callable[[Batch], Any]) -> None:
        self.name, self.taken, self.given, self.errors = name, 0, 0, 0
        self._function = function
        self._logged_s = -LOG_EVERY_S

    def __call__(self, batch: Batch) -> Any:
        self.taken += 1
        try:
            result = self._function(batch)
        except Exception:
            self.errors += 1
            if time.monotonic() - self._logged_s >= LOG_EVERY_S:
                self._logged_s = time.monotonic()
                log.exception("%s failed on a batch (%d errors so far)", self.name, self.errors)
            return None
        self.given += result is not None
        return result
