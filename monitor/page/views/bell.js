// The bell in the browser: its panel, toasts that go by themselves, a sound and notifications.

const MOST_TOASTS = 4;
const TOAST_MS = 9000;
const EDGE_PX = 14;
const BELL = "M8 1a1 1 0 0 0-1 1v.6A4.5 4.5 0 0 0 3.5 7v3L2 12v1h12v-1l-1.5-2V7A4.5 4.5 0 0 0 9 2.6V2a1 1 0 0 0-1-1zM6 14a2 2 0 0 0 4 0z";
const SHAPES = {warn: "▲", alert: "✖"};
const MUTES = [["15 min", 900], ["1 h", 3600], ["8 h", 28800], ["until unmuted", null]];
// What is chosen for this browser is kept in it, where it lets us.
const kept = {
  get(name) { try { return window.localStorage.getItem(name) === "on"; } catch { return false; } },
  set(name, on) { try { window.localStorage.setItem(name, on ? "on" : "off"); } catch { /* for this page only */ } },
};

function node(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

function button(text, title, act) {
  const made = node("button", "", text);
  made.title = title;
  made.addEventListener("click", act);
  return made;
}

function drawn(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(svg.namespaceURI, "path"));
  svg.firstChild.setAttribute("d", path);
  return svg;
}

function level(row) {
  if (row.over) return node("span", "level over", "● over");
  return node("span", `level ${row.level}`, `${SHAPES[row.level]} ${row.level}`);
}

// Why there can be no notifications, if so.
function refusal() {
  if (!window.isSecureContext) return "Browsers show notifications only of pages that come by https or from this machine.";
  if (!("Notification" in window)) return "This browser knows no notifications.";
  if (Notification.permission === "denied") return "This browser refuses notifications of this page: allow them in its settings for this site.";
  return "";
}

