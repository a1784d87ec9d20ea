"""The replay controls: play, step, speed, loop, and the mini-map."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import panel as pn

from monitor.page.views import style
from monitor.page.views.minimap import MiniMap
from monitor.recordings import FILE_ERRORS, STEP_NS, Overview, Player, survey

LOOP_FROM, LOOP_TO, LOOP_END = "Loop from here", "Loop to here", "End the loop"
SPEEDS = {"0.1×": 0.1, "1×": 1.0, "10×": 10.0, "100×": 100.0, "1000×": 1000.0, "max": None}
SKIP_NS = 10_000_000_000


class TransportBar:
    """The controls of a viewer's player, while there is one."""

    def __init__(self) -> None:
        self._player: Player | None = None
        self._survey: Survey | None = None
        look: dict[str, Any] = {"stylesheets": [style.WIDGET_CSS], "align": "end"}
        button = partial(pn.widgets.Button, **look)
        self._play = button(name="Pause", width=70)
        self._play.on_click(lambda _: self.play_or_pause())
        self._step = button(name="Step", width=50)
        self._step.on_click(lambda _: self.step())
        self._loop = button(name=LOOP_FROM, width=115)
        self._loop.on_click(lambda _: self._with_player(self._mark_loop))
        self._loop_from_ns = 0
        self._speed = pn.widgets.Select(
            name="Speed",
            options=list(SPEEDS),
            value="1×",
            width=90,
            stylesheets=[style.WIDGET_CSS],
        )
        self._speed.param.watch(lambda _: self._set_speed(), "value")
        self._map = MiniMap(self._seek_to)
        buttons = style.flowing(self._play, self._step, self._speed, self._loop, align="end")
        bar = style.side_by_side(buttons, self._map, css=style.TRANSPORT_CSS)
        self.view = pn.Column(bar, sizing_mode="stretch_width", visible=False)

    @property
    def speed(self) -> str:
        return str(self._speed.value)

    @speed.setter
    def speed(self, name: str) -> None:
        if name in SPEEDS:
            self._speed.value = name

    @property
    def at_s(self) -> float:
        """The position from the start, in s; to the ms while paused, else to the second."""
        player = self._player
        if player is None:
            return 0.0
        at_ms = (player.aim_ns - player.span_ns[0]) // 10**6
        return at_ms // 1000 if player.playing else at_ms / 1000

    @property
    def is_paused(self) -> bool:
        return self._player is not None and not self._player.playing

    @property
    def loop_s(self) -> tuple[float, float] | None:
        """Start and end of the loop from the recording's start, in s, to the ms."""
        if self._player is None or self._player.loop is None:
            return None
        begin_ns = self._player.span_ns[0]
        first, last = ((at_ns - begin_ns) // 10**6 / 1000 for at_ns in self._player.loop)
        return first, last

    def see(self, at_ns: int) -> None:
        """Seek to a moment, or to the nearer end of the recording."""

        def seek(player: Player) -> None:
            first, last = player.span_ns
            player.seek(min(max(at_ns, first), last))

        self._with_player(seek)

    def attach(self, player: Player | None, folder: Path, names: Sequence[str]) -> None:
        """Control another player from now on, or none."""
        self._player = player
        self._survey = Survey(folder, names, player.span_ns) if player else None
        self._loop.name = LOOP_FROM
        self.view.visible = player is not None
        self._map.show(None)
        self._set_speed()

    def refresh(self) -> None:
        if self._player is None:
            return
        player = self._player
        self._play.name = "Pause" if player.playing and not player.ended else "Play"
        loop = player.loop
        if bool(loop) != (self._loop.name == LOOP_END):
            # A seek out of a loop ends it; a link may begin with one.
            if loop:
                self._loop.name = LOOP_END
            elif self._loop.name == LOOP_END:
                self._loop.name = LOOP_FROM
        share = partial(_share, player.span_ns)
        self._map.move(
            share(player.position_ns), (share(loop[0]), share(loop[1])) if loop else None
        )
        if self._survey and not self._survey.is_alive:
            self._map.show(self._survey.overview, self._survey.trouble)
            self._survey = None

    def play_or_pause(self) -> None:
        def toggle(player: Player) -> None:
            if player.playing and not player.ended:
                player.pause()
            else:
                player.play()

        self._with_player(toggle)

    def step(self) -> None:
        self._with_player(Player.step)

    def skip(self, way: int) -> None:
        """Seek a little forward, or back if `way` is -1."""
        self._with_player(lambda player: player.skip(way * SKIP_NS))

    def _seek_to(self, share: float) -> None:
        def seek(player: Player) -> None:
            first, last = player.span_ns
            player.seek(first + int(share * (last - first)))

        self._with_player(seek)

    def _set_speed(self) -> None:
        self._with_player(lambda player: player.set_speed(SPEEDS[self.speed]))

    def _mark_loop(self, player: Player) -> None:
        """Take the position as the loop's start, then as its end, then end the loop.

        The position is the requested one, even before the views are filled there.
        """
        at_ns = player.aim_ns
        if self._loop.name == LOOP_FROM:
            self._loop_from_ns, self._loop.name = at_ns, LOOP_TO
        elif self._loop.name == LOOP_TO:
            first, last = sorted((self._loop_from_ns, at_ns))
            first = min(first, player.span_ns[1] - STEP_NS)
            player.repeat((first, max(last, first + STEP_NS)))
            self._loop.name = LOOP_END
        else:
            player.repeat(None)
            self._loop.name = LOOP_FROM

    def _with_player(self, act: Callable[[Player], None]) -> None:
        if self._player:
            act(self._player)


class Survey:
    """Counts over recordings on its own thread, so that no page waits for them."""

    def __init__(self, folder: Path, names: Sequence[str], span_ns: tuple[int, int]) -> None:
        self.overview: Overview | None = None
        self.trouble = ""
        self._asked = (folder, list(names), span_ns)
        self._thread = threading.Thread(target=self._run, name="survey", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.overview = survey(*self._asked)
        except (ValueError, *FILE_ERRORS) as error:
            self.trouble = f"expected counts of the recording, found: {str(error).splitlines()[0]}"


def _share(span_ns: tuple[int, int], at_ns: int) -> float:
    first, last = span_ns
    return min(1.0, max(0.0, (at_ns - first) / max(last - first, 1)))
