"""The graph that every batch flows through, live or replayed. Read it top to bottom."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
from streamz import Stream

from monitor.rows import Batch

Sink = Callable[[Batch], None]

# A failing node is logged at most this often; all errors are counted.
LOG_EVERY_S = 10.0
# A hook that fails this often within a minute of recorded time is disabled.
MOST_FAILURES, WITHIN_NS = 5, 60_000_000_000

log = logging.getLogger(__name__)


class Hook(Protocol):
    """A fold over rows in `ord`; time comes from the rows alone.

    Hooks run in the emitting thread, one after the other, after all sinks: the recorder has a batch
    before a hook sees it. The next batch waits for all hooks, in the buffer, which is reported as
    `buffered_rows` and drops rows when it is full: a step must take milliseconds.
    """

    name: str

    def start(self) -> Any:
        """Return the state before the first batch."""

    def step(self, state: Any, batch: Batch) -> tuple[Any, pa.RecordBatch | None]:
        """Return the next state, and rows of kind `signal` if there are any."""


class HookEndsError(Exception):
    """A hook cannot go on; the message says why."""


class Count(NamedTuple):
    """The batches that a node received, emitted, and failed on."""

    taken: int
    given: int
    errors: int


class Graph:
    """A built graph: `emit(batch)` runs it in the caller's thread.

    Hooks may be added and removed from any thread. `on_disabled` receives the name of a hook that
    is disabled for its failures, and the reason.
    """

    def __init__(
        self,
        sinks: Mapping[str, Sink],
        hooks: Iterable[Hook],
        on_disabled: Callable[[str, str], None] = lambda name, why: None,
    ) -> None:
        self._lock = threading.Lock()
        self._on_disabled = on_disabled
        self._guards: dict[str, _Guard] = {}
        # The two nodes around each hook.
        self._nodes: dict[str, tuple[Stream, Stream]] = {}
        self._head = Stream(stream_name="batches")
        self._signals = Stream(stream_name="signals")
        self._ends = []
        for name, sink in sinks.items():
            self._ends.append(self._head.sink(self._guard(name, sink)))
            self._ends.append(self._signals.sink(self._guard(f"{name} (signals)", sink)))
        for hook in hooks:
            self.add(hook)

    def emit(self, batch: Batch) -> None:
        with self._lock:
            self._head.emit(batch)

    def close(self) -> None:
        """Emit nothing any more: streamz keeps sinks, and what they refer to, until then."""
        with self._lock:
            while self._ends:
                self._ends.pop().destroy()

    def add(self, hook: Hook) -> None:
        """Add a hook from the next batch on; ValueError if its name is taken."""
        step = _Fold(hook, self._on_disabled)
        with self._lock:
            if hook.name in self._guards:
                raise ValueError(f"expected a name of its own, found the hook {hook.name!r} twice")
            steps = self._head.map(self._guard(hook.name, step, step.failed))
            given = steps.filter(bool)
            given.connect(self._signals)
            self._nodes[hook.name] = steps, given

    def remove(self, name: str) -> None:
        with self._lock:
            steps, given = self._nodes.pop(name)
            self._head.disconnect(steps)
            given.disconnect(self._signals)
            del self._guards[name]

    def counters(self) -> dict[str, Count]:
        guards = list(self._guards.values())
        return {guard.name: Count(guard.taken, guard.given, guard.errors) for guard in guards}

    def _guard(
        self,
        name: str,
        function: Callable[[Batch], Any],
        on_error: Callable[[Batch, Exception], None] = lambda batch, error: None,
    ) -> _Guard:
        guard = self._guards[name] = _Guard(name, function, on_error)
        return guard


class _Fold:
    """A hook with its state; a failed step leaves the state as it was."""

    def __init__(self, hook: Hook, on_disabled: Callable[[str, str], None]) -> None:
        self._hook = hook
        self._state = hook.start()
        self._on_disabled = on_disabled
        self._failures_ns: deque[int] = deque(maxlen=MOST_FAILURES)
        self._is_disabled = False

    def __call__(self, batch: Batch) -> Batch | None:
        if self._is_disabled:
            return None
        self._state, signals = self._hook.step(self._state, batch)
        if signals is None or not signals.num_rows:
            return None
        return Batch({"signal": signals})

    def failed(self, batch: Batch, error: Exception) -> None:
        """Count a failure; too many disable the hook."""
        failures = self._failures_ns
        failures.append(batch.now_ns or 0)
        if isinstance(error, HookEndsError):
            self._is_disabled = True
            self._on_disabled(self._hook.name, str(error))
        elif len(failures) == MOST_FAILURES and failures[-1] - failures[0] <= WITHIN_NS:
            self._is_disabled = True
            why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            self._on_disabled(self._hook.name, f"failed {MOST_FAILURES} times in a minute: {why}")


class _Guard:
    """Isolates a node's failure: streamz would abort the nodes after it."""

    def __init__(
        self,
        name: str,
        function: Callable[[Batch], Any],
        on_error: Callable[[Batch, Exception], None],
    ) -> None:
        self.name, self.taken, self.given, self.errors = name, 0, 0, 0
        self._function, self._on_error = function, on_error
        self._logged_s = -LOG_EVERY_S

    def __call__(self, batch: Batch) -> Any:
        self.taken += 1
        try:
            result = self._function(batch)
        except Exception as error:
            self.errors += 1
            self._on_error(batch, error)
            if time.monotonic() - self._logged_s >= LOG_EVERY_S:
                self._logged_s = time.monotonic()
                log.exception("%s failed on a batch (%d errors so far)", self.name, self.errors)
            return None
        self.given += result is not None
        return result