export function render({model}) {
  const root = node("div", "bell");
  const ring = button("", "", () => {
    box.hidden = !box.hidden;
    ring.setAttribute("aria-expanded", !box.hidden);
    const {left} = ring.getBoundingClientRect();
    const most = document.documentElement.clientWidth - box.offsetWidth - EDGE_PX;
    box.style.left = `${Math.max(EDGE_PX, Math.min(left, most)) - left}px`;
  });
  ring.className = "ring";
  const count = node("span", "", "0");
  ring.append(drawn(BELL), count);
  const box = node("div", "box");
  box.hidden = true;
  box.setAttribute("role", "dialog");
  box.setAttribute("aria-label", "Alerts");
  const title = node("h3", "", "Alerts");
  const sound = button("", "A short sound for a new alert, in this browser", () => turn("monitor-sound"));
  const notify = button("", "A notification of the browser for a new alert", ask);
  const head = node("div", "head");
  head.append(title, sound, notify);
  const note = node("div", "note");
  note.setAttribute("role", "status");
  const list = node("ul");
  const muted = node("ul");
  box.append(head, note, list, muted);
  const toasts = node("div", "toasts");
  toasts.setAttribute("role", "status");
  root.append(ring, box, toasts);

  let mayAct = false;
  let isLive = true;
  let lines = new Map();
  let audio = null;

  function switches() {
    sound.textContent = kept.get("monitor-sound") ? "♪ Sound: on" : "♪ Sound: off";
    const notifies = kept.get("monitor-notify") && !refusal() && Notification.permission === "granted";
    notify.textContent = notifies ? "Notifications: on" : "Notifications: off";
  }

  function turn(name) {
    kept.set(name, !kept.get(name));
    switches();
    if (name === "monitor-sound" && kept.get(name)) beep("warn");
  }

  async function ask() {
    note.textContent = refusal();
    if (note.textContent || kept.get("monitor-notify") && Notification.permission === "granted") {
      kept.set("monitor-notify", false);
    } else {
      kept.set("monitor-notify", await Notification.requestPermission() === "granted");
      note.textContent = refusal();
    }
    switches();
  }

  function beep(of) {
    audio ||= new AudioContext();
    // A browser lets a page sound only once somebody has clicked on it.
    audio.resume();
    const tone = audio.createOscillator();
    const gain = audio.createGain();
    const now = audio.currentTime;
    tone.frequency.value = of === "alert" ? 880 : 587;
    gain.gain.setValueAtTime(0.15, now);
    gain.gain.exponentialRampToValueAtTime(0.001, now + 0.35);
    tone.connect(gain).connect(audio.destination);
    tone.start(now);
    tone.stop(now + 0.35);
  }

  function toast(row, text) {
    const made = node("div", `toast ${row.level}`);
    const told = node("div");
    told.append(level(row), ` ${row.where}`, node("br"), text);
    let timer = 0;
    const go = () => { clearTimeout(timer); made.remove(); };
    const wait = () => { timer = setTimeout(go, TOAST_MS); };
    made.addEventListener("pointerenter", () => clearTimeout(timer));
    made.addEventListener("pointerleave", wait);
    made.append(told, button("✕", "Close", go));
    toasts.append(made);
    while (toasts.children.length > MOST_TOASTS) toasts.firstChild.remove();
    wait();
  }

  function tell(news, more) {
    // The oldest first: the newest is at the bottom.
    for (const row of [...news].reverse()) {
      toast(row, row.text);
      if (kept.get("monitor-notify") && !refusal() && Notification.permission === "granted") {
        new Notification(`${row.level}: ${row.where}`, {body: row.text, tag: `${row.rule} ${row.where}`});
      }
    }
    if (more) toast(news[0], `and ${more} more alerts: see the bell`);
    const worst = news.some((row) => row.level === "alert") ? "alert" : "warn";
    if (kept.get("monitor-sound")) beep(worst);
  }

  const send = (action, row, more) => model.send_msg({action, rule: row.rule, where: row.where, ...more});

  function actions(row) {
    const acts = node("div", "acts");
    if (row.over || !mayAct || !isLive || row.origin !== "recorded") return acts;
    if (!row.by) acts.append(button("Acknowledge", "Seen: for everyone", () => send("acknowledge", row, {since: row.since})));
    const choose = node("select");
    choose.setAttribute("aria-label", `Mute ${row.rule} of ${row.where}`);
    choose.append(new Option("Mute …", ""));
    for (const [label, place] of [[`${row.rule} of ${row.where}`, row.where], [`all of ${row.rule}`, "*"]]) {
      const group = node("optgroup");
      group.label = label;
      for (const [text, seconds] of MUTES) group.append(new Option(text, JSON.stringify([place, seconds])));
      choose.append(group);
    }
    choose.addEventListener("change", () => {
      const [where, seconds] = JSON.parse(choose.value);
      send("mute", {rule: row.rule, where}, {seconds});
      choose.value = "";
    });
    acts.append(choose);
    return acts;
  }

  function line(row) {
    const made = node("li");
    const what = node("div", "text");
    what.append(node("span", "where", row.where), ` ${row.text}`);
    const told = [];
    if (row.over) told.push(`over at ${row.over}`);
    if (row.by) told.push(`acknowledged by ${row.by}`);
    if (row.muted) told.push("muted");
    if (row.origin !== "recorded") told.push(row.origin);
    if (told.length) what.append(" ", node("span", "muted", `(${told.join(", ")})`));
    made.append(node("span", "time", row.time), level(row), what, actions(row));
    return made;
  }

  function show(data) {
    isLive = data.live;
    count.textContent = data.count;
    ring.className = data.count ? "ring some" : "ring";
    ring.title = `${data.count} active alerts that nobody acknowledged, ${data.active} active in all`;
    ring.setAttribute("aria-label", `Alerts: ${data.count} not acknowledged`);
    title.textContent = `Alerts: ${data.active} active`;
    // A line that did not change stays as it is: somebody may be choosing in it.
    const next = new Map();
    for (const row of data.rows) {
      const key = JSON.stringify([row, mayAct, isLive]);
      next.set(key, lines.get(key) || line(row));
    }
    lines = next;
    const shown = [...lines.values()];
    if (!shown.length) shown.push(node("li", "muted none", "None yet. A rule tells here when it fires."));
    shown.forEach((one, at) => { if (list.children[at] !== one) list.insertBefore(one, list.children[at] || null); });
    while (list.children.length > shown.length) list.lastChild.remove();
    muted.replaceChildren(...data.mutes.map((mute) => {
      const made = node("li");
      const what = `${mute.rule} of ${mute.where === "*" ? "everything" : mute.where}`;
      const until = mute.until ? `until ${mute.until}` : "until unmuted";
      const acts = node("div", "acts");
      if (mayAct && isLive) acts.append(button("Unmute", "Tell of it again", () => send("unmute", mute)));
      made.append(node("span", "time", until), node("span", "level", "■ muted"), node("div", "text", `${what}, by ${mute.by}`), acts);
      return made;
    }));
  }

  const away = (event) => {
    if (event.type === "keydown" ? event.key === "Escape" : !event.composedPath().includes(root)) {
      box.hidden = true;
      ring.setAttribute("aria-expanded", "false");
    }
  };
  document.addEventListener("click", away);
  document.addEventListener("keydown", away);
  model.on("remove", () => {
    document.removeEventListener("click", away);
    document.removeEventListener("keydown", away);
  });

  model.on("msg:custom", (data) => {
    if (data.may_act !== undefined) mayAct = data.may_act;
    if (data.rows) show(data);
    if (data.note !== undefined) note.textContent = data.note;
    if (data.news && data.news.length) tell(data.news, data.more);
  });
  switches();
  model.send_msg({ready: true});
  return root;
}
