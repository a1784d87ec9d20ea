"""What the page's server holds: viewers, sessions, documents, threads, descriptors."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

import requests

from support.running import DEADLINE_S


class Held(NamedTuple):
    """What the page's process holds."""

    viewers: int
    sessions: int
    documents: int
    threads: int
    descriptors: int


def held(page: subprocess.Popen[str], url: str) -> Held:
    text = requests.get(f"{url}metrics", timeout=DEADLINE_S).text
    lines = dict(line.split() for line in text.splitlines() if line.startswith("monitor_page_"))
    own = [int(lines[f"monitor_page_{name}"]) for name in ("viewers", "sessions", "documents")]
    process = Path(f"/proc/{page.pid}")
    return Held(*own, *(len(list((process / name).iterdir())) for name in ("task", "fd")))
