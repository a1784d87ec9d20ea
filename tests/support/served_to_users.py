"""A page that is served to users with a password."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.settings.passwords import hash_password
from support.running import DEADLINE_S, until

PASSWORD = "a viewer's password"


USERS = f"""
cookie_secret = "a secret that is long enough to sign with"
[page.users.vera]
password_hash = "{hash_password(PASSWORD)}"
[page.users.olga]
password_hash = "{hash_password(PASSWORD)}"
"""


NAME = "monitor.example"


@contextmanager
def serving(folder: Path, page: str = "", address: str = "127.0.0.1") -> Iterator[int]:
    """Serve the page with these settings of `[page]`; yields the port."""
    config = folder / "monitor.toml"
    config.write_text(f'sources = ["mock:BTC-USD"]\n[page]\n{page}')
    command = [sys.executable, "-m", "monitor.cli", "serve", "--port", "0", "--address", address]
    command += ["--config", str(config)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = until(
            lambda: (told := process.stdout.readline()).startswith("monitor: ") and told, "the URL"
        )
        yield int(line.rsplit(":", 1)[1])
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE_S)
