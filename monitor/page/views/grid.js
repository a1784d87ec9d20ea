// The watch-list in the browser: takes cells that changed, sorts, filters, tells what was clicked.

const COLUMNS = [
  // title, kind of value, what the header explains
  ["venue", "text", "Where it is traded"],
  ["symbol", "text", "What is traded"],
  ["state", "state", "Whether the line is believed"],
  ["last", "price", "Price of the last trade"],
  ["bid", "price", "Best bid"],
  ["ask", "price", "Best offer"],
  ["bps", "fixed2", "Spread in basis points of the mid"],
  ["msg/s", "fixed0", "Quotes, trades and book messages in the last second"],
  ["age", "age", "Since the last row"],
  ["p50 ms", "fixed1", "Median latency of the last second, venue to receipt, of the slowest channel"],
  ["p99 ms", "fixed1", "99th percentile of latency of the last second, of the slowest channel"],
  ["losses", "fixed0", "Gaps, wrong checksums, crossed prices and mismatches of the instrument and of its venue's connection; Health shows the two apart"],
  ["book", "book", "Health of the order book"],
  ["last minute", "spark", "Mid of the last minute, one value a second"],
];
const ERROR = COLUMNS.length;
const STATE = 2;
const MIDS = 13;

const formats = [0, 1, 2].map(
  (digits) => new Intl.NumberFormat("en-US", {minimumFractionDigits: digits, maximumFractionDigits: digits}));
const price = new Intl.NumberFormat("en-US", {maximumSignificantDigits: 17});
const written = {
  text: (value) => value,
  price: (value) => price.format(value),
  fixed0: (value) => formats[0].format(value),
  fixed1: (value) => formats[1].format(value),
  fixed2: (value) => formats[2].format(value),
  age: (value) => value < 1000 ? `${value} ms` : `${(value / 1000).toFixed(1)} s`,
};

