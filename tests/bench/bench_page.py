"""What the page costs and how soon it shows what came, from a real browser, beside the plain way.

Watch on 20 instruments at 20,000 messages a second, ten times a second. The plain way draws the
same rows by `hv.streams.Buffer` in the same run.
Run: .venv/bin/python tests/bench/bench_page.py [MINUTES of heap, 4]
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from busy import RATE, busy_collector
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from support.raw_viewer import RawViewer

OF_EACH, MORE, PORT, WARM_S, MEASURED_S, ZOOMS = 5, 3, 5099, 12, 20, 10
URL = f"http://127.0.0.1:{PORT}/"
ARGUMENTS = ["--no-sandbox", "--no-first-run", "--disable-gpu", "--disable-background-networking"]
PLAIN = Path(__file__).with_name("plain_buffer.py")
# Notes when each row comes to the first line of the price plot, each frame, and each paint.
NOTE = """() => {
    const view = Bokeh.index.query_one((view) =>
        view.model.type === "Figure" && view.model.title.text.startsWith("Price"));
    const source = view.model.renderers[0].data_source;
    const noted = window.noted = {waited: [], frames: 0, zoomed: 0};
    const newest = () => source.data.time[source.data.time.length - 1] || 0;
    let last = newest();
    source.streaming.connect(() => {
        const times = source.data.time, at = performance.timeOrigin + performance.now();
        for (let row = times.length - 1; row >= 0 && times[row] > last; row--)
            noted.waited.push(at - times[row]);
        last = newest();
    });
    const frame = () => { noted.frames++; requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
    const span = () => view.model.x_range.end - view.model.x_range.start;
    let turned = 0, before = 0;
    addEventListener("wheel", () => { turned = performance.now(); before = span(); }, true);
    const paint = view._actual_paint.bind(view);
    view._actual_paint = () => {
        paint();
        if (turned && Math.abs(span() / before - 1) > 0.02) {
            noted.zoomed = performance.now() - turned;
            turned = 0;
        }
    };
}"""
FIRST_ROW = """() => {
    const found = window.Bokeh?.index?.query_one?.((view) =>
        view.model.type === "Figure" && view.model.title.text.startsWith("Price"));
    const rows = found && found.model.renderers[0].data_source.data.time.length;
    return rows ? performance.now() : false;
}"""
# How long each refresh since a moment took to the browser and back, as the page shows it.
ECHOED = """(since) => {
    const found = Bokeh.index.query_one((view) =>
        view.model.type === "Figure" && view.model.title.text.startsWith("Latency"));
    const {time, ms} = found.model.renderers[3].data_source.data;
    return Array.from(ms).filter((_, row) => time[row] > since);
}"""
FIRST_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used, all threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def share(pid: int, seconds: float = 30) -> float:
    """Return what a process uses for so long, in percent of a core."""
    before_s, began_s = cpu_s(pid), time.monotonic()
    time.sleep(seconds)
    return (cpu_s(pid) - before_s) / (time.monotonic() - began_s) * 100


def tell(what: str, measured: float, unit: str, limit: str) -> None:
    print(f"{what:54} {measured:8.1f} {unit:14} {limit}", flush=True)


@contextlib.contextmanager
def served(*command: str, folder: Path) -> Iterator[int]:
    """Run a server until the block ends; yields its PID once it listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--port", str(PORT)],
        env={**os.environ, "MONITOR_RECORDINGS": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", PORT)):
                break
            time.sleep(0.1)
        time.sleep(WARM_S)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


class Devtools:
    """What Chromium counts of a page."""

    def __init__(self, page: Page) -> None:
        self._line = page.context.new_cdp_session(page)
        self._line.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy_s(self) -> float:
        """Seconds that the main thread has worked."""
        metrics = self._line.send("Performance.getMetrics")["metrics"]
        return float(next(m["value"] for m in metrics if m["name"] == "TaskDuration"))

    def heap_mb(self) -> float:
        self._line.send("HeapProfiler.collectGarbage")
        return float(self._line.send("Runtime.getHeapUsage")["usedSize"]) / 2**20


def measure_browser(view: Page, pid: int, idle: float) -> float:
    """Print what one viewer of Watch costs and gets; return the first of it."""
    tools = Devtools(view)
    view.evaluate(NOTE)
    since_ms = time.time() * 1e3
    busy_s, began_s = tools.busy_s(), time.monotonic()
    used = share(pid, MEASURED_S) - idle
    busy_s, took_s = tools.busy_s() - busy_s, time.monotonic() - began_s
    noted = view.evaluate("() => window.noted")
    tell("the first viewer adds to the server", used, "% of a core", "at most 8")
    p50, p95 = np.percentile(noted["waited"], [50, 95])
    echoed = np.percentile(view.evaluate(ECHOED, since_ms), 95)
    tell("a refresh to the browser and back, p95", echoed, "ms", "at most 30 one way")
    tell("row to browser, p50", p50, "ms", "")
    tell("row to browser, p95", p95, "ms", "at most 130")
    tell("the browser's main thread works", busy_s / took_s * 100, "% of the time", "at most 30")
    tell("frames", noted["frames"] / took_s, "a second", "at least 50")
    return used


def measure_zoom(view: Page) -> None:
    box = view.locator(".bk-Figure:visible").first.bounding_box()
    assert box is not None
    view.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    took = []
    for turn in range(ZOOMS):
        view.evaluate("() => { window.noted.zoomed = 0; }")
        view.mouse.wheel(0, -200 if turn % 2 else 200)
        view.wait_for_function("() => window.noted.zoomed > 0")
        took.append(view.evaluate("() => window.noted.zoomed"))
    tell("from the turn of the wheel to the plot drawn anew", np.median(took), "ms", "at most 50")


def measure_heap(view: Page, minutes: float) -> None:
    """Print how much the heap is larger in the second half of a time than in the first."""
    tools, found = Devtools(view), []
    ends_s = time.monotonic() + minutes * 60
    while time.monotonic() < ends_s:
        found.append(tools.heap_mb())
        time.sleep(10)
    first, second = (np.median(half) for half in np.array_split(found, 2))
    tell(f"the browser's heap of {first:.1f} MB grows", (second / first - 1) * 100, "%", "flat")


def measure_page(browser: Browser, pid: int, minutes: float) -> float:
    idle = share(pid, MEASURED_S)
    tell("the server without a viewer", idle, "% of a core", "")
    view = browser.new_page(viewport={"width": 1600, "height": 1000})
    view.goto(URL, wait_until="commit")
    first_ms = view.wait_for_function(FIRST_ROW, polling=20).json_value()
    tell("first paint", view.evaluate(FIRST_PAINT), "ms", "at most 2,000")
    tell("first live row in the plot", first_ms, "ms", "at most 3,000")
    time.sleep(WARM_S)
    used = measure_browser(view, pid, idle)
    measure_zoom(view)
    measure_heap(view, minutes)
    view.close()
    time.sleep(WARM_S * 2)
    idle = share(pid, MEASURED_S)
    with contextlib.ExitStack() as stack:
        for _ in range(MORE):
            stack.enter_context(RawViewer(URL))
        time.sleep(WARM_S)
        each = (share(pid, MEASURED_S) - idle) / MORE
    tell(f"each of {MORE} viewers adds to the server", each, "% of a core", "at most 5")
    return used


def measure_plain(browser: Browser, pid: int) -> float:
    idle = share(pid, MEASURED_S)
    view = browser.new_page(viewport={"width": 1600, "height": 1000})
    view.goto(URL)
    view.wait_for_selector(".bk-Figure")
    time.sleep(WARM_S)
    used = share(pid, MEASURED_S) - idle
    view.close()
    tell("a viewer of the plain way adds to the server", used, "% of a core", "")
    return used


def main() -> None:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 4.0
    print(f"{4 * OF_EACH} instruments at {RATE:,} messages a second, Watch at 10 Hz")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(busy_collector(folder, OF_EACH))
        path = shutil.which("chromium")
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        stack.callback(browser.close)
        with served("monitor.cli", "serve", "--recordings", str(folder), folder=folder) as pid:
            ours = measure_page(browser, pid, minutes)
        with served("panel", "serve", str(PLAIN), folder=folder) as pid:
            plain = measure_plain(browser, pid)
    tell("the plain way costs so many times ours", plain / ours, "times", "at least 8")


if __name__ == "__main__":
    main()
