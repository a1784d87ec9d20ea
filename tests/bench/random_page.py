"""An hour of random actions on a page, and what it showed otherwise than SQL says.

Run: .venv/bin/python tests/bench/random_page.py [MINUTES, 60 [SEED, 1 [FAULT…]]]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.random_actions import Monkey
from support.watched_page import watching

FAULTS = ("gap@40", "crc@60", "reset@90", "half-open@150", "corrupt@70", "duplicate@30")
COMPARE_EVERY = 12


def main() -> None:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    faults = tuple(sys.argv[3:]) or FAULTS
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    assert browser, "expected Chromium, found none"
    # The files stay where something went wrong.
    home = Path(tempfile.mkdtemp(prefix="random-page-"))
    broken: list[str] = []
    with watching(home, browser, faults) as watched:
        monkey, end_s = Monkey(watched, seed), time.monotonic() + minutes * 60
        actions = 0
        while time.monotonic() < end_s:
            actions += 1
            name = monkey.act()
            try:
                monkey.check()
                found = monkey.compare() if actions % COMPARE_EVERY == 0 else []
            except AssertionError as error:
                broken.append(f"after {actions} actions ({name}): {error}")
                print(broken[-1], flush=True)
                monkey.page.screenshot(path=home / f"{actions}.png")
                watched.wrong.clear()
                continue
            monkey.differences += found
            print("\n".join(found), end="\n" if found else "", flush=True)
        done = ", ".join(f"{name} {count}" for name, count in sorted(monkey.done.items()))
        print(f"{actions} actions in {minutes:g} min with seed {seed}: {done}")
        print(f"{len(monkey.differences)} differences from SQL, {len(broken)} broken rules")
    if broken or monkey.differences:
        print(f"files: {home}")
        sys.exit(1)
    shutil.rmtree(home)


if __name__ == "__main__":
    main()
