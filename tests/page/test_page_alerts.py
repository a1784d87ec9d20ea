"""Alerts on the page: the bell, toasts, and what several viewers do about them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, sync_playwright
from support.collectors import free_port
from support.running import collector_of, simulator_urls, until
from support.served_page import QUIET, WAIT_MS, answers

from monitor.page.views.bell import Bell
from monitor.processes import locks
from monitor.settings.passwords import hash_password

pytestmark = pytest.mark.browser
Run = Callable[..., Any]
VENUES = ("kraken", "binance-us", "coinbase-exchange", "kraken-v1")
KINDS = ("acknowledged", "muted", "unmuted")
PASSWORD = "a password of some length"
# The first is so as soon as there is a quote, the second never.
RULES = """
[[alerts]]
kind = "spread"
name = "wide <b>"
max_bps = 0.001
match = "*:BTC-*"
severity = "alert"
[[alerts]]
kind = "stale"
age_s = 86400
[hooks]
folder = "hooks"
"""
OWN = """from monitor.hooks import signals

class Hook:
    def start(self):
        return 0

    def step(self, count, batch):
        trades = batch["trade"]
        return count, signals(trades, "info", ["a trade"] * trades.num_rows)
"""
# Counts the tones that the browser is asked for.
LISTEN = """
window.tones = 0;
const start = OscillatorNode.prototype.start;
OscillatorNode.prototype.start = function (...given) {
    window.tones += 1;
    start.apply(this, given);
};
"""
# A busy machine takes its time to look at what goes by itself.
STAY = """
const wait = window.setTimeout;
window.setTimeout = (act, ms, ...given) => wait(act, ms === 9000 ? 90000 : ms, ...given);
"""


class Served(NamedTuple):
    """A page whose collector has alert rules, and a browser."""

    url: str
    held: locks.Held
    browser: Browser
    wrong: list[str]

    def open(self, name: str, query: str = "", scripts: str = LISTEN + STAY) -> Page:
        """Log in as somebody, in a browser of their own."""
        context = self.browser.new_context(viewport={"width": 1280, "height": 720})
        context.grant_permissions(["notifications"], origin=self.url)
        page = context.new_page()
        page.add_init_script(scripts)
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda m: self.wrong.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.goto(f"{self.url}{query}")
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_selector("text=/(LIVE|REPLAY) .*updates/")
        return page

    def add(self, source: str) -> None:
        """Have the collector follow one more instrument."""
        requests.post(
            f"http://{self.held.address}/sources",
            json={"action": "add", "sources": [source]},
            headers={"Authorization": f"Bearer {self.held.token}"},
            timeout=60,
        ).raise_for_status()


@pytest.fixture
def served(tmp_path: Path, background: Run, browser_path: str) -> Iterator[Served]:
    file, port = tmp_path / "config.toml", free_port()
    users = "".join(
        f'[page.users.{name}]\npassword_hash = "{hash_password(PASSWORD)}"\nrole = "{role}"\n'
        for name, role in {"olga": "operator", "oskar": "operator", "vera": "viewer"}.items()
    )
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / "own.py").write_text(OWN)
    file.write_text(f'{RULES}\n[page]\ncookie_secret = "{"s" * 40}"\n{users}')
    # Venues of their own: what is added to a venue may end the quotes of the others on its line.
    exchange = background("simulate", *VENUES)
    endpoints = [part for _ in VENUES for part in ("--endpoint", simulator_urls(exchange))]
    background("serve", "kraken:BTC-USD", *endpoints, "--port", port, "--config", file)
    held = collector_of(tmp_path / "recordings")
    url = f"http://127.0.0.1:{port}/"
    until(lambda: answers(f"{url}login"), "the page")
    arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=arguments)
        try:
            yield Served(url, held, browser, [])
        finally:
            browser.close()


def bell(page: Page) -> Locator:
    return page.locator(".ring")


def line(page: Page, symbol: str) -> Locator:
    """The line of an alert in the bell's panel."""
    return page.locator(".bell li", has=page.locator(".where")).filter(
        has=page.get_by_text(symbol, exact=True)
    )


