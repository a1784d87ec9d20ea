"""The document of one viewer: the page, and the scripts that its browser loads."""

from __future__ import annotations

import holoviews as hv
import panel as pn
from panel.io.resources import LOCAL_DIST

from monitor.page import plain_panel_serve, tabs, viewer_role
from monitor.page.shared_state import shared
from monitor.page.viewer_page import Page
from monitor.page.views import style


def build() -> None:
    """Create the page of the viewer that is being served."""
    document = pn.state.curdoc
    if not viewer_role.is_judged() and plain_panel_serve.prepare(document, shared()):
        return
    pn.extension(raw_css=[style.look().css])
    if "bokeh" not in hv.Store.loaded_backends():
        hv.extension("bokeh")
    # WebGL took two thirds of a browser's time without a GPU; thinned rows do not need it.
    hv.renderer("bokeh").webgl = False
    # The page has a banner of its own for a lost server.
    document.config.notify_connection_status = False
    # Style sheets come from this server, whichever way the page was asked for.
    document.template_variables["dist_url"] = LOCAL_DIST
    # A layout that fills the screen sets its own height; its container must not grow with it.
    pn.config.respect_explicit_sizing = True
    shared().documents.add(document)
    # Bokeh would walk all models again after each new one.
    with tabs.frozen(document):
        page = Page(shared())
        page.view.servable(title="monitor")
    page.start()
