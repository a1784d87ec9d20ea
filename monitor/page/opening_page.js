// What BokehJS does with every repaint of a plot and a browser can do without.
{
  // Each patch wants BokehJS as we know it; else it is left out, with a line on the console.
  const patch = (module, name, members, without, apply) => {
    let found;
    try { found = Bokeh.require(module)[name].prototype; } catch (error) { /* No such module. */ }
    if (found && members.every(member => typeof found[member] === "function")) apply(found);
    else console.warn(`monitor: expected ${members} of ${name} in BokehJS, found another version: ${without}`);
  };

  // It writes the place of every part of a plot, mostly the same as before: a browser would work
  // out the styles of all of them again.
  patch("core/dom", "InlineStyleSheet", ["_update"], "repaints take longer", sheet => {
    const write = sheet._update;
    sheet._update = function (css) { if (this.el?.textContent !== css) write.call(this, css); };
  });

  // It asks for the CSS of each line, fill and text, thousands of times a second; what plots look
  // like is in their models here.
  patch("core/visuals/visual", "VisualProperties", ["_get_css_value"], "repaints take longer", visual => {
    visual._get_css_value = () => "";
  });

  // It sorts the rows of each line by where they are, for questions that nobody asks of lines.
  patch("core/util/spatial", "SpatialIndex", ["finish", "indices", "bounds"], "repaints take longer", index => {
    const sort = index.finish;
    index.finish = function () { this.is_unsorted = true; };
    for (const name of ["indices", "bounds"]) {
      const ask = index[name];
      index[name] = function (where) {
        if (this.is_unsorted) sort.call(this);
        this.is_unsorted = false;
        return ask.call(this, where);
      };
    }
  });

  // `FOLLOW_FIRST_ROW` of `views/plot.py` calls it.
  patch("models/ranges/data_range1d", "DataRange1d", ["_invalidate_dataranges"], "a plot that is moved before it has a row stays empty until it is reset", () => {});
}
