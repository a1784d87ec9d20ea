"""Recordings and SQL in a real browser: what a viewer does there, and what is on the disk after."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, urlparse

import duckdb
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from support.collectors import free_port
from support.made_recording import Made, alter
from support.running import DEADLINE_S, until
from support.statements import ENDLESS

pytestmark = pytest.mark.browser

WAIT_MS = 90_000
QUOTES = 120
# A name is a folder's: it may hold whatever a file system allows.
SPARE = "spare <b>&'\""
ASKED = "SELECT ts_recv, venue, bid, ask FROM quote WHERE recording = 'made' ORDER BY ord"


class Served(NamedTuple):
    """A page that is served on a folder, with a browser to look at it."""

    folder: Path
    url: str
    pid: int
    browser: Browser

    def open(self, query: str = "") -> Page:
        page = self.browser.new_page(viewport={"width": 1280, "height": 720})
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda m: _complain(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: _complain(str(error)))
        page.goto(self.url + query)
        return page

    def workers(self, module: str) -> list[int]:
        """Return the child processes of the page's that run a module."""
        found = []
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            try:
                children = [int(child) for child in (task / "children").read_text().split()]
                lines = [(c, Path(f"/proc/{c}/cmdline").read_text()) for c in children]
            except (FileNotFoundError, ProcessLookupError):
                continue
            found += [child for child, line in lines if module in line]
        return found


complaints: list[str] = []


def _complain(text: str) -> None:
    complaints.append(text)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, browser_path: str) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("page") / "recordings"
    made = Made()
    made.listed(0)
    for number in range(QUOTES):
        at_s, bid = 1 + number / 10, 100.0 + number / 8
        made.quote(at_s, ("bid", bid, 1.0), ("ask", bid + 0.25, 2.0), "native")
    for name in ("made", "broken", SPARE):
        file = made.record(folder / name)
    alter(folder / "broken" / "000.duckdb", "UPDATE quote SET bid = 7 WHERE ord = 5")
    assert file.exists()
    port = free_port()
    command = [sys.executable, "-m", "monitor.cli", "serve", "--port", str(port)]
    with subprocess.Popen([*command, "--recordings", str(folder)]) as server:
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=browser_path, args=["--no-sandbox", "--no-first-run"]
                )
                url = f"http://127.0.0.1:{port}/"
                until(lambda: _answers(url), "the page")
                yield Served(folder, url, server.pid, browser)
                browser.close()
        finally:
            server.terminate()
            assert server.wait(DEADLINE_S) == 0


