// What BokehJS does with every repaint of a plot and a browser can do without.
{
  // It writes the place of every part of a plot, mostly the same as before: a browser would work
  // out the styles of all of them again.
  const sheet = Bokeh.require("core/dom").InlineStyleSheet.prototype, write = sheet._update;
  sheet._update = function (css) { if (this.el.textContent !== css) write.call(this, css); };

  // It asks for the CSS of each line, fill and text, thousands of times a second; what plots look
  // like is in their models here.
  Bokeh.require("core/visuals/visual").VisualProperties.prototype._get_css_value = () => "";

  // It sorts the rows of each line by where they are, for questions that nobody asks of lines.
  const index = Bokeh.require("core/util/spatial").SpatialIndex.prototype, sort = index.finish;
  index.finish = function () { this.is_unsorted = true; };
  for (const name of ["indices", "bounds"]) {
    const ask = index[name];
    index[name] = function (where) {
      if (this.is_unsorted) sort.call(this);
      this.is_unsorted = false;
      return ask.call(this, where);
    };
  }
}
