"""The look of the page: two themes, the time zone, and panes that use them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from html import escape
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import panel as pn

FONT = "system-ui, 'DejaVu Sans', sans-serif"
# Text has a contrast of 4.5 to 1 at least on what it stands on; what shines in the dark is deeper
# on white. Good and bad differ in hue and in brightness: teal and red, never green and red.
THEMES = {
    "dark": {
        **{"bg": "#0b0e13", "panel": "#12161c", "line": "#232a33", "hover": "#222a35"},
        **{"field": "#161b22", "edge": "#4a5361"},
        **{"text": "#c9d1d9", "strong": "#e6edf3", "muted": "#9aa4b2", "accent": "#4ea1ff"},
        **{"ok": "#2ec4b6", "info": "#4ea1ff", "idle": "#9aa4b2", "alt": "#c792ea"},
        **{"warn": "#f2cc60", "bad": "#ff6b6b", "sell": "#f27fb2", "ask": "#ff9f43"},
        **{"live-bg": "#123d38", "live": "#5eead4", "off-bg": "#3a3f47", "off": "#e6edf3"},
        **{"mock-bg": "#4a3a10", "mock": "#f2cc60", "replay-bg": "#46226b", "replay": "#e2c5ff"},
        **{"alarm-bg": "#5a1f24", "alarm": "#ffb3b3"},
    },
    "light": {
        **{"bg": "#f1f4f8", "panel": "#ffffff", "line": "#d0d7e0", "hover": "#e3eaf3"},
        **{"field": "#ffffff", "edge": "#7c8796"},
        **{"text": "#24292f", "strong": "#0b0f14", "muted": "#545d68", "accent": "#0b5cc4"},
        **{"ok": "#0a6b60", "info": "#0b5cc4", "idle": "#545d68", "alt": "#7a2ea8"},
        **{"warn": "#7a5200", "bad": "#b3261e", "sell": "#a8246a", "ask": "#8a4b00"},
        **{"live-bg": "#c9f0ea", "live": "#0a4f47", "off-bg": "#d8dde4", "off": "#24292f"},
        **{"mock-bg": "#fbe9b7", "mock": "#5c3d00", "replay-bg": "#6b2fa0", "replay": "#ffffff"},
        **{"alarm-bg": "#fbd5d2", "alarm": "#7d1a14"},
    },
}
UTC = "UTC"

WIDGET_CSS = f"""
:host {{ color: var(--muted); font-family: {FONT}; }}
.bk-input, .bk-btn {{ background-color: var(--field) !important; color: var(--strong) !important;
                     border: 1px solid var(--edge) !important; border-radius: 4px; }}
.bk-btn:hover {{ background-color: var(--hover) !important; }}
.bk-input:focus-visible, .bk-btn:focus-visible {{ outline: 2px solid var(--accent); }}
label, .bk-slider-title, .bk-slider-value {{ color: var(--muted); }}
.choices__inner, .choices__list--dropdown, .choices__input {{ background-color: var(--field)
    !important; color: var(--strong) !important; border-color: var(--edge) !important; }}
