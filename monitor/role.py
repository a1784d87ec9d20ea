"""Who looks at the page that is being served."""

from __future__ import annotations

import panel as pn

from monitor.users import NOBODY, Viewer


def viewer() -> Viewer:
    """Return whose page it is, as the gate found: by the request, never by what a page can send.

    Where no gate stood in front nobody was checked, and nobody may act.
    """
    document = pn.state.curdoc
    request = document.session_context.request if document and document.session_context else None
    found = getattr(request, "viewer", NOBODY)
    return found if isinstance(found, Viewer) else NOBODY