def test_alerts_are_told_acknowledged_and_muted_for_everyone(served: Served, monitor: Run) -> None:
    olga, oskar, vera = (served.open(name) for name in ("olga", "oskar", "vera"))
    for page in (olga, oskar, vera):
        until(lambda page=page: bell(page).inner_text() == "1", "the alert on the bell")
        # It is older than the page.
        assert page.locator(".toast").count() == 0
        bell(page).click()
    assert "wide <b>: " in line(olga, "kraken:BTC-USD").inner_text()
    assert "✖ alert" in line(olga, "kraken:BTC-USD").inner_text()
    assert vera.get_by_role("button", name="Acknowledge", exact=True).count() == 0
    assert vera.locator(".bell select").count() == 0

    olga.get_by_role("button", name="♪ Sound: off").click()
    assert olga.evaluate("window.tones") == 1
    olga.get_by_role("button", name="Notifications: off").click()
    olga.get_by_role("button", name="Notifications: on").wait_for()
    served.add("binance-us:BTC-USDT")
    for page in (olga, oskar, vera):
        toast = page.locator(".toast.alert")
        toast.filter(has_text="binance-us:BTC-USDT").filter(has_text="wide <b>: ").wait_for()
        until(lambda page=page: bell(page).inner_text() == "2", "one alert more")
    assert [page.evaluate("window.tones") for page in (olga, oskar)] == [2, 0]
    toast = oskar.locator(".toast")
    toast.get_by_role("button", name="✕").click()
    assert toast.count() == 0

    line(oskar, "kraken:BTC-USD").get_by_role("button", name="Acknowledge", exact=True).click()
    for page in (olga, vera):
        line(page, "kraken:BTC-USD").filter(has_text="acknowledged by oskar").wait_for()
        until(lambda page=page: bell(page).inner_text() == "1", "the one that nobody acknowledged")
    choice = olga.get_by_label("Mute wide <b> of binance-us:BTC-USDT")
    choice.select_option(value=json.dumps(["*", 3600], separators=(",", ":")))
    for page in (olga, oskar, vera):
        until(lambda page=page: bell(page).inner_text() == "0", "nothing that is to be told")
        page.locator(".bell li", has_text="■ muted").filter(has_text="by olga").wait_for()
    # What is muted fires all the same, and is told of to nobody.
    served.add("coinbase-exchange:BTC-USD")
    for page in (olga, vera):
        line(page, "coinbase-exchange:BTC-USD").filter(has_text="muted").wait_for()
        assert page.locator(".toast", has_text="coinbase-exchange:BTC-USD").count() == 0
    assert olga.evaluate("window.tones") == 2
    oskar.get_by_role("button", name="Unmute").click()
    # Of three one is acknowledged.
    until(lambda: bell(olga).inner_text() == "2", "the alerts again")

    # A page that is opened later sees what is active.
    late = served.open("vera", "?theme=light", scripts="")
    until(lambda: bell(late).inner_text() == "2", "the alerts on another page")
    assert late.locator(".toast").count() == 0
    bell(late).click()
    served.add("kraken-v1:BTC-USD")
    late.locator(".toast").wait_for()
    # It goes by itself.
    until(lambda: late.locator(".toast").count() == 0, "its end")
    assert served.wrong == []
    done = monitor(
        "sql",
        f"SELECT kind, detail FROM status WHERE kind IN {KINDS} ORDER BY ord",
        "--format",
        "csv",
    )
    assert done.returncode == 0, done.stderr
    told = [tuple(line.split(",", 1)) for line in done.stdout.splitlines()[1:]]
    assert [kind for kind, _ in told] == list(KINDS)
    assert re.fullmatch('"wide <b> of kraken:BTC-USD, since 2[^ ]*, by oskar"', told[0][1])
    assert re.fullmatch('"wide <b> of [*], until 2[^ ]*, by olga"', told[1][1])
    assert told[2][1] == '"wide <b> of *, by oskar"'