function node(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

function draw(canvas, values) {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [90, 18];
  canvas.width = width * scale;
  canvas.height = height * scale;
  const known = values.filter((value) => value !== null);
  if (known.length < 2) return;
  const low = Math.min(...known);
  const span = Math.max(...known) - low || 1;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.strokeStyle = getComputedStyle(canvas).color;
  pen.lineWidth = 1.2;
  pen.beginPath();
  let down = false;
  values.forEach((value, at) => {
    if (value === null) { down = false; return; }
    const x = 1 + at / (values.length - 1) * (width - 2);
    const y = height - 2 - (value - low) / span * (height - 4);
    if (down) pen.lineTo(x, y); else pen.moveTo(x, y);
    down = true;
  });
  pen.stroke();
}

export function render({model}) {
  const root = node("div", "watchlist");
  const head = node("div", "head");
  const filter = node("input", "filter");
  filter.type = "search";
  filter.placeholder = "Filter: venue, symbol or state ( / )";
  filter.setAttribute("aria-label", "Filter rows");
  const told = node("span", "told");
  head.append(node("h3", "", "Watch-list"), filter, told);
  const box = node("div", "box");
  const table = node("table");
  const titles = node("tr");
  const body = node("tbody");
  const none = node("div", "none");
  const thead = node("thead");
  thead.append(titles);
  table.append(thead, body);
  box.append(table, none);
  root.append(head, box);

  let rows = [];
  let lines = [];
  let chosen = "";
  let sort = {column: -1, way: 1};
  const key = (row) => `${row[0]} ${row[1]}`;

  COLUMNS.forEach(([title, kind, help], column) => {
    const cell = node("th", kind, title);
    cell.title = help + (kind === "spark" ? "" : "; click to sort");
    if (kind !== "spark") {
      cell.tabIndex = 0;
      const turn = () => {
        sort = sort.column !== column ? {column, way: 1} : sort.way === 1 ? {column, way: -1} : {column: -1, way: 1};
        titles.querySelectorAll("th").forEach((other, at) => {
          other.textContent = COLUMNS[at][0] + (at !== sort.column ? "" : sort.way === 1 ? " ▲" : " ▼");
          other.setAttribute("aria-sort", at !== sort.column ? "none" : sort.way === 1 ? "ascending" : "descending");
        });
        arrange();
      };
      cell.addEventListener("click", turn);
      cell.addEventListener("keydown", (event) => { if (event.key === "Enter") turn(); });
    }
    titles.append(cell);
  });

  function fill(at, column) {
    const value = rows[at][column];
    if (column === ERROR) { lines[at].cells[STATE].title = value || ""; return; }
    const kind = COLUMNS[column][1];
    const cell = lines[at].cells[column];
    if (kind === "spark") { draw(cell.firstChild, value); return; }
    if (value === null || value === "") { cell.className = kind; cell.textContent = "–"; return; }
    if (kind === "state") {
      cell.className = `state ${value}`;
      cell.textContent = `${model.shapes[value] || "?"} ${value}`;
      lines[at].classList.toggle("doubted", value === "stale" || value === "failed" || value === "stopped");
    } else if (kind === "book") {
      cell.className = `book ${value}`;
      cell.textContent = `${model.books[value] || "?"} ${value}`;
    } else {
      cell.textContent = written[kind](value);
      if (COLUMNS[column][0] === "losses") cell.classList.toggle("lost", value > 0);
    }
  }

  function build() {
    lines = rows.map((row) => {
      const line = node("tr");
      line.tabIndex = 0;
      COLUMNS.forEach(([, kind]) => {
        const cell = node("td", kind);
        if (kind === "spark") cell.append(node("canvas"));
        line.append(cell);
      });
      const choose = () => model.send_msg({choose: [row[0], row[1]]});
      line.addEventListener("click", choose);
      line.addEventListener("keydown", (event) => { if (event.key === "Enter") choose(); });
      return line;
    });
    body.replaceChildren(...lines);
    rows.forEach((row, at) => { for (let column = 0; column <= ERROR; column++) fill(at, column); });
    mark();
    arrange();
  }

  function mark() {
    rows.forEach((row, at) => {
      lines[at].classList.toggle("chosen", key(row) === chosen);
      lines[at].setAttribute("aria-selected", key(row) === chosen);
    });
  }

  function compare(a, b) {
    const [left, right] = [rows[a][sort.column], rows[b][sort.column]];
    if (left === right) return a - b;
    if (left === null) return 1;
    if (right === null) return -1;
    return (left < right ? -1 : 1) * sort.way;
  }

  function arrange() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const order = rows.map((_, at) => at);
    if (sort.column >= 0) order.sort(compare);
    if (order.some((at, place) => body.children[place] !== lines[at])) {
      body.replaceChildren(...order.map((at) => lines[at]));
    }
    let shown = 0;
    rows.forEach((row, at) => {
      const text = `${row[0]} ${row[1]} ${row[STATE]}`.toLowerCase();
      const fits = words.every((word) => text.includes(word));
      if (lines[at].hidden === fits) lines[at].hidden = !fits;
      shown += fits;
    });
    const count = shown === rows.length ? `${shown}` : `${shown} of ${rows.length}`;
    if (told.textContent !== count) told.textContent = count;
    none.hidden = shown > 0;
    none.textContent = rows.length
      ? "Nothing fits the filter: press Esc in it to see all."
      : "No source yet. Settings adds one; or start a collector: monitor record binance:BTC-USDT.";
  }

  filter.addEventListener("input", arrange);
  filter.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { filter.value = ""; arrange(); filter.blur(); }
    if (event.key === "Enter") {
      const first = [...body.children].find((line) => !line.hidden);
      if (first) first.click();
      filter.blur();
    }
  });
  const search = () => { if (root.getClientRects().length) { filter.focus(); filter.select(); } };
  window.addEventListener("monitor-search", search);
  model.on("remove", () => window.removeEventListener("monitor-search", search));

  model.on("msg:custom", (data) => {
    if (data.rows) { rows = data.rows; build(); }
    // What comes before all rows have come is in them.
    if (!rows.length) return;
    for (const [at, values] of data.mids || []) {
      rows[at][MIDS] = [...rows[at][MIDS], ...values].slice(-model.kept);
      fill(at, MIDS);
    }
    for (const [at, column, value] of data.cells || []) {
      rows[at][column] = value;
      fill(at, column);
    }
    if (data.chosen !== undefined) { chosen = data.chosen; mark(); }
    if (data.cells) arrange();
  });
  told.textContent = "…";
  model.send_msg({ready: true});
  return root;
}
