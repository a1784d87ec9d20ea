"""Recordings that one viewer replays as one stream: graph, hub and player."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from monitor.graph import Graph
from monitor.hooks import builtin, user_hooks
from monitor.hub import Hub
from monitor.recordings import WINDOW_NS, Past, Player, find, left_open_in, open_recordings
from monitor.rows import Batch
from monitor.settings import HookSettings, Rule


class Start(NamedTuple):
    """How a replay begins: where, whether it is paused there, and its loop.

    Times are in ns after `base_ns`, None for the first row of what is played.
    """

    at_ns: int = 0
    is_paused: bool = False
    loop: tuple[int, int] | None = None
    base_ns: int | None = None


BEGINNING = Start()


def _without_rows(folder: Path, names: Sequence[str], name: str) -> str:
    told = f"expected rows in {name}, found none"
    if any(left_open_in(find(folder, name)[1]) for name in names):
        told += ": its collector was killed, and the next one that starts recovers what it left"
    return told


class Replaying:
    """An open replay; hooks run again, beside the recorded signals.

    They are the built-in hooks with the given alert rules, and the user's own; `trouble` names
    hooks that could not be loaded or were stopped, and counts damaged segments. After a seek hooks
    have seen the rows from `hooks_from_ns` on; None means all rows.
    Each seek makes a new `hub`: the old one is shown until the new one is filled.
    ValueError for a recording without rows, or one that is damaged as a whole.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        settings: HookSettings,
        rules: Sequence[Rule] = (),
        start: Start = BEGINNING,
    ) -> None:
        self._of_hooks = ""
        self.hooks_from_ns: int | None = None
        # Rows that the hub knows already and the hooks still need.
        self._primer = Batch({})
        self._settings, self._rules = settings, rules
        with ExitStack() as stack:
            recording = stack.enter_context(open_recordings(folder, names))
            if not any(recording.span_ns):
                raise ValueError(_without_rows(folder, names, recording.name))
            self.name, self._left_out = recording.name, recording.left_out
            self._build()
            stack.callback(self._close_graph)
            self.hub = self._filling
            self.player = Player(
                recording,
                self._emit,
                self._reset,
                on_past=self._remember,
                on_filled=self._show,
            )
            stack.callback(self.player.close)
            self._begin(start)
            self._stack = stack.pop_all()
        self.player.start()

    @property
    def trouble(self) -> str:
        damaged = "segment" if self._left_out == 1 else "segments"
        left_out = f"{self._left_out} damaged {damaged} left out" if self._left_out else ""
        return "; ".join(text for text in (left_out, self._of_hooks) if text)

    @property
    def start(self) -> Start:
        """The start of another replay at this one's position."""
        player = self.player
        return Start(player.aim_ns, not player.playing, player.loop, base_ns=0)

    def close(self) -> None:
        self._stack.close()

    def _begin(self, start: Start) -> None:
        player = self.player
        base_ns = player.span_ns[0] if start.base_ns is None else start.base_ns
        if start.is_paused:
            player.pause()
        if start.loop:
            first, last = (base_ns + at_ns for at_ns in start.loop)
            player.repeat((first, last))
        if start.at_ns or start.is_paused:
            player.seek(base_ns + start.at_ns)

    def _build(self) -> None:
        self._filling = Hub()
        own = user_hooks.load(self._settings.folder, "recomputed")
        self._of_hooks = "; ".join(own.troubles)
        every = [*builtin.load(self._settings, "recomputed", self._rules), *own.hooks]
        self._graph = Graph({"hub": self._take}, every, self._disabled)

    def _disabled(self, name: str, why: str) -> None:
        self._of_hooks = f"hook {name} {why}"

    def _reset(self) -> None:
        self._close_graph()
        self._build()

    def _close_graph(self) -> None:
        # Each seek made a new hub.
        self._graph.close()

    def _remember(self, past: Past) -> None:
        self._filling.remember(past)
        self._primer = past.in_force
        if self._primer.kinds:
            self._graph.emit(self._primer)

    def _show(self) -> None:
        self.hub = self._filling
        from_ns = self.player.position_ns - WINDOW_NS
        self.hooks_from_ns = from_ns if from_ns > self.player.span_ns[0] else None

    def _take(self, batch: Batch) -> None:
        if batch is not self._primer:
            self._filling(batch)

    def _emit(self, batch: Batch) -> None:
        signals = batch.kinds.get("signal")
        if signals is not None:
            self._filling(Batch({"signal": signals}))
        self._graph.emit(Batch({k: rows for k, rows in batch.kinds.items() if k != "signal"}))