def test_a_statement_is_run_paged_drawn_saved_and_cancelled(served: Served, tmp_path: Path) -> None:
    page = served.open(f"?sql={quote(ASKED)}")
    page.get_by_text("SQL", exact=True).click()
    editor = page.get_by_label("SQL statement")
    assert editor.input_value() == ASKED
    page.wait_for_selector("summary:has-text('best_quote')")
    # A link runs nothing by itself: what runs first is what comes next.
    _answer(page, "SELECT 42 AS answer", "1 row")
    assert page.locator("td.number").all_inner_texts() == ["42"]

    # Every digit, however small or long; no value is not an empty text.
    tiny, long = "0.00000808", "0.12345678901234567890123456789012345678"
    numbers = f"8.08e-06::DOUBLE, 91234567890.1::DOUBLE, '{long}'::DECIMAL(38,38)"
    asked = f"SELECT {numbers}, NULL, '' FROM range(2)"
    _answer(page, asked, "2 rows")
    cells = page.locator(".panel", has_text="2 rows").locator("tbody tr").first.locator("td")
    assert cells.all_inner_texts() == [tiny, "91234567890.1", long, "NULL", ""]

    _answer(page, ASKED, "120 rows")
    assert _cells(page) == [
        "2023-11-14T22:13:21.000000000Z", *("binance", "100", "100.25")
    ]  # fmt: skip
    page.get_by_text("Next ▶").click()
    page.wait_for_selector("text=51 to 100 of 120")
    # The 51st is 5 s behind the first.
    assert _cells(page)[0] == "2023-11-14T22:13:26.000000000Z"
    assert _cells(page)[2] == "106.25"

    page.get_by_text("Chart", exact=True).click()
    until(lambda: _drawn(page, "bid") == QUOTES, "a line through all rows")
    assert [_saved(page, "CSV", tmp_path)[n] for n in (0, -1)] == _truth(served.folder, ASKED)
    saved = pq.read_table(_download(page, "Save as Parquet", tmp_path))
    assert saved["bid"].to_pylist() == [100 + number / 8 for number in range(QUOTES)]

    _ask(page, "SELECT nothing FROM quote")
    page.wait_for_selector('.error:has-text("Binder Error")')
    # What is left below says whose it is, until there is another.
    failed, earlier = page.locator(".error:visible").all_inner_texts()
    assert "\n" not in failed
    assert "gave no result" in earlier and ASKED in earlier

    _ask(page, ENDLESS)
    # It is stopped, so that its time is not over before it is cancelled.
    (worker,) = until(lambda: served.workers("monitor.sql"), "a process of the statement")
    os.kill(worker, signal.SIGSTOP)
    page.wait_for_selector("text=/running · /")
    page.get_by_text("Cancel", exact=True).click()
    page.wait_for_selector("text=the query was cancelled")
    until(lambda: not served.workers("monitor.sql"), "no process of the statement")
    _ask(page, ENDLESS)
    page.wait_for_selector("text=expected an answer within 5 s, found none")
    assert not served.workers("monitor.sql")
    _answer(page, "SELECT 43 AS answer", "1 row")
    assert page.locator("text=gave no result").count() == 0

    page.locator("select").filter(has_text="History …").select_option(ASKED[:70])
    until(lambda: editor.input_value() == ASKED, "the statement of before")
    page.get_by_text("Link", exact=True).click()
    page.wait_for_url(lambda url: parse_qs(urlparse(url).query).get("sql") == [ASKED])
    page.locator("details", has_text="best_quote").locator("summary b").click()
    until(lambda: "best_quote" in editor.input_value(), "the name that was clicked")
    page.close()
    assert complaints == []


def test_a_recording_is_verified_clipped_exported_and_deleted(
    served: Served, tmp_path: Path
) -> None:
    page, other = served.open(), served.open()
    for one in (page, other):
        one.get_by_text("Recordings", exact=True).click()
        one.wait_for_selector("text=Recordings (4)")
    _choose(page, "made")
    page.get_by_text("Verify", exact=True).click()
    page.wait_for_selector("text=✔ not damaged >> visible=true")
    other.wait_for_selector("text=✔ not damaged >> visible=true")
    _choose(page, "broken")
    page.get_by_text("Verify", exact=True).click()
    page.wait_for_selector("text=/damaged: 1 problems/ >> visible=true")
    page.wait_for_selector("text=/expected rows of the digest/ >> visible=true")

    _choose(page, "made")
    page.get_by_label("Clip from (UTC)").fill("2023-11-14T22:13:22")
    page.get_by_label("to, inclusive").fill("2023-11-14T22:13:22.95")
    page.get_by_text("Clip", exact=True).click()
    file = served.folder / "exported" / "made" / "made-clip-20231114T221322Z.duckdb"
    page.wait_for_selector("text=/^10 rows, /")
    with duckdb.connect(str(file), read_only=True) as con:
        found = con.sql("SELECT count(*) FROM quote WHERE flags & 8192 = 0").fetchall()
    assert found == [(10,)]
    assert _download(page, "Download clip", tmp_path).read_bytes() == file.read_bytes()
    page.get_by_text("Clip", exact=True).click()
    page.wait_for_selector(f"text=expected no {file.name}")

    page.locator("select").filter(has_text="parquet").select_option("csv")
    page.get_by_text("Export", exact=True).click()
    page.wait_for_selector("text=/^121 rows, /")
    (made,) = (served.folder / "exported" / "made").glob("csv-*")
    assert duckdb.read_csv(str(made / "quote.csv")).shape[0] == QUOTES

    # It is stopped, so that it cannot be done before it is cancelled.
    page.get_by_text("Export", exact=True).click()
    (worker,) = until(lambda: served.workers("monitor.jobs"), "a process that exports")
    os.kill(worker, signal.SIGSTOP)
    page.get_by_text("Cancel", exact=True).locator("visible=true").click()
    page.wait_for_selector("text=nothing of it is left")
    until(lambda: not served.workers("monitor.jobs"), "no process that exports")
    assert list((served.folder / "exported" / "made").glob("csv-*")) == [made]

    _choose(page, SPARE)
    page.get_by_text("Delete …").click()
    page.get_by_text(f"Delete {SPARE} for good").click()
    for one in (page, other):
        one.wait_for_selector("text=Recordings (3)")
        one.wait_for_selector("text=/kB freed|MB freed/")
    assert not (served.folder / SPARE).exists()
    until(lambda: not list(served.folder.glob("exported/.*")), "no workplace left")
    (running,) = served.folder.glob("*/*.open")
    _choose(page, running.parent.name)
    until(lambda: page.get_by_text("Delete …").is_disabled(), "what goes on is not deleted")

    _choose(page, "made")
    page.get_by_text("Replay", exact=True).click()
    page.wait_for_selector("text=/REPLAY made/")
    for one in (page, other):
        one.close()
    assert complaints == []
    shutil.rmtree(made)


