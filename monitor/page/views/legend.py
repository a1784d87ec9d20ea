"""A static legend: BokehJS would rebuild an ordinary one with every streamed row."""

from __future__ import annotations

import math
from typing import Any

from bokeh.models import ColumnDataSource, GlyphRenderer


def hold_still(figure: Any) -> None:
    """Make a legend refer to renderers without streamed rows, in place of the real ones.

    Bokeh takes each change of an item's renderers, even of their rows, for a change of the item. A
    click on an item mutes both.
    """
    for legend in figure.legend:
        for item in legend.items:
            stand_ins = [_stand_in(renderer) for renderer in item.renderers]
            figure.renderers = [*figure.renderers, *stand_ins]
            item.renderers = stand_ins


def _stand_in(renderer: Any) -> GlyphRenderer:
    # A legend takes its look from a row.
    source = ColumnDataSource({name: [math.nan] for name in renderer.data_source.data})
    glyphs = ("glyph", "muted_glyph", "nonselection_glyph", "selection_glyph")
    looks = {name: getattr(renderer, name) for name in glyphs}
    stand_in = GlyphRenderer(data_source=source, **looks)
    # Through the server: a link in the browser would be one more reference.
    stand_in.on_change("muted", lambda _, __, muted: setattr(renderer, "muted", muted))
    return stand_in
