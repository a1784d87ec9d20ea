"""The page of one viewer, as `panel serve monitor/app.py` runs it."""

import panel as pn

if pn.state.served:
    # Panel runs this file as a module of one viewer and empties it when that viewer has gone.
    # What all viewers share is kept by the imported modules.
    from monitor.page import viewer_document

    viewer_document.build()
