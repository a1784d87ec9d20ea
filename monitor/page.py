"""The page of one viewer: controls and layouts over the live hub or a recording's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from typing import Any

import panel as pn
from panel.io.state import set_curdoc

from monitor import permalink, role
from monitor.beat import Beat
from monitor.hub import Hub, Instrument
from monitor.instruments import Instruments
from monitor.layouts import Layout, Shared
from monitor.layouts.alerts import Alerts, rules_in_force
from monitor.layouts.compare import Compare
from monitor.layouts.health import Health
from monitor.layouts.micro import Micro
from monitor.layouts.recordings import Recordings
from monitor.layouts.settings import Settings
from monitor.layouts.sql import Sql
from monitor.layouts.watch import Watch
from monitor.recordings import paths_of
from monitor.replaying import Replaying
from monitor.segments import FILE_ERRORS, iso
from monitor.stages import Stage
from monitor.tabs import Tabs
from monitor.transport_bar import TransportBar
from monitor.users import Viewer
from monitor.views import save, style
from monitor.views.bell import Bell
from monitor.views.echo import Echo
from monitor.views.habits import Habits

PLOT_EVERY_MS = 100
HEADLINE_EVERY_S = 0.5
# What is seen again is seen from so long before.
BEFORE_NS = 5_000_000_000
LIVE = "Live"
STOP, START = "Stop for everyone", "Start for everyone"


class Page:
    """Everything one viewer sees; `refresh` is called by the page's own beat."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._document = pn.state.curdoc
        self._drawn = Stage()
        self._replaying: Replaying | None = None
        self._headline_s = 0.0
        viewer = role.viewer()
        self._may_act = viewer.may_act
        self._bell = Bell(
            viewer.may_act, lambda wanted: shared.alert({**wanted, "by": viewer.name})
        )
        self._note = ""
        self._beat = Beat(shared.arrivals, self.refresh, PLOT_EVERY_MS)
        self._wanted = permalink.parse(pn.state.session_args)
        self._sql: Sql | None = None
        self._instruments = Instruments(self._wanted.instrument)
        self._tabs = Tabs(self._makers(viewer), self._wanted.layout)
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
        """Fill what is drawn, and refresh it once the browser has it, until the session ends."""
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
        self._stop_replay()

    @property
    def hub(self) -> Hub:
        return self._replaying.hub if self._replaying else self._shared.hub

    def refresh(self) -> None:
        """Pull what is new; all changes of a tick reach the browser together.

        A browser that is behind gets less often what is new, instead of all of it ever later.
        """
        if self._echo.is_behind:
            return
        hub = self.hub
        with set_curdoc(self._document), pn.io.hold(self._document):
            self._tabs.refresh(hub, self._instrument(hub))
            if time.monotonic() - self._headline_s >= HEADLINE_EVERY_S:
                self._headline_s = time.monotonic()
                self._refresh_headline(hub)
            self._echo.send()

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
        self._others.param.watch(lambda _: self._replay(self._chosen()), "value")
        self._transport = TransportBar()
        self._habits = Habits(self._press, self._save)

    def _layout(self) -> Any:
        chosen = self._instruments.view
        controls = style.flowing(
            *(self._source, self._others, chosen, self._run, self._bell, self._habits)
        )
        above = (self._bar, controls, self._transport.view)
        return pn.Column(*above, self._tabs.view, self._echo.view, sizing_mode="stretch_width")

    def _instrument(self, hub: Hub) -> Instrument | None:
        return self._instruments.of(hub, self._replaying)

    def _press(self, key: str) -> None:
        """Do what a key stands for; those of a replay do nothing without one."""
        if key.isdigit():
            self._tabs.see(int(key) - 1)
        elif key == " ":
            self._transport.play_or_pause()
        elif key == ".":
            self._transport.step()
        else:
            self._transport.skip(1 if key == "ArrowRight" else -1)

    def _save(self, asked: dict[str, Any]) -> None:
        """Give the viewer a file of what a plot shows."""
        hub = self.hub
        instrument, form = self._instrument(hub), asked["form"]
        for plot in self._tabs.plots:
            if instrument and form in save.FORMS and plot.is_drawn_by(asked["figure"]):
                ends = float(asked["start"]), float(asked["end"])
                self._habits.give(*save.file(plot, form, *ends, hub, instrument))

    def _restore(self) -> None:
        """Bring back what the address tells; it never runs a statement or acts on a recording."""
        wanted = self._wanted
        self._transport.speed = wanted.speed
        if wanted.source == permalink.LIVE:
            return
        # Names of this folder only: what is opened by its path is not opened by a link.
        there = {path.name for path in paths_of(self._shared.folder)}
        names = wanted.source.split(",")
        if not there.issuperset(names):
            self._note = f" · expected a recording of this folder, found {escape(wanted.source)}"
            return
        others = sorted(there - {names[0]}, reverse=True)
        self._source.options = [LIVE, *sorted(there, reverse=True)]
        self._source.value = names[0]
        if names[1:]:
            self._others.param.update(options=style.labels(others), value=names[1:])
        self._transport.go_to(wanted.at_s)

    def _state(self) -> permalink.State:
        return permalink.State(
            layout=self._tabs.slug,
            instrument=self._instruments.name,
            source=",".join(self._chosen()) or permalink.LIVE,
            speed=self._transport.speed,
            sql=self._sql.link if self._sql else self._wanted.sql,
            at_s=self._transport.at_s,
        )

    def _refresh_headline(self, hub: Hub) -> None:
        headline = self._headline(hub)
        if self._bar.object != headline:
            self._bar.object = headline
        self._bell.refresh(hub, is_live=self._replaying is None)
        self._habits.address(permalink.query(self._state(), self._habits.theme, self._habits.zone))
        if self._replaying:
            self._transport.refresh()
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
            told = f"{iso(player.position_ns)} · what you see is not now"
            if self._instruments.trouble:
                told += f" · {escape(self._instruments.trouble)}"
            if self._replaying.trouble:
                told += f" · {escape(self._replaying.trouble)}"
            return _bar(name, ("replay", text), muted=told, kind="replaying")
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
        if self._instruments.trouble:
            told += f" · {escape(self._instruments.trouble)}"
        return _bar(
            name, *badges, muted=f"{up}/{all_of_them} connections active · {told}{self._note}"
        )

    def _recordings(self) -> list[str]:
        about = self._shared.about()
        return [name for name in about.get("recordings", []) if name != about.get("recording")]

    def _chosen(self) -> list[str]:
        """Return the recordings that are to be played; none of them is live."""
        return [] if self._source.value == LIVE else [self._source.value, *self._others.value]

    def _show(self, name: str) -> None:
        """Replay a recording that was chosen elsewhere on the page."""
        names = dict.fromkeys((LIVE, *self._recordings(), name))
        self._source.param.update(options=list(names), value=name)
        self._tabs.see(0)

    def _see(self, at_ns: int) -> None:
        """Replay what is played, or else what is being recorded, from shortly before a moment."""
        recording = str(self._shared.about().get("recording") or "")
        if not self._replaying and not recording:
            self._note = " · expected a recording to see it again, found that none is made"
            return
        if not self._replaying:
            self._show(recording)
        self._tabs.see(0)
        self._transport.see(at_ns - BEFORE_NS)

    def _choose_source(self, _: Any) -> None:
        chosen = self._source.value
        # Of what was chosen beside it nothing is left; that alone may begin the replay.
        self._others.param.update(
            value=[], options=style.labels(n for n in self._recordings() if n != chosen)
        )
        self._replay(self._chosen())

    def _replay(self, names: Sequence[str]) -> None:
        """Begin anew with what is chosen."""
        self._stop_replay()
        if names:
            try:
                shared, rules = self._shared, rules_in_force(self._shared.about())
                self._replaying = Replaying(shared.folder, names, shared.settings, rules)
            except (ValueError, *FILE_ERRORS) as error:
                self._note = f" · {escape(str(error).splitlines()[0])}"
                self._source.value = LIVE
                return
        player = self._replaying.player if self._replaying else None
        self._transport.attach(player, self._shared.folder, names)
        self._others.visible = self._habits.replaying = self._replaying is not None
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


def _mode(hub: Hub) -> str:
    """Tell how the rows come: by stream, by polling, or some by each."""
    polled = {source.state == "polling" for source in hub.sources()}
    return {frozenset({True}): "REST", frozenset({True, False}): "WebSocket and REST"}.get(
        frozenset(polled), "WebSocket"
    )


def _bar(name: str, *badges: tuple[str, str], muted: str, kind: str = "") -> str:
    shown = "".join(f'<span class="badge {of}">{text}</span>' for of, text in badges)
    return f'<div class="bar {kind}">{name}{shown}<span class="muted">{muted}</span></div>'
