"""Recordings that one viewer plays as one: their own graph, hub and player."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from monitor import hooks
from monitor.batches import Batch
from monitor.config import HookSettings
from monitor.hub import Hub
from monitor.merge import open_recordings
from monitor.pipeline import Graph
from monitor.replay import Player


class Replaying:
    """What is played, until it is closed; hooks run again, beside signals that were recorded."""

    def __init__(self, folder: Path, names: Sequence[str], settings: HookSettings) -> None:
        self.hub = Hub()
        self._stack = ExitStack()
        recording = self._stack.enter_context(open_recordings(folder, names))
        self.name = recording.name
        self._settings = settings
        self._build()
        self.player = Player(recording, self._emit, self._reset)
        self._stack.callback(self.player.close)
        self.player.start()

    def close(self) -> None:
        self._stack.close()

    def _build(self) -> None:
        self._graph = Graph({"hub": self.hub}, hooks.load(self._settings, "recomputed"))

    def _reset(self) -> None:
        self.hub.reset()
        self._build()

    def _emit(self, batch: Batch) -> None:
        signals = batch.kinds.get("signal")
        if signals is not None:
            self.hub(Batch({"signal": signals}))
        self._graph.emit(Batch({k: rows for k, rows in batch.kinds.items() if k != "signal"}))