def _ask(page: Page, statement: str) -> None:
    page.get_by_label("SQL statement").fill(statement)
    page.get_by_text("Run", exact=True).click()


def _answer(page: Page, statement: str, title: str) -> None:
    """Run a statement until it is answered: a busy machine may not come to it within its time."""

    def is_answered() -> bool:
        page.get_by_label("SQL statement").fill(statement)
        page.get_by_label("SQL statement").press("Control+Enter")
        result = page.locator("h3", has_text=title)
        result.or_(page.locator(".error:has-text('within 5 s')")).first.wait_for()
        return result.count() == 1

    until(is_answered, title)


def _choose(page: Page, name: str) -> None:
    page.locator("tr[data-say]").filter(has=page.get_by_text(name, exact=True)).click()
    page.wait_for_selector("tr.chosen[data-say]")
    page.locator("h3", has_text=name).wait_for()


def _cells(page: Page) -> list[str]:
    """Return the texts of the result's first row on the page."""
    result = page.locator(".panel", has=page.locator("h3", has_text="120 rows"))
    return result.locator("tbody tr").first.locator("td").all_inner_texts()


def _drawn(page: Page, title: str) -> int:
    """Return how many rows the chart of that title has in its first line."""
    found: int = page.evaluate(
        """title => {
            for (const root of Bokeh.documents[0].all_models)
                if (root.type === "Figure" && root.title.text.startsWith(title))
                    return root.renderers[0].data_source.get_length();
            return 0;
        }""",
        title,
    )
    return found


def _download(page: Page, button: str, to: Path) -> Path:
    with page.expect_download() as started:
        page.get_by_text(button, exact=True).click()
    file = to / started.value.suggested_filename
    started.value.save_as(file)
    return file


def _saved(page: Page, form: str, to: Path) -> list[dict[str, str]]:
    with _download(page, f"Save as {form}", to).open(newline="") as file:
        return list(csv.DictReader(file))


def _truth(folder: Path, statement: str) -> list[dict[str, Any]]:
    """Ask DuckDB itself for the first and the last row, as texts."""
    text = statement.replace("recording = 'made'", "true").replace(
        "ts_recv,", "strftime(ts_recv, '%Y-%m-%dT%H:%M:%S.%nZ') AS ts_recv,"
    )
    with duckdb.connect(str(folder / "made" / "000.duckdb"), read_only=True) as con:
        asked = con.sql(text)
        rows = [dict(zip(asked.columns, map(str, row), strict=True)) for row in asked.fetchall()]
    return [rows[0], rows[-1]]


def _answers(url: str) -> bool:
    import requests

    try:
        return requests.get(url, timeout=60).status_code == 200
    except requests.RequestException:
        return False
