"""The role of the viewer whose page is being served."""

from __future__ import annotations

import panel as pn

from monitor.access import NOBODY, Viewer


def viewer() -> Viewer:
    """Return the viewer as the gate found them from the request, never from what a page can send.

    Without a gate nobody was checked, and nobody may act.
    """
    return _found() or NOBODY


def is_judged() -> bool:
    """Return whether a gate has checked the request of the page that is being created."""
    return _found() is not None


def _found() -> Viewer | None:
    document = pn.state.curdoc
    request = document.session_context.request if document and document.session_context else None
    found = getattr(request, "viewer", None)
    return found if isinstance(found, Viewer) else None
