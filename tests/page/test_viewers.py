"""Tabs that come and go leave nothing behind in the page's process, and a stuck one delays none."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from support.collectors import all_connected, free_port
from support.raw_viewer import RawViewer
from support.running import collector_of, until
from support.server_holdings import held

Run = Callable[..., Any]
VIEWERS = 8
# Threads of pools that are made when first wanted, and files that are being looked at.
SLACK = 4


def test_closed_viewers_leave_nothing_and_a_frozen_one_delays_nobody(
    tmp_path: Path, background: Run
) -> None:
    port = free_port()
    page = background("serve", "--port", port)
    until(lambda: "http://" in page.stdout.readline(), "the page")
    collector = collector_of(tmp_path / "recordings")
    until(lambda: all_connected(collector, 6), "six connected sources")
    url = f"http://127.0.0.1:{port}/"
    with RawViewer(url) as first:
        until(lambda: first.refreshes > 2, "a page that is refreshed")
    until(lambda: held(page, url).sessions == 0, "the end of the first session")
    before = held(page, url)
    with ExitStack() as stack:
        viewers = [stack.enter_context(RawViewer(url)) for _ in range(VIEWERS)]
        assert held(page, url).viewers == VIEWERS
        viewers[0].freeze()
        counts = [viewer.refreshes for viewer in viewers]
        for viewer, count in zip(viewers[1:], counts[1:], strict=True):
            until(lambda v=viewer, c=count: v.refreshes > c + 20, "refreshes for the others")
    until(lambda: held(page, url).sessions == 0, "the end of the sessions")
    after = held(page, url)
    assert after.viewers == 0
    assert after.threads <= before.threads + SLACK
    assert after.descriptors <= before.descriptors + SLACK
    until(lambda: held(page, url).documents <= VIEWERS // 2, "documents to be cleaned up")
