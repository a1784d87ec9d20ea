"""Random actions on a page by a seed, and what must hold after each of them."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from math import isfinite

from playwright.sync_api import Error, Locator, Page

from support.page_reader import Shown, shown
from support.running import until
from support.watched_page import COUNTS_S, TABS, Watched, rested, show

# Rows that a plot's source holds at most: rollovers of lines, candles, marks, and of heat maps.
MOST_ROWS = 6_000
# An action that cannot be done at once is none.
ACT_MS = 1_500
SPEEDS = ("0.1×", "1×", "10×", "100×", "1000×", "max")
SIZES = ((1280, 720), (1440, 900), (1920, 1080), (390, 844))
LIVE = "Live"


class Monkey:
    """Does what a person could do, chosen by chance; `done` counts it."""

    def __init__(self, watched: Watched, seed: int) -> None:
        self.watched, self.chance = watched, random.Random(seed)
        self.done: Counter[str] = Counter()
        self.differences: list[str] = []
        self.page = self._opened()
        self._acts: list[Callable[[], None]] = [
            *(self.turn_to_a_tab, self.choose_an_instrument, self.click_a_row, self.press_a_key),
            *(self.choose_a_source, self.choose_a_speed, self.seek, self.click_a_button),
            *(self.pan_a_plot, self.zoom_a_plot, self.choose_an_interval, self.filter_the_list),
            *(self.sort_the_list, self.resize, self.reload, self.hide, self.freeze, self.what_if),
            *(self.lose_the_connection, self.look_again),
        ]

    def act(self) -> str:
        """Do something that can be done; return its name."""
        act = self.chance.choice(self._acts)
        try:
            act()
        except Error as error:
            # What is covered or gone cannot be clicked, by a person either.
            if "Timeout" not in str(error):
                raise
            return f"({act.__name__})"
        self.done[act.__name__] += 1
        return act.__name__

    def check(self) -> Shown:
        """Look at the page: no complaint, times in order, nothing too long, a true banner."""
        assert self.watched.wrong == []
        log = self.watched.log.read_text()
        assert "Traceback" not in log, log[log.index("Traceback") :][:3000]
        seen = until(self._true, "a banner that agrees with the chosen source")
        for figure in seen.figures:
            for source in figure.sources:
                times = source["columns"].get("time", source["columns"].get("left", []))
                where = f"{figure.title}, {source['name']}"
                if figure.title.startswith("Depth"):
                    continue
                known = [at for at in times if isinstance(at, (int, float)) and isfinite(at)]
                assert len(times) <= MOST_ROWS, f"{where}: {len(times)} rows"
                back = [(a, b) for a, b in pairwise(known) if b < a]
                assert not back, f"{where}: times run back at {back[:3]}"
        return seen

    def compare(self) -> list[str]:
        """Hold a live page, or a replay that is paused, against SQL."""
        tab = shown(self.page).tab
        show(self.page, tab if tab in TABS else self.chance.choice(TABS))
        if self.page.get_by_placeholder("Filter").is_visible():
            self.page.get_by_placeholder("Filter").fill("")
        seen = shown(self.page)
        recording = self.watched.running.recording
        if seen.is_replay:
            chosen = seen.chosen["Watch"]
            if self.page.get_by_role("button", name="Pause", exact=True).count():
                self.page.get_by_role("button", name="Pause", exact=True).click()
            self.page.wait_for_selector("text=/paused|ended/")
            seen = rested(self.page)
            return self._judged(seen, chosen, False)
        if "STOPPED" in seen.header:
            return []
        # A page whose server attached anew says since when it counts until it has read the rest.
        until(lambda: "counted since" not in shown(self.page).header, "all counts", COUNTS_S)
        with self.watched.frozen(self.page) as seen:
            pass
        until(lambda: "NO ROWS" not in shown(self.page).header, "rows again")
        return self._judged(seen, recording, True)

    def _true(self) -> Shown | None:
        """Return what the page shows if its banner says REPLAY exactly if a recording is chosen."""
        seen = shown(self.page)
        is_live = seen.chosen.get("Watch") == LIVE
        return seen if seen.header and seen.is_replay is not is_live else None

    def _judged(self, seen: Shown, recording: str, is_silent: bool) -> list[str]:
        if not seen.chosen.get("Instrument"):
            return []
        found = self.watched.differences(seen, recording, is_silent)
        self.done["compared"] += 1
        return [f"{seen.tab} at {seen.ord} of {recording}: {said}" for said in found]

    def _opened(self) -> Page:
        page = self.watched.open()
        page.set_default_timeout(ACT_MS)
        return page

    # What follows are the actions.

    def turn_to_a_tab(self) -> None:
        tabs = self.page.locator(".bk-tab")
        tabs.nth(self.chance.randrange(tabs.count())).click()

    def choose_an_instrument(self) -> None:
        self._select(self.page.get_by_label("Instrument"))

    def choose_a_source(self) -> None:
        self._select(self.page.get_by_label("Watch", exact=True))

    def choose_a_speed(self) -> None:
        self.page.get_by_label("Speed").select_option(self.chance.choice(SPEEDS))

    def click_a_row(self) -> None:
        rows = self.page.locator(".watchlist tbody tr:visible")
        if rows.count():
            rows.nth(self.chance.randrange(rows.count())).click()

    def press_a_key(self) -> None:
        self.page.locator("body").press(
            self.chance.choice([" ", ".", "ArrowLeft", "ArrowRight", "f", "Escape", *"12345678"])
        )

    def click_a_button(self) -> None:
        names = ("Pause", "Play", "Step", "Loop from here", "Loop to here", "End the loop")
        self.page.get_by_role("button", name=self.chance.choice(names), exact=True).click()

    def seek(self) -> None:
        box = self._box(self.page.get_by_role("slider", name="Position"))
        self.page.mouse.click(box["x"] + box["width"] * self.chance.random(), box["y"] + 20)

    def pan_a_plot(self) -> None:
        box = self._plot()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + self.chance.randint(-150, 150), y + 5, steps=4)
        self.page.mouse.up()

    def zoom_a_plot(self) -> None:
        box = self._plot()
        self.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        self.page.mouse.wheel(0, self.chance.choice((-300, 300)))

    def choose_an_interval(self) -> None:
        name = self.chance.choice(("1 s", "5 s", "1 min", "5 min"))
        self.page.get_by_role("button", name=name, exact=True).click()

    def filter_the_list(self) -> None:
        words = ("", "btc", "kraken", "nothing at all")
        self.page.get_by_placeholder("Filter").fill(self.chance.choice(words))

    def sort_the_list(self) -> None:
        heads = self.page.locator(".watchlist th:visible")
        heads.nth(self.chance.randrange(max(1, heads.count() - 1))).click()

    def resize(self) -> None:
        width, height = self.chance.choice(SIZES)
        self.page.set_viewport_size({"width": width, "height": height})

    def reload(self) -> None:
        self.page.reload()
        self.page.wait_for_selector("text=/(LIVE|REPLAY) .*updates/", timeout=90_000)

    def hide(self) -> None:
        """Have another tab of the browser in front for a moment."""
        other = self.watched.browser.new_page()
        other.goto("about:blank")
        other.bring_to_front()
        _pass(self.chance.uniform(0.5, 2.0))
        other.close()
        self.page.bring_to_front()

    def freeze(self) -> None:
        """Stop the collector for a moment."""
        pid = self.watched.running.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            _pass(self.chance.uniform(0.2, 4.0))
        finally:
            os.kill(pid, signal.SIGCONT)

    def what_if(self) -> None:
        field = self.page.get_by_label("threshold, bps")
        field.fill(str(self.chance.choice((0, 1, 2.5))))
        field.press("Enter")

    def lose_the_connection(self) -> None:
        """Cut the page's connection; it comes back by itself."""
        self.page.evaluate("window.isOld = true; window.sockets.forEach((one) => one.close())")
        self.page.wait_for_function("!window.isOld", timeout=90_000)
        self.page.wait_for_selector("text=/(LIVE|REPLAY) .*updates/", timeout=90_000)

    def look_again(self) -> None:
        """Close the page and open it anew at the address that it had."""
        query = self.page.url.partition("?")[2]
        self.page.close()
        self.page = self.watched.open(f"?{query}")
        self.page.set_default_timeout(ACT_MS)

    def _select(self, field: Locator) -> None:
        options = field.locator("option").all_inner_texts()
        if options:
            field.select_option(self.chance.choice(options))

    def _plot(self) -> dict[str, float]:
        plots = self.page.locator(".bk-Figure:visible")
        if not plots.count():
            return self._box(self.page.locator(".bk-tab").first)
        chosen = plots.nth(self.chance.randrange(plots.count()))
        chosen.scroll_into_view_if_needed()
        return self._box(chosen)

    def _box(self, place: Locator) -> dict[str, float]:
        place.wait_for()
        box = place.bounding_box()
        assert box is not None
        return dict(box)


def _pass(seconds: float) -> None:
    """Let time pass, as a person does."""
    end_s = time.monotonic() + seconds
    until(lambda: time.monotonic() > end_s, "a moment")
