"""The page of one viewer: controls, plots and tables over the live hub or a recording's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import panel as pn

from monitor import hooks, role
from monitor.batches import Batch
from monitor.config import HookSettings
from monitor.hub import Hub, Instrument
from monitor.layouts import Layout, Shared
from monitor.layouts.settings import Settings
from monitor.layouts.sql import Sql
from monitor.layouts.watch import Watch
from monitor.merge import open_recordings
from monitor.pipeline import Graph
from monitor.replay import STEP_NS, Player
from monitor.segments import FILE_ERRORS, iso
from monitor.views import style

PLOT_EVERY_MS = 100
HEADLINE_EVERY_S = 0.5
# Refreshes that a browser may not have come to yet.
REFRESHES_AHEAD = 2
LIVE = "Live"
STOP, START = "Stop for everyone", "Start for everyone"
LOOP_FROM, LOOP_TO, LOOP_END = "Loop from here", "Loop to here", "End the loop"
SPEEDS = {"0.1×": 0.1, "1×": 1.0, "10×": 10.0, "100×": 100.0, "1000×": 1000.0, "max": None}


class Replaying:
    """Recordings that this viewer plays as one: its own graph, hub and player."""

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


class Page:
    """Everything one viewer sees; `refresh` is called by the viewer's own periodic callback."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._replaying: Replaying | None = None
        self._headline_s = 0.0
        self._seeking = False
        self._listed: Hub | None = None
        self._may_act = role.viewer().may_act
        self._layouts: list[Layout] = [Watch()]
        if self._may_act:
            self._layouts += [Sql(shared.folder), Settings(shared, self._set_period)]
        self._tabs = pn.Tabs(
            *((layout.title, layout.view) for layout in self._layouts),
            sizing_mode="stretch_width",
            stylesheets=[style.TABS_CSS],
        )
        self._note = ""
        self._periodic: Any = None
        self._make_controls()
        # The browser sets the second to the first: so it says which refresh it has come to.
        self._sent, self._seen = (pn.widgets.IntInput(value=0, visible=False) for _ in range(2))
        self._sent.jslink(self._seen, value="value")
        self._bar = style.html()
        self.view = self._layout()

    def start(self) -> None:
        """Begin to refresh once the browser has the page; ends with the viewer's session."""
        pn.state.onload(self._begin)
        pn.state.on_session_destroyed(lambda _: self._end())

    def _begin(self) -> None:
        self._periodic = pn.state.add_periodic_callback(self.refresh, period=PLOT_EVERY_MS)

    def _set_period(self, period_ms: int) -> None:
        if self._periodic is not None:
            self._periodic.period = period_ms

    def _end(self) -> None:
        if self._periodic is not None:
            self._periodic.stop()
        self._stop_replay()

    @property
    def hub(self) -> Hub:
        return self._replaying.hub if self._replaying else self._shared.hub

    def refresh(self) -> None:
        """Pull what is new; all changes of a tick reach the browser together.

        A browser that is behind gets less often what is new, instead of all of it ever later.
        """
        hub = self.hub
        document = pn.state.curdoc
        if document is None or self._sent.value - self._seen.value >= REFRESHES_AHEAD:
            return
        with pn.io.hold(document):
            self._layouts[self._tabs.active].refresh(hub, self._instrument(hub))
            if time.monotonic() - self._headline_s >= HEADLINE_EVERY_S:
                self._headline_s = time.monotonic()
                self._refresh_headline(hub)
            self._sent.value += 1

    def _make_controls(self) -> None:
        select = partial(pn.widgets.Select, stylesheets=[style.WIDGET_CSS])
        button = partial(pn.widgets.Button, stylesheets=[style.WIDGET_CSS], align="end")
        self._instruments = select(name="Instrument", options=[], width=200)
        self._source = select(name="Watch", options=[LIVE], value=LIVE, width=260)
        self._source.param.watch(self._choose_source, "value")
        self._run = button(name=STOP, width=170, disabled=not self._may_act)
        self._run.on_click(self._start_or_stop)
        self._play = button(name="Pause", width=80)
        self._play.on_click(self._play_or_pause)
        self._step = button(name="Step", width=60)
        self._step.on_click(lambda _: self._with_player(Player.step))
        self._loop = button(name=LOOP_FROM, width=130)
        self._loop.on_click(lambda _: self._with_player(self._mark_loop))
        self._loop_from_ns = 0
        self._speed = select(name="Speed", options=list(SPEEDS), value="1×", width=90)
        self._speed.param.watch(
            lambda event: self._with_player(lambda p: p.set_speed(SPEEDS[event.new])), "value"
        )
        self._seek = pn.widgets.FloatSlider(
            name="Position, s",
            start=0,
            end=1,
            step=0.1,
            value=0,
            width=640,
            stylesheets=[style.WIDGET_CSS],
        )
        self._seek.param.watch(self._seek_to, "value_throttled")
        self._others = pn.widgets.MultiChoice(
            name="Together with",
            options=[],
            width=260,
            stylesheets=[style.WIDGET_CSS],
            visible=False,
        )
        self._others.param.watch(lambda _: self._replay(), "value")
        self._transport = pn.Row(
            *(self._play, self._step, self._speed, self._loop, self._seek),
            visible=False,
            align="end",
        )

    def _layout(self) -> Any:
        controls = pn.Row(self._source, self._others, self._instruments, self._run)
        above = (self._bar, controls, self._transport)
        return pn.Column(*above, self._tabs, self._sent, self._seen, sizing_mode="stretch_width")

    def _instrument(self, hub: Hub) -> Instrument | None:
        known = {f"{venue} {symbol}": (venue, symbol) for venue, symbol in hub.instruments()}
        # Behind a seek a hub fills anew: what is chosen of it stays so.
        before = self._instruments.options if hub is self._listed else []
        names = sorted({*before, *known})
        if known and names != self._instruments.options:
            value = self._instruments.value
            value = value if value in names else names[0]
            self._instruments.param.update(options=names, value=value)
        self._listed = hub
        return known.get(self._instruments.value)

    def _refresh_headline(self, hub: Hub) -> None:
        headline = self._headline(hub)
        if self._bar.object != headline:
            self._bar.object = headline
        if self._replaying:
            player = self._replaying.player
            self._play.name = "Pause" if player.playing and not player.ended else "Play"
            self._seeking = True
            self._seek.value = round((player.position_ns - player.span_ns[0]) / 1e9, 1)
            self._seeking = False
        else:
            running = self._shared.about().get("running", False)
            self._run.name = STOP if running else START
            names = [LIVE, *self._recordings()]
            if names != self._source.options:
                self._source.options = names

    def _headline(self, hub: Hub) -> str:
        name, updates = '<span class="name">monitor</span>', f"{hub.updates:,} updates"
        if self._replaying:
            player = self._replaying.player
            text = f"REPLAY {escape(self._replaying.name)} — {player.told} — {updates}"
            at = f"{iso(player.position_ns)}"
            return _bar(name, ("replay", text), muted=at)
        about = self._shared.about()
        if not self._shared.attached:
            return _bar(
                name,
                ("waiting", "NO COLLECTOR"),
                muted="start one: monitor record binance:BTC-USDT, or monitor serve",
            )
        up, all_of_them = hub.connections()
        badges = [("simulated", "SIMULATED")] if about.get("simulated") else []
        if about.get("running"):
            badges.append(("live", f"LIVE ({_mode(hub)}) — {updates}"))
        else:
            badges.append(("stopped", f"STOPPED for everyone — {updates}"))
        if about.get("trouble"):
            badges.append(("waiting", escape(about["trouble"])))
        recording = about.get("recording")
        told = f"recording {escape(recording)}" if recording else "not recording"
        return _bar(
            name, *badges, muted=f"{up}/{all_of_them} connections active · {told}{self._note}"
        )

    def _recordings(self) -> list[str]:
        about = self._shared.about()
        return [name for name in about.get("recordings", []) if name != about.get("recording")]

    def _choose_source(self, _: Any) -> None:
        chosen = self._source.value
        # Of what was chosen beside it nothing is left; that alone may begin the replay.
        self._others.param.update(
            value=[], options=[name for name in self._recordings() if name != chosen]
        )
        self._replay()

    def _replay(self) -> None:
        """Begin anew with what is chosen."""
        self._stop_replay()
        self._loop.name = LOOP_FROM
        if self._source.value != LIVE:
            names = [self._source.value, *self._others.value]
            try:
                self._replaying = Replaying(self._shared.folder, names, self._shared.settings)
            except (ValueError, *FILE_ERRORS) as error:
                self._note = f" · {escape(str(error).splitlines()[0])}"
                self._source.value = LIVE
                return
            first, last = self._replaying.player.span_ns
            self._seek.end = max(0.1, round((last - first) / 1e9, 1))
            self._with_player(lambda player: player.set_speed(SPEEDS[self._speed.value]))
        for shown in (self._transport, self._others):
            shown.visible = self._replaying is not None
        self._run.visible = self._replaying is None
        self._headline_s = 0.0

    def _stop_replay(self) -> None:
        if self._replaying:
            self._replaying.close()
            self._replaying = None

    def _start_or_stop(self, _: Any) -> None:
        # What the viewer saw on the button counts, not what has become of it since.
        action = "stop" if self._run.name == STOP else "start"
        if not self._may_act:
            # A browser can send what its page does not offer.
            self._note = f" · {action} refused: expected an operator, found a viewer"
            return
        self._note = f" · {escape(self._shared.control(action))}"

    def _play_or_pause(self, _: Any) -> None:
        def toggle(player: Player) -> None:
            if player.playing and not player.ended:
                player.pause()
            else:
                player.play()

        self._with_player(toggle)

    def _mark_loop(self, player: Player) -> None:
        """Take the position for the loop's start, then for its end, then let go of it."""
        at_ns = player.position_ns
        if self._loop.name == LOOP_FROM:
            self._loop_from_ns, self._loop.name = at_ns, LOOP_TO
        elif self._loop.name == LOOP_TO:
            first, last = sorted((self._loop_from_ns, at_ns))
            player.repeat((first, max(last, first + STEP_NS)))
            self._loop.name = LOOP_END
        else:
            player.repeat(None)
            self._loop.name = LOOP_FROM

    def _seek_to(self, event: Any) -> None:
        if not self._seeking:
            self._with_player(lambda p: p.seek(p.span_ns[0] + int(event.new * 1e9)))

    def _with_player(self, act: Callable[[Player], None]) -> None:
        if self._replaying:
            act(self._replaying.player)


def _mode(hub: Hub) -> str:
    """Tell how the rows come: by stream, by polling, or some by each."""
    polled = {source.state == "polling" for source in hub.sources()}
    return {frozenset({True}): "REST", frozenset({True, False}): "WebSocket and REST"}.get(
        frozenset(polled), "WebSocket"
    )


def _bar(name: str, *badges: tuple[str, str], muted: str) -> str:
    shown = "".join(f'<span class="badge {kind}">{text}</span>' for kind, text in badges)
    return f'<div class="bar">{name}{shown}<span class="muted">{muted}</span></div>'
