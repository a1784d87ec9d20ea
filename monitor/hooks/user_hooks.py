"""Load a user's hooks: each .py file of a folder is one, named after the file."""

from __future__ import annotations

import importlib.util
import pkgutil
import queue
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from monitor.graph import Hook
from monitor.hooks import builtin as hooks
from monitor.rows import SCHEMAS, Batch

# A longer live step counts as failed: rows wait for it.
STEP_S = 1.0
# Recording starts after all hooks are loaded.
LOAD_S = 5.0


class Loaded(NamedTuple):
    """The hooks that could be loaded, and a line for each that could not."""

    hooks: list[Hook]
    troubles: list[str]


def load(folder: Path | None, origin: str) -> Loaded:
    """Load every hook of a folder again; a failing one does not affect the others."""
    if folder is None:
        return Loaded([], [])
    if not folder.is_dir():
        return Loaded([], [f"expected a folder of hooks, found no folder {folder}"])
    found: list[Hook] = []
    troubles = []
    taken = {module.name for module in pkgutil.iter_modules(hooks.__path__)}
    for file in sorted(folder.glob("*.py")):
        if file.stem in taken:
            troubles.append(f"{file.name}: expected a name of its own, found a built-in hook's")
            continue
        try:
            found.append(_Own(file.stem, _made_in_time(file), origin))
        # A user's code may raise anything.
        except Exception as error:
            why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            troubles.append(f"{file.name}: {why}")
    return Loaded(found, troubles)


def _made_in_time(file: Path) -> Any:
    """Create a hook on its own thread, which is abandoned if it does not end."""
    outcomes: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcomes.put((_make(file), None))
        except Exception as error:  # Raised again below.
            outcomes.put((None, error))

    threading.Thread(target=run, name=f"load-{file.stem}", daemon=True).start()
    try:
        made, error = outcomes.get(timeout=LOAD_S)
    except queue.Empty:
        raise TimeoutError(f"expected to be loaded within {LOAD_S:g} s, found it was not") from None
    if error is not None:
        raise error
    return made


def _make(file: Path) -> Any:
    """Run a file, create its hook and check its first state."""
    spec = importlib.util.spec_from_file_location(f"monitor_hook_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "Hook"):
        raise TypeError("expected a class Hook, found none")
    hook = module.Hook()
    hook.start()
    return hook


class _Own:
    """A user's hook; its signals are checked against the schema and get its name."""

    def __init__(self, name: str, hook: Any, origin: str) -> None:
        self.name, self._hook, self._origin = name, hook, origin

    def start(self) -> Any:
        return self._hook.start()

    def step(self, state: Any, batch: Batch) -> tuple[Any, pa.RecordBatch | None]:
        began_s = time.monotonic()
        state, given = self._hook.step(state, batch)
        took_s = time.monotonic() - began_s
        if self._origin == "recorded" and took_s > STEP_S:
            raise TimeoutError(f"expected a step of at most {STEP_S:g} s, found {took_s:.1f} s")
        if given is None or not given.num_rows:
            return state, None
        if given.schema != SCHEMAS["signal"]:
            raise TypeError(f"expected rows of kind signal, found columns {given.schema.names}")
        for name, text in (("hook", self.name), ("origin", self._origin)):
            at = given.schema.get_field_index(name)
            given = given.set_column(at, name, pa.array([text] * given.num_rows, pa.string()))
        return state, given.sort_by("cause_ord")
