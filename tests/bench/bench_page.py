"""What an open page with 4 plots at 10 Hz costs the page process, in percent of a core.

Run: .venv/bin/python tests/bench/bench_page.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

PORT, WARM_S, MEASURED_S = 5099, 15, 30
ARGUMENTS = ["--no-sandbox", "--no-first-run", "--disable-gpu", "--disable-background-networking"]


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used, all threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def share(pid: int) -> float:
    before_s, began_s = cpu_s(pid), time.monotonic()
    time.sleep(MEASURED_S)
    return (cpu_s(pid) - before_s) / (time.monotonic() - began_s) * 100


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "monitor.cli", "serve", "--port", str(PORT)]
        page = subprocess.Popen([*command, "--recordings", folder], stdout=subprocess.PIPE)
        assert page.stdout is not None
        while b"http://" not in page.stdout.readline():
            pass
        try:
            time.sleep(WARM_S)
            idle = share(page.pid)
            with sync_playwright() as playwright:
                path = shutil.which("chromium")
                browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
                view = browser.new_page(viewport={"width": 1600, "height": 1000})
                view.goto(f"http://127.0.0.1:{PORT}/")
                view.wait_for_selector("text=/LIVE .*updates/")
                time.sleep(WARM_S)
                viewed = share(page.pid)
                browser.close()
        finally:
            page.terminate()
            page.wait()
    print(f"page process without a viewer  {idle:5.1f} % of a core")
    print(f"page process with one viewer   {viewed:5.1f} % of a core")
    print(f"the viewer                     {viewed - idle:5.1f} % of a core")


if __name__ == "__main__":
    main()