def test_rules_are_added_on_the_page_tried_and_replayed(served: Served) -> None:
    olga = served.open("olga", "?layout=alerts")
    vera = served.open("vera", "?layout=alerts")
    for page in (olga, vera):
        page.locator("tr", has_text="wide <b>").filter(has_text="from the configuration").wait_for()
    assert vera.get_by_label("Kind").count() == 0

    def fill(label: str, text: str) -> None:
        olga.get_by_label(label, exact=True).fill(text)
        olga.get_by_label(label, exact=True).press("Tab")

    olga.get_by_role("button", name="Add", exact=True).click()
    olga.wait_for_selector("text=/✖ spread: Value error, expected max_bps or min_bps, found/")
    olga.get_by_label("Kind", exact=True).select_option("stale")
    age = olga.get_by_label("Age (s)", exact=True)
    until(lambda: age.input_value() == "10", "the default of the rule's model")
    olga.get_by_label("Kind", exact=True).select_option("spread")
    fill("Max (bps)", "0.001")
    fill("Watches (pattern)", "kraken:*")
    fill("Name (none: the kind)", "added <i>")
    olga.get_by_role("button", name="Add", exact=True).click()
    olga.wait_for_selector("text=in force for everyone")
    for page in (olga, vera):
        page.locator(".toast.warn", has_text="added <i>: ").wait_for()
        page.locator("td", has_text="added <i>").wait_for()
    assert vera.get_by_role("button", name="Edit").count() == 0

    olga.get_by_role("button", name="Edit").click()
    olga.wait_for_selector("text=changing added <i>")
    assert olga.get_by_label("Watches (pattern)", exact=True).input_value() == "kraken:*"
    fill("Max (bps)", "9000")
    olga.get_by_role("button", name="Save the change").click()
    bell(olga).click()
    line(olga, "kraken:BTC-USD").filter(has_text="added <i>").filter(has_text="● over").wait_for()
    bell(olga).click()

    olga.get_by_label("Try on a recording").select_option(served.held.recording)
    olga.get_by_role("button", name="Try", exact=True).click()
    tried = olga.locator(".panel", has_text=f"Tried on {served.held.recording}")
    tried.filter(has_text="alert kraken:BTC-USD wide <b>: ").wait_for()
    assert "added <i>" not in tried.inner_text()
    fill("Max (bps)", "0.002")
    olga.get_by_label("of", exact=True).select_option("the rule in the form")
    olga.get_by_role("button", name="Try", exact=True).click()
    tried.filter(has_text="warn kraken:BTC-USD spread: ").wait_for()
    olga.get_by_role("button", name="Remove").click()
    olga.wait_for_selector("text=added <i>: removed for everyone, no longer in force")
    assert olga.locator("text=in force for everyone").count() == 0
    until(lambda: vera.locator("td", has_text="added <i>").count() == 0, "a rule that is gone")

    # A replay runs the rules in force and the user's own hooks again, and gives no toast.
    again = served.open("olga", f"?source={served.held.recording}&theme=light")
    until(lambda: bell(again).inner_text() == "1", "the alert that was recorded")
    bell(again).click()
    line(again, "kraken:BTC-USD").filter(has_text="(recomputed)").wait_for()
    assert again.locator(".bell select").count() == 0
    again.locator("td", has_text="own, recomputed").first.wait_for()
    assert again.locator(".toast").count() == 0
    assert served.wrong == []


def test_who_may_only_look_can_send_nothing() -> None:
    asked: list[Any] = []
    heard = Bell(False, lambda wanted: asked.append(wanted) or "")
    heard._handle_msg({"action": "unmute", "rule": "stale", "where": "*"})
    assert asked == []
