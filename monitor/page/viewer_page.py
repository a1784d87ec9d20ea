"""The page of one viewer: controls and tabs over the live hub or that of a replay."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from typing import Any

import panel as pn
from panel.io.state import set_curdoc

from monitor.access import Viewer
from monitor.hub import Hub, Instrument
from monitor.page import headline, permalink, viewer_role
from monitor.page.drawing import Drawing
from monitor.page.instrument_choice import Instruments
from monitor.page.layouts import Layout, Shared
from monitor.page.layouts.alerts_tab import Alerts, rules_in_force
from monitor.page.layouts.compare_tab import Compare
from monitor.page.layouts.health_tab import Health
from monitor.page.layouts.microstructure_tab import Micro
from monitor.page.layouts.recordings_tab import Recordings
from monitor.page.layouts.settings_tab import Settings
from monitor.page.layouts.sql_tab import Sql
from monitor.page.layouts.watch_tab import Watch
from monitor.page.refresh_timing import Beat
from monitor.page.replay_choice import ReplayChoice
from monitor.page.replay_controls import TransportBar
from monitor.page.tabs import Tabs
from monitor.page.viewer_replay import BEGINNING, Replaying, Start
from monitor.page.views import save, style
from monitor.page.views.bell import Bell
from monitor.page.views.habits import Habits
from monitor.page.views.note import Note
from monitor.page.views.round_trip import Echo
from monitor.recordings import paths_of
from monitor.state import Stage

PLOT_EVERY_MS = 100
HEADLINE_EVERY_S = 0.5
UNDRAWN_EVERY_S = 1.0
# A click on an incident replays from this long before it.
BEFORE_NS = 5_000_000_000
LIVE = "Live"
STOP, START = "Stop for everyone", "Start for everyone"


class Page:
    """Everything one viewer sees; `refresh` is called at the page's refresh rate."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._document = pn.state.curdoc
        self._drawn = Stage()
        self._replay = ReplayChoice(self._document)
        self._shown: tuple[Any, ...] = ()
        self._headline_s = self._filled_s = 0.0
        viewer = viewer_role.viewer()
        self._may_act, self._is_deaf = viewer.may_act, False
        self._bell = Bell(
            viewer.may_act, lambda wanted: shared.alert({**wanted, "by": viewer.name})
        )
        self._note = Note()
        # Set while this code, not the viewer, changes the choice of recordings.
        self._is_choosing = False
        self._beat = Beat(shared.arrivals, self.refresh, PLOT_EVERY_MS)
        self._wanted = permalink.parse(pn.state.session_args)
        self._sql: Sql | None = None
        self._instruments = Instruments(self._wanted.instrument, self._bring)
        self._tabs = Tabs(self._makers(viewer), self._wanted.layout)
        self._drawing = Drawing(shared, self._document, self._tabs, self._draw)
        self._make_controls()
        self._echo = Echo(self._drawn.add)
        self._bar = style.html(css=style.STICKY_CSS)
        self.view = self._layout()

    def _makers(self, viewer: Viewer) -> dict[str, Callable[[], Layout]]:
        makers: dict[str, Callable[[], Layout]] = {
            Watch.title: lambda: Watch(self._shared, self._drawn, self._instruments.choose),
            Micro.title: Micro,
            Compare.title: lambda: Compare(self._shared.settings.cross_venue),
            Health.title: lambda: Health(self._shared, self._drawn, self._see),
            Alerts.title: lambda: Alerts(self._shared, viewer),
        }
        if self._may_act:
            makers |= {
                Recordings.title: lambda: Recordings(self._shared, self._show),
                Sql.title: self._make_sql,
                Settings.title: lambda: Settings(self._shared, self._set_period),
            }
        return makers

    def _make_sql(self) -> Sql:
        self._sql = Sql(self._shared)
        return self._sql

    def start(self) -> None:
        """Fill the first view, and refresh it once the browser has it, until the session ends."""
        if self._wanted.source == permalink.LIVE:
            hub = self.hub
            self._tabs.fill(hub, self._instrument(hub))
            self._bar.object = self._headline(hub)
        pn.state.onload(self._begin)
        pn.state.on_session_destroyed(lambda _: self._end())

    def _begin(self) -> None:
        self._restore()
        self._beat.start(self._document)

    def _set_period(self, period_ms: int) -> None:
        self._beat.period_ms = period_ms

    def _end(self) -> None:
        self._beat.end()
        self._drawing.end()
        self._replay.close()

    @property
    def hub(self) -> Hub:
        return self._shared.hub if self._replay.is_live else self._replay.hub

    def refresh(self) -> None:
        """Read new rows; all changes of a refresh reach the browser together.

        A slow browser gets fewer refreshes instead of ever later ones.
        """
        if not self._echo.is_behind:
            self._bring()

    def _bring(self) -> None:
        """Bring the page up to date, whether or not the browser is behind."""
        with set_curdoc(self._document), pn.io.hold(self._document):
            hub, instrument = self._look()
            # Refreshing an unfinished page would delay the others more than its drawings do.
            if self._tabs.is_whole or time.monotonic() - self._filled_s >= UNDRAWN_EVERY_S:
                self._filled_s = time.monotonic()
                self._tabs.fill(hub, instrument)
            self._drawing.refresh(hub, instrument, is_opening=bool(self._replay.opening))
            if time.monotonic() - self._headline_s >= HEADLINE_EVERY_S:
                self._headline_s = time.monotonic()
                self._refresh_headline(hub)
            self._echo.send()

    def _draw(self) -> None:
        """Make the next part of the visible tab; pages take turns, since this takes long."""
        with set_curdoc(self._document), pn.io.hold(self._document):
            self._tabs.refresh(*self._look())
            self._echo.send()

    def _look(self) -> tuple[Hub, Instrument | None]:
        """Return the shown hub and instrument; empty the other tabs when these change.

        A browser shows an old tab unchanged until the server learns that it is visible.
        """
        hub = self.hub
        instrument = self._instrument(hub)
        shown = (id(hub), hub.epoch, instrument)
        if shown != self._shown:
            self._shown = shown
            self._tabs.empty_unseen()
            self._headline_s = self._filled_s = 0.0
        return hub, instrument

    def _make_controls(self) -> None:
        select = partial(pn.widgets.Select, stylesheets=[style.WIDGET_CSS])
        self._source = select(name="Watch", options=[LIVE], value=LIVE, width=260)
        self._source.param.watch(self._choose_source, "value")
        self._run = pn.widgets.Button(
            name=STOP,
            width=170,
            align="end",
            stylesheets=[style.WIDGET_CSS],
            disabled=not self._may_act,
        )
        self._run.on_click(self._start_or_stop)
        self._others = pn.widgets.MultiChoice(
            name="Together with",
            placeholder="other recordings",
            options=[],
            width=260,
            stylesheets=[style.WIDGET_CSS],
            visible=False,
        )
        self._others.param.watch(self._choose_others, "value")
        self._transport = TransportBar()
        self._habits = Habits(self._press, self._save)

    def _layout(self) -> Any:
        chosen = self._instruments.view
        controls = style.flowing(
            *(self._source, self._others, chosen, self._run, self._bell, self._habits)
        )
        above = [self._bar, controls, self._transport.view]
        if self._shared.restricted:
            why, text = style.html(), escape(self._shared.restricted)
            why.object = f'<div class="error">▲ This page only shows: {text}</div>'
            above.insert(1, why)
        return pn.Column(
            *above,
            self._drawing.view,
            self._tabs.view,
            self._echo.view,
            sizing_mode="stretch_width",
        )

    def _instrument(self, hub: Hub) -> Instrument | None:
        return self._instruments.of(hub, self._replay.source)

    def _press(self, key: str) -> None:
        """Carry out a keyboard shortcut; those of a replay do nothing without one."""
        if key.isdigit():
            self._tabs.see(int(key) - 1)
        elif key == " ":
            self._transport.play_or_pause()
        elif key == ".":
            self._transport.step()
        else:
            self._transport.skip(1 if key == "ArrowRight" else -1)

    def _save(self, asked: dict[str, Any]) -> None:
        """Send the viewer a file of what a plot shows."""
        hub = self.hub
        instrument, form = self._instrument(hub), asked["form"]
        for plot in self._tabs.plots:
            if instrument and form in save.FORMS and plot.is_drawn_by(asked["figure"]):
                ends = float(asked["start"]), float(asked["end"])
                self._habits.give(*save.file(plot, form, *ends, hub, instrument))

    def _restore(self) -> None:
        """Restore the state in the address; never run a statement or act on a recording."""
        wanted = self._wanted
        self._transport.speed = wanted.speed
        if wanted.source == permalink.LIVE:
            return
        # Only names of this folder: a link must not open a path.
        there = {path.name for path in paths_of(self._shared.folder)}
        names = wanted.source.split(",")
        if not there.issuperset(names):
            why = f"expected a recording of this folder, found {wanted.source}"
            self._note.say(f"the address was not followed: {why}")
            return
        others = sorted(there - {names[0]}, reverse=True)
        # Open them together: opening each one alone would read it for nothing.
        self._is_choosing = True
        self._source.param.update(options=[LIVE, *sorted(there, reverse=True)], value=names[0])
        self._others.param.update(options=style.labels(others), value=names[1:])
        self._is_choosing = False
        at_ns, first, last = (
            round(at_s * 1e9) for at_s in (wanted.at_s, *(wanted.loop_s or (0, 0)))
        )
        self._play(names, Start(at_ns, wanted.is_paused, (first, last) if last else None))

    def _state(self) -> permalink.State:
        return permalink.State(
            layout=self._tabs.slug,
            instrument=self._instruments.name,
            source=",".join(self._chosen()) or permalink.LIVE,
            speed=self._transport.speed,
            sql=self._sql.link if self._sql else self._wanted.sql,
            at_s=self._transport.at_s,
            is_paused=self._transport.is_paused,
            loop_s=self._transport.loop_s,
        )

    def _refresh_headline(self, hub: Hub) -> None:
        # The page's last row: its numbers can be compared with SQL up to there.
        html = f'<div data-ord="{hub.last_ord}">{self._headline(hub)}</div>'
        if self._bar.object != html:
            self._bar.object = html
        self._bell.refresh(hub, is_live=self._replay.is_live)
        if not self._replay.opening:
            # Until then the address tells where it is to begin.
            query = permalink.query(self._state(), self._habits.theme, self._habits.zone)
            self._habits.address(query)
        if not self._replay.is_live:
            self._transport.refresh()
        else:
            standing = self._shared.standing()
            # Before it has answered it counts as running.
            running = self._shared.about().get("running", standing is None)
            self._run.name = STOP if running else START
            # A missing or hung collector cannot be controlled.
            is_deaf = standing is not None and standing.kind in ("missing", "hung")
            if is_deaf != self._is_deaf:
                self._is_deaf = is_deaf
                self._run.disabled = is_deaf or not self._may_act
            names = [LIVE, *self._recordings()]
            if names != self._source.options:
                self._source.options = names
        self._habits.old = self._replay.is_live and hub.is_silent

    def _headline(self, hub: Hub) -> str:
        if self._replay.opening:
            names, about = self._replay.opening.names, self._shared.about()
            return headline.of_opening(names, about, self._shared.standing(), self._noted)
        if self._replay.current:
            return headline.of_replay(hub, self._replay.current, self._noted)
        return headline.of_live(hub, self._shared.about(), self._shared.standing(), self._noted)

    @property
    def _noted(self) -> str:
        """Further notes for the viewer, as HTML."""
        texts = (escape(self._instruments.trouble), self._note.text)
        return "".join(f" · {text}" for text in texts if text)

    def _recordings(self) -> list[str]:
        about = self._shared.about()
        return [name for name in about.get("recordings", []) if name != about.get("recording")]

    def _chosen(self) -> list[str]:
        """Return the recordings to replay, without live."""
        return [] if self._source.value == LIVE else [self._source.value, *self._others.value]

    def _show(self, name: str, start: Start = BEGINNING) -> None:
        """Replay a recording that was chosen elsewhere on the page."""
        names = dict.fromkeys((LIVE, *self._recordings(), name))
        if self._source.value != name:
            self._is_choosing = True
            self._source.param.update(options=list(names), value=name)
            self._is_choosing = False
            self._begin_replay(start)
        self._tabs.see(0)

    def _see(self, at_ns: int) -> None:
        """Replay the present or running recording from shortly before a moment."""
        at_ns -= BEFORE_NS
        recording = str(self._shared.about().get("recording") or "")
        if self._replay.is_live and recording:
            self._show(recording, Start(at_ns, base_ns=0))
        elif self._replay.is_live:
            self._note.say("expected a recording to see it again, found that none is made")
        else:
            self._tabs.see(0)
            self._transport.see(at_ns)

    def _choose_source(self, _: Any) -> None:
        if not self._is_choosing:
            self._begin_replay()

    def _begin_replay(self, start: Start = BEGINNING) -> None:
        """Replay the chosen recording, or go back to live."""
        chosen = self._source.value
        self._note.say("")
        self._is_choosing = True
        self._others.param.update(
            value=[], options=style.labels(n for n in self._recordings() if n != chosen)
        )
        self._is_choosing = False
        self._play(self._chosen(), start)

    def _choose_others(self, _: Any) -> None:
        if not self._is_choosing:
            # Continue at the same position, with other recordings beside it.
            self._play(self._chosen(), self._replay.start or BEGINNING)

    def _play(self, names: Sequence[str], start: Start = BEGINNING) -> None:
        """Replay the chosen recordings; nothing of the previous rows stays."""
        shared, about, standing = self._shared, self._shared.about(), self._shared.standing()
        if standing and standing.kind == "hung" and about.get("recording") in names:
            self._refuse(names[0], "its collector does not answer")
            return
        if names:
            parts = (shared.folder, list(names), shared.settings, rules_in_force(about), start)
            opened = partial(self._take_opened, names)
            self._replay.open(names, start, partial(Replaying, *parts), opened)
        else:
            self._replay.close()
        self._attach(names)

    def _take_opened(self, names: Sequence[str], trouble: str) -> None:
        with set_curdoc(self._document):
            if trouble:
                self._refuse(names[0], trouble)
            else:
                self._attach(names)

    def _refuse(self, name: str, why: str) -> None:
        self._source.value = LIVE
        self._note.say(f"{name} is not played: {why}")
        self._headline_s = 0.0

    def _attach(self, names: Sequence[str]) -> None:
        """Show and control the present replay; all changes reach the browser together."""
        with pn.io.hold(self._document):
            self._transport.attach(self._replay.player, self._shared.folder, names)
            self._run.visible = is_live = self._replay.is_live
            self._others.visible = self._habits.replaying = not is_live
            self._headline_s = 0.0
            self._bring()

    def _start_or_stop(self, _: Any) -> None:
        # The label that the viewer saw counts, not the present state.
        action = "stop" if self._run.name == STOP else "start"
        if not self._may_act:
            # A browser can send values that the page does not offer.
            self._note.say(f"{action} refused: expected an operator, found a viewer")
            return
        self._note.say(f"you: {self._shared.control(action)}")
