"""Recordings that one viewer plays as one: their own graph, hub and player."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from monitor import hooks, user_hooks
from monitor.batches import Batch
from monitor.config import HookSettings
from monitor.hub import Hub
from monitor.merge import open_recordings
from monitor.pipeline import Graph
from monitor.replay import Player
from monitor.rules import Rule


class Replaying:
    """What is played, until it is closed; hooks run again, beside signals that were recorded.

    Those are the built-in ones with the alert rules given, and the user's own; `trouble` says
    which of these could not be loaded, or were left out since.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        settings: HookSettings,
        rules: Sequence[Rule] = (),
    ) -> None:
        self.trouble = ""
        self.hub = Hub()
        self._stack = ExitStack()
        recording = self._stack.enter_context(open_recordings(folder, names))
        self.name = recording.name
        self._settings, self._rules = settings, rules
        self._build()
        self.player = Player(recording, self._emit, self._reset)
        self._stack.callback(self.player.close)
        self.player.start()

    def close(self) -> None:
        self._stack.close()
        self._graph.close()

    def _build(self) -> None:
        own = user_hooks.load(self._settings.folder, "recomputed")
        self.trouble = "; ".join(own.troubles)
        every = [*hooks.load(self._settings, "recomputed", self._rules), *own.hooks]
        self._graph = Graph({"hub": self.hub}, every, self._disabled)

    def _disabled(self, name: str, why: str) -> None:
        self.trouble = f"hook {name} {why}"

    def _reset(self) -> None:
        self.hub.reset()
        self._graph.close()
        self._build()

    def _emit(self, batch: Batch) -> None:
        signals = batch.kinds.get("signal")
        if signals is not None:
            self.hub(Batch({"signal": signals}))
        self._graph.emit(Batch({k: rows for k, rows in batch.kinds.items() if k != "signal"}))