.choices__item--choice.is-highlighted {{ background-color: var(--hover) !important; }}
.choices__list--multiple .choices__item {{ background: #46226b !important; color: #fff; }}
.noUi-target {{ background: var(--field); border-color: var(--edge); }}
.noUi-connect {{ background: var(--accent); }} .noUi-handle {{ background: var(--text); }}
"""
TABS_CSS = f"""
:host {{ --background: var(--bg); opacity: var(--age-opacity, 1); }}
.bk-header {{ border-bottom: 1px solid var(--line) !important; }}
.bk-headers-wrapper {{ flex-wrap: wrap; }}
.bk-tab {{ color: var(--muted); background: transparent !important; border: none !important;
          font-family: {FONT}; padding: 4px 14px; }}
.bk-tab.bk-active {{ color: var(--strong) !important;
                    border-bottom: 2px solid var(--accent) !important; }}
"""
# Bokeh hides inactive tabs but keeps their space: the page was as high as the highest.
TABS_CSS += """
:host > [style*="visibility: hidden"] { max-height: 0; overflow: hidden; }
"""
TAB_CSS = ":host > * { flex: none; }"
# Side by side where there is room; below each other on a narrow screen.
SIDES_CSS = """
:host { display: grid !important; grid-template-columns: minmax(0, 1fr) minmax(0, 400px);
        align-items: start; }
@media (max-width: 1100px) { :host { grid-template-columns: minmax(0, 1fr); } }
"""
PAIR_CSS = """
:host { display: grid !important; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
@media (max-width: 700px) { :host { grid-template-columns: minmax(0, 1fr); } }
"""
WRAP_CSS = """
:host { flex-wrap: wrap !important; }
@media (max-width: 500px) { :host > * { max-width: calc(100vw - 24px); } }
"""
TRANSPORT_CSS = """
:host { display: grid !important; grid-template-columns: minmax(0, 430px) minmax(0, 1fr); }
@media (max-width: 900px) { :host { grid-template-columns: minmax(0, 1fr); } }
"""
# Deeper means more; a word or a shape shows the kind too.
HEAT_CSS = """
.heat { display: inline-block; min-width: 26px; text-align: center; border-radius: 3px;
        padding: 0 3px; color: var(--strong); --hue: var(--info); font-size: 11px; }
.heat.bad { --hue: var(--bad); } .heat.warn { --hue: var(--warn); }
.heat.idle { --hue: var(--idle); }
.h1 { background: color-mix(in srgb, var(--hue) 12%, transparent); }
.h2 { background: color-mix(in srgb, var(--hue) 20%, transparent); }
.h3 { background: color-mix(in srgb, var(--hue) 28%, transparent); }
.h4 { background: color-mix(in srgb, var(--hue) 36%, transparent); }
.h5 { background: color-mix(in srgb, var(--hue) 44%, transparent); }
"""
# Shown by the browser itself: only it can notice that it is late.
LATE_CSS = """
.late { visibility: hidden; animation: late 0s 3s forwards; }
@keyframes late { to { visibility: visible; } }
"""
# Stays visible when the viewer scrolls.
STICKY_CSS = ":host { position: sticky; top: 0; z-index: 10; background: var(--bg); }"
PANE_CSS = f"""
:host {{ font-family: {FONT}; color: var(--text); font-size: 13px; }}
.panel {{ background: var(--panel); border: 1px solid var(--line); border-radius: 6px;
         padding: 8px 10px; overflow-x: auto; }}
h3 {{ margin: 0 0 6px; font-size: 13px; font-weight: 600; color: var(--strong); }}
table {{ color: var(--text); width: 100%; border-collapse: collapse;
        font-variant-numeric: tabular-nums; }}
th {{ text-align: left; color: var(--muted); font-weight: 500; font-size: 11px;
     padding: 2px 8px 2px 0; }}
td {{ padding: 3px 8px 3px 0; border-top: 1px solid var(--line); white-space: nowrap; }}
td.none {{ color: var(--muted); white-space: normal; }}
.state {{ font-weight: 600; }} .connected {{ color: var(--ok); }} .quiet {{ color: var(--info); }}
.initialising {{ color: var(--idle); }} .polling {{ color: var(--alt); }}
.stale {{ color: var(--warn); }} .failed {{ color: var(--bad); }} .stopped {{ color: var(--idle); }}
.book.ok {{ color: var(--ok); }} .book.building, .book.unverifiable {{ color: var(--idle); }}
.book.bad {{ color: var(--bad); font-weight: 600; }}
.error {{ color: var(--warn); }} .error, .wrap {{ white-space: normal; }}
.mark {{ color: var(--warn); }}
.bar {{ display: flex; gap: 6px 14px; align-items: center; flex-wrap: wrap; padding: 4px 0; }}
.bar.replaying {{ background: var(--replay-bg); color: var(--replay); padding: 8px 12px;
                 border-radius: 6px; border: 2px solid var(--alt); }}
.bar.replaying .name, .bar.replaying .muted {{ color: var(--replay); }}
.bar .name {{ font-size: 17px; font-weight: 700; color: var(--strong); }}
.badge {{ padding: 3px 10px; border-radius: 4px; font-weight: 700; letter-spacing: .04em; }}
.badge.live {{ background: var(--live-bg); color: var(--live); }}
.badge.stopped {{ background: var(--off-bg); color: var(--off); }}
.badge.simulated {{ background: var(--mock-bg); color: var(--mock); }}
.badge.replay {{ background: var(--replay-bg); color: var(--replay); font-size: 15px; }}
.badge.waiting {{ background: var(--alarm-bg); color: var(--alarm); }}
.muted {{ color: var(--muted); }}
"""


class Look(NamedTuple):
    """The viewer's choices for the whole page, at its loading."""

    theme: str
    zone: ZoneInfo

    @property
    def css(self) -> str:
        """The page's style sheet: the theme's colours as CSS properties."""
        colours = "".join(f"--{name}: {value}; " for name, value in THEMES[self.theme].items())
        return f"""
:root {{ color-scheme: {self.theme}; {colours}}}
body {{ background: var(--bg); color: var(--text); font-family: {FONT}; margin: 0;
       padding: 8px 12px; }}
"""

    def color(self, name: str) -> str:
        return THEMES[self.theme][name]


def look() -> Look:
    """Return the look in the served viewer's address; dark and UTC by default."""
    return look_of(pn.state.session_args)


def look_of(arguments: Mapping[str, Sequence[bytes]]) -> Look:
    """Return the look that the query of an address names."""
    asked = {name: value[0].decode(errors="replace") for name, value in arguments.items() if value}
    return _look(asked.get("theme", ""), asked.get("tz", UTC))


@lru_cache(maxsize=64)
def _look(theme: str, zone: str) -> Look:
    try:
        found = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        found = ZoneInfo(UTC)
    return Look(theme if theme in THEMES else "dark", found)


def labels(names: Iterable[str]) -> dict[str, str]:
    """Return the options of a widget that shows labels as HTML: names by their escaped text."""
    return {escape(name): name for name in names}


def html(css: str = "") -> Any:
    """Make an empty HTML pane in the page's look; the caller escapes its contents."""
    sheets = [PANE_CSS, css]
    return pn.pane.HTML("", stylesheets=sheets, sizing_mode="stretch_width", margin=(4, 5))


def drawing() -> Any:
    """Make the placeholder of a drawing; it says what a slow drawing waits for."""
    made = html(css=LATE_CSS)
    draws_after(made, '<span class="late">waiting for this browser, which is busy</span>')
    return made


def draws_after(made: Any, what: str) -> None:
    """Show what a drawing waits for."""
    told = f'<div class="muted">Drawing … {what}</div>'
    if made.object != told:
        made.object = told


def side_by_side(*parts: Any, css: str = SIDES_CSS) -> Any:
    """Arrange parts in a row, or in a column on a narrow screen."""
    return pn.Column(*parts, sizing_mode="stretch_width", stylesheets=[css])


def flowing(*parts: Any, **options: Any) -> Any:
    """Arrange parts in a row that wraps."""
    return pn.Row(*parts, stylesheets=[WRAP_CSS], **options)
