// The whole of what is replayed in the browser: activity, marks, signals, the position; a click seeks.

const HEIGHT = 46;

export function render({model}) {
  const root = document.createElement("div");
  root.className = "minimap";
  const canvas = document.createElement("canvas");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "slider");
  canvas.setAttribute("aria-label", "Position in the recording");
  const told = document.createElement("div");
  told.className = "told";
  root.append(canvas, told);
  let overview = null;
  let at = 0;
  let loop = null;
  let hint = "";

  function paint() {
    const width = canvas.clientWidth;
    if (!width) return;
    const scale = window.devicePixelRatio || 1;
    canvas.width = width * scale;
    canvas.height = HEIGHT * scale;
    const style = getComputedStyle(canvas);
    const color = (name) => style.getPropertyValue(`--${name}`).trim();
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.fillStyle = color("panel");
    pen.fillRect(0, 0, width, HEIGHT);
    if (loop) {
      pen.fillStyle = color("hover");
      pen.fillRect(loop[0] * width, 0, Math.max(2, (loop[1] - loop[0]) * width), HEIGHT);
    }
    if (overview) {
      const wide = width / overview.rows.length;
      const most = Math.max(1, ...overview.rows);
      pen.fillStyle = color("muted");
      overview.rows.forEach((rows, slice) => {
        const high = Math.sqrt(rows / most) * (HEIGHT - 16);
        pen.fillRect(slice * wide, HEIGHT - high, Math.max(wide - 0.5, 0.5), high);
      });
      overview.marks.forEach((marks, slice) => {
        if (!marks) return;
        pen.fillStyle = color("bad");
        const x = (slice + 0.5) * wide;
        pen.beginPath();
        pen.moveTo(x - 3.5, 8); pen.lineTo(x, 1); pen.lineTo(x + 3.5, 8);
        pen.fill();
        pen.fillRect(x - 0.5, 8, 1, HEIGHT);
      });
      overview.signals.forEach((signals, slice) => {
        if (!signals) return;
        pen.fillStyle = color("info");
        pen.beginPath();
        pen.arc((slice + 0.5) * wide, 12, 2.5, 0, 7);
        pen.fill();
      });
    }
    pen.fillStyle = color("strong");
    pen.fillRect(Math.min(width - 2, at * width), 0, 2, HEIGHT);
  }

  function tell() {
    const text = hint || (overview ? "bars: rows received · ▲ gaps and incidents · ● signals · click to seek" : "counting what was recorded …");
    if (told.textContent !== text) told.textContent = text;
  }

  const share = (event) => {
    const box = canvas.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  canvas.addEventListener("click", (event) => model.send_msg({seek: share(event)}));
  canvas.addEventListener("pointermove", (event) => {
    if (!overview) return;
    const slice = Math.min(overview.rows.length - 1, Math.floor(share(event) * overview.rows.length));
    hint = `${overview.rows[slice].toLocaleString("en-US")} rows · ${overview.marks[slice]} gaps and incidents · ${overview.signals[slice]} signals`;
    tell();
  });
  canvas.addEventListener("pointerleave", () => { hint = ""; tell(); });
  const size = new ResizeObserver(paint);
  size.observe(canvas);
  model.on("remove", () => size.disconnect());
  model.on("msg:custom", (data) => {
    if (data.at !== undefined) { at = data.at; canvas.setAttribute("aria-valuenow", Math.round(at * 100)); }
    if (data.loop !== undefined) loop = data.loop;
    if (data.overview !== undefined) overview = data.overview;
    if (data.trouble) hint = data.trouble;
    tell();
    paint();
  });
  tell();
  model.send_msg({ready: true});
  return root;
}
