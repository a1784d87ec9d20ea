"""What many viewers that come, freeze and go leave in the page's process, and do to each other.

Run: .venv/bin/python tests/bench/bench_viewers.py [VIEWERS [AT ONCE]]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench_page import cpu_s
from support.raw_viewer import RawViewer
from support.server_holdings import Held, held

PORT, WATCHED_S, SETTLE_S = 5098, 5.0, 120.0


def settled(page: subprocess.Popen[str], url: str) -> tuple[float, Held]:
    """Wait until no session is left; return how long that took, and what is held then."""
    began_s = time.monotonic()
    while held(page, url).sessions and time.monotonic() - began_s < SETTLE_S:
        time.sleep(0.5)
    took_s = time.monotonic() - began_s
    # Memory is cleaned up when it is next used.
    while held(page, url).documents and time.monotonic() - began_s < SETTLE_S:
        time.sleep(0.5)
    return took_s, held(page, url)


def rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def pace(viewers: list[RawViewer]) -> float:
    """Return how many refreshes a second the slowest of the viewers has."""
    before, began_s = [viewer.refreshes for viewer in viewers], time.monotonic()
    time.sleep(WATCHED_S)
    gained = (v.refreshes - b for v, b in zip(viewers, before, strict=True))
    return min(gained) / (time.monotonic() - began_s)


def main() -> None:
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    at_once = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "monitor.cli", "serve", "--port", str(PORT)]
        page = subprocess.Popen(
            [*command, "--recordings", folder], stdout=subprocess.PIPE, text=True
        )
        assert page.stdout is not None
        while "http://" not in page.stdout.readline():
            pass
        url = f"http://127.0.0.1:{PORT}/"
        try:
            with RawViewer(url):
                pass
            _, before = settled(page, url)
            print(f"before: {before}, {rss_mb(page.pid):.0f} MB", flush=True)
            spent_s, paces = cpu_s(page.pid), (0.0, 0.0)
            for at in range(0, total, at_once):
                with ExitStack() as stack:
                    count = min(at_once, total - at)
                    viewers = [stack.enter_context(RawViewer(url)) for _ in range(count)]
                    if at == 0:
                        alone = pace(viewers)
                        viewers[0].freeze()
                        paces = alone, pace(viewers[1:])
                    connected = held(page, url)
                print(
                    f"{at + count} opened, {connected.viewers} at once, {rss_mb(page.pid):.0f} MB",
                    flush=True,
                )
            took_s, after = settled(page, url)
            spent_s = cpu_s(page.pid) - spent_s
            print(f"after:  {after}, {rss_mb(page.pid):.0f} MB")
            print(f"the last sessions ended {took_s:.1f} s behind their tabs")
            print(f"{spent_s / total:.2f} s of a core for a page that is opened and closed")
            print(
                f"slowest of {at_once} viewers: {paces[0]:.1f} refreshes a second, "
                f"{paces[1]:.1f} beside a frozen one"
            )
        finally:
            page.terminate()
            page.wait()


if __name__ == "__main__":
    main()
