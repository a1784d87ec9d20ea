"""How everything on the page looks: colours, fonts and the HTML panes that share them."""

from __future__ import annotations

from typing import Any

import panel as pn

WIDGET_CSS = """
:host { color: #8b949e; font-family: system-ui, 'DejaVu Sans', sans-serif; }
.bk-input, .bk-btn { background-color: #161b22 !important; color: #e6edf3 !important;
                     border: 1px solid #30363d !important; border-radius: 4px; }
.bk-btn:hover { background-color: #222a35 !important; }
label, .bk-slider-title, .bk-slider-value { color: #8b949e; }
.choices__inner, .choices__list--dropdown, .choices__input { background-color: #161b22 !important;
    color: #e6edf3 !important; border-color: #30363d !important; }
.choices__item--choice.is-highlighted { background-color: #222a35 !important; }
.choices__list--multiple .choices__item { background: #46226b !important; }
.noUi-target { background: #161b22; border-color: #30363d; }
.noUi-connect { background: #4ea1ff; } .noUi-handle { background: #c9d1d9; }
"""
TABS_CSS = """
:host { --background: #0b0e13; }
.bk-header { border-bottom: 1px solid #232a33 !important; }
.bk-tab { color: #8b949e; background: transparent !important; border: none !important;
          font-family: system-ui, 'DejaVu Sans', sans-serif; padding: 4px 14px; }
.bk-tab.bk-active { color: #e6edf3 !important; border-bottom: 2px solid #4ea1ff !important; }
"""
CSS = """
:root { color-scheme: dark; }
body { background: #0b0e13; color: #c9d1d9; font-family: system-ui, 'DejaVu Sans', sans-serif;
       margin: 0; padding: 8px 12px; }
"""
PANE_CSS = """
:host { font-family: system-ui, 'DejaVu Sans', sans-serif; color: #c9d1d9; font-size: 13px; }
.panel { background: #12161c; border: 1px solid #232a33; border-radius: 6px; padding: 8px 10px;
         overflow-x: auto; }
h3 { margin: 0 0 6px; font-size: 13px; font-weight: 600; color: #e6edf3; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; color: #8b949e; font-weight: 500; font-size: 11px; padding: 2px 8px 2px 0; }
td { padding: 3px 8px 3px 0; border-top: 1px solid #1c222b; white-space: nowrap; }
td.none { color: #8b949e; }
.state { font-weight: 600; } .connected { color: #2ec4b6; } .quiet { color: #4ea1ff; }
.initialising { color: #9aa4b2; } .polling { color: #c792ea; } .stale { color: #f2cc60; }
.failed { color: #ff6b6b; } .stopped { color: #9aa4b2; }
.book.ok { color: #2ec4b6; } .book.building, .book.unverifiable { color: #9aa4b2; }
.book.bad { color: #ff6b6b; font-weight: 600; }
.error { color: #ff9f43; } .error, .wrap { white-space: normal; } .mark { color: #f2cc60; }
.bar { display: flex; gap: 14px; align-items: center; flex-wrap: wrap; padding: 4px 0; }
.bar .name { font-size: 17px; font-weight: 700; color: #e6edf3; }
.badge { padding: 3px 10px; border-radius: 4px; font-weight: 700; letter-spacing: .04em; }
.badge.live { background: #123d38; color: #5eead4; }
.badge.stopped { background: #3a3f47; color: #e6edf3; }
.badge.simulated { background: #4a3a10; color: #f2cc60; }
.badge.replay { background: #46226b; color: #e2c5ff; }
.badge.waiting { background: #5a1f24; color: #ffb3b3; }
.muted { color: #8b949e; }
"""


def html() -> Any:
    """Make an empty HTML pane in the page's look; what it is given must be escaped already."""
    return pn.pane.HTML("", stylesheets=[PANE_CSS], sizing_mode="stretch_width", margin=(4, 5))
