"""The role of the viewer whose page is being served."""

from __future__ import annotations

import panel as pn

from monitor.access import NOBODY, Viewer


def viewer() -> Viewer:
    """Return whose page it is, as the gate found: by the request, never by what a page can send.

    Where no gate stood in front nobody was checked, and nobody may act.
    """
    return _found() or NOBODY


def is_judged() -> bool:
    """Tell whether a gate has seen the request of the page that is being made."""
    return _found() is not None


def _found() -> Viewer | None:
    document = pn.state.curdoc
    request = document.session_context.request if document and document.session_context else None
    found = getattr(request, "viewer", None)
    return found if isinstance(found, Viewer) else None
