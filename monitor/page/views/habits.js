// The habits of a page in the browser: keys, help, the address, another theme, files, a lost server.

const KEYS = [
  ["/", "search: filter the watch-list (Enter chooses the first, Esc clears)"],
  ["1 – 9", "choose a layout"],
  ["f", "follow: undo pan and zoom of every plot"],
  ["space", "replay: play or pause"],
  [".", "replay: one step"],
  ["← →", "replay: 10 s back or forth"],
  ["?", "this help"],
  ["Esc", "close"],
];
const ASK_EVERY_MS = 1000;
const KEEP_FILE_MS = 60000;
// A refresh is due every 100 ms. The server has other viewers, whose pages take their time.
const SILENT_MS = 3000, LOOK_EVERY_MS = 500;
const SENT = new Set([" ", ".", "ArrowLeft", "ArrowRight", ..."123456789"]);

function node(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

function isTyping(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

function goTo(name, value) {
  const address = new URL(window.location.href);
  address.searchParams.set(name, value);
  window.location.assign(address);
}

function save({name, bytes}) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], {type: "application/octet-stream"}));
  link.download = name;
  link.click();
  // The browser has begun to take it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), KEEP_FILE_MS);
}

function follow() {
  for (const shown of window.Bokeh.documents) {
    for (const model of shown.all_models) {
      if (model.type === "Figure") model.reset.emit();
    }
  }
}

function help() {
  const shade = node("div", "shade");
  shade.hidden = true;
  const box = node("div", "help");
  box.setAttribute("role", "dialog");
  box.setAttribute("aria-label", "Keys");
  box.append(node("h3", "", "Keys"));
  const list = node("dl");
  for (const [key, what] of KEYS) list.append(node("dt", "", key), node("dd", "", what));
  box.append(list, node("p", "", "The address in the browser always tells what is seen: copy it to come back, or to show it to others."));
  shade.append(box);
  shade.addEventListener("click", () => { shade.hidden = true; });
  return shade;
}

export function render({model}) {
  const root = node("div", "habits");
  const shade = help();
  const lost = node("div", "lost");
  lost.setAttribute("role", "alert");
  lost.hidden = true;

  const local = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const other = model.zone === "UTC" ? local : "UTC";
  const button = (text, title, act) => {
    const made = node("button", "", text);
    made.title = title;
    made.addEventListener("click", act);
    return made;
  };
  const dark = model.theme === "dark";
  root.append(
    button(dark ? "☀ Light" : "☾ Dark", "The page in the other theme", () => goTo("theme", dark ? "light" : "dark")),
    button(`Times: ${model.zone}`, `Write times in ${other}`, () => goTo("tz", other)),
    button("? Keys", "What keys do", () => { shade.hidden = !shade.hidden; }),
    shade, lost);

  const pressed = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.composedPath()[0];
    if (event.key === "Escape" && !shade.hidden) { shade.hidden = true; return; }
    if (isTyping(target)) return;
    // A button that has the focus takes a space as its own.
    if (event.key === " " && target instanceof HTMLElement && target.tagName === "BUTTON") return;
    if (event.key === "?") shade.hidden = !shade.hidden;
    else if (event.key === "/") window.dispatchEvent(new CustomEvent("monitor-search"));
    else if (event.key === "f") follow();
    else if (SENT.has(event.key)) {
      if (!model.replaying && !/\d/.test(event.key)) return;
      model.send_msg({press: event.key});
    } else return;
    event.preventDefault();
  };
  document.addEventListener("keydown", pressed);
  // Tools of the plots ask for files of them; the server makes them.
  const pass = (event) => model.send_msg({save: event.detail});
  window.addEventListener("monitor-save", pass);
  model.on("remove", () => {
    document.removeEventListener("keydown", pressed);
    window.removeEventListener("monitor-save", pass);
    clearInterval(looking);
  });

  model.on("msg:custom", (data) => {
    if (data.file) save(data.file);
    if (data.query !== undefined) window.history.replaceState(null, "", window.location.pathname + data.query);
  });
  model.send_msg({ready: true});

  model.on("old", () => {
    document.documentElement.style.setProperty("--age-opacity", model.old ? "0.6" : "1");
  });

  let asking = false, heardMs = Date.now();
  const echo = window.Bokeh.documents[0].get_model_by_name("echo");
  const heard = () => {
    heardMs = Date.now();
    if (!asking) lost.hidden = true;
  };
  echo.properties.value.change.connect(heard);
  const looking = setInterval(() => {
    const silentMs = Date.now() - heardMs;
    if (asking || silentMs < SILENT_MS) return;
    lost.hidden = false;
    lost.textContent = `✖ The server of this page has sent nothing for ${Math.floor(silentMs / 1000)} s: what you see is old.`;
  }, LOOK_EVERY_MS);
  const ask = async () => {
    try {
      await fetch("health", {cache: "no-store"});
      window.location.reload();
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      setTimeout(ask, ASK_EVERY_MS);
    }
  };
  window.Bokeh.documents[0].on_event("connection_lost", () => {
    if (asking) return;
    asking = true;
    lost.hidden = false;
    lost.textContent = "✖ The server cannot be reached: what you see is old. Trying again; the page comes back by itself.";
    setTimeout(ask, ASK_EVERY_MS);
  });
  return root;
}
