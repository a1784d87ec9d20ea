"""Where a library has other internals than we know, its ordinary way is taken, with one line."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bokeh
import pytest
import requests
import tornado.ioloop
import tornado.web
from bokeh.application import Application
from bokeh.plotting import figure
from bokeh.server.contexts import ApplicationContext
from bokeh.server.tornado import BokehTornado
from panel.io import location
from panel.io.server import DocHandler
from playwright.sync_api import Page, sync_playwright
from requests.adapters import HTTPAdapter
from support.running import DEADLINE_S
from tornado.netutil import bind_sockets

from monitor.collector import bounded_server
from monitor.feeds.timed_answers import TimedAnswers
from monitor.feeds.transport import Line
from monitor.page import opening_page, plain_panel_serve, tabs
from monitor.page.turns import Turns
from monitor.page.views.plot import Plot
from monitor.processes import library_internals

Lines = Callable[[], list[str]]

SCRIPT = Path(opening_page.__file__).with_name("opening_page.js").read_text()
BOKEH_JS = Path(bokeh.__file__).parent / "server" / "static" / "js" / "bokeh.js"
# What the script patches, and each place without which one patch is left out.
MODULES = {
    "core/dom": ("InlineStyleSheet", ["_update"]),
    "core/visuals/visual": ("VisualProperties", ["_get_css_value"]),
    "core/util/spatial": ("SpatialIndex", ["finish", "indices", "bounds"]),
    "models/ranges/data_range1d": ("DataRange1d", ["_invalidate_dataranges"]),
}


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Lines]:
    """Returns the lines that the checks have logged; each says once what is missing."""
    library_internals._log_once.cache_clear()
    caplog.set_level(logging.WARNING, library_internals.__name__)
    yield lambda: [r.message for r in caplog.records if r.name == library_internals.__name__]
    library_internals._log_once.cache_clear()


@pytest.fixture
def page(browser_path: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def test_what_is_missing_is_logged_once(lines: Lines) -> None:
    assert library_internals.is_usable("a part", True, "nothing")
    assert not lines()
    for _ in range(3):
        assert not library_internals.is_usable("a part", False, "plots are slow")
    assert lines() == ["expected a part, found another version of the library: plots are slow"]


def test_the_internals_of_the_installed_libraries_are_known(lines: Lines) -> None:
    application = BokehTornado({"/": Application()})
    assert opening_page._is_opening_known()
    assert opening_page._is_location_known()
    assert opening_page._pending(application.applications["/"]) == {}
    assert lines() == []


@pytest.mark.parametrize("missing", ["handler", "secret"])
def test_without_bokehs_handlers_pages_are_answered_by_panel(
    lines: Lines, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    patterns = [
        (path, handler)
        for path, handler in opening_page.per_app_patterns
        if handler is not DocHandler or missing != "handler"
    ]
    monkeypatch.setattr(opening_page, "per_app_patterns", patterns)
    if missing == "secret":
        monkeypatch.delattr(BokehTornado, "secret_key")
    before = list(patterns)
    opening_page.take_over()
    assert patterns == before
    (line,) = lines()
    assert line.endswith("a page is answered when it is made, not before")


def test_a_changed_function_of_panel_is_left_alone(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(request: Any) -> dict[str, Any]:
        return {}

    monkeypatch.setattr(opening_page, "_panels_params", changed)
    monkeypatch.setattr(location, "_get_location_params", changed)
    opening_page.queue(BokehTornado({"/": Application()}), Turns())
    assert location._get_location_params is changed
    (line,) = lines()
    assert line.startswith("expected Panel's _get_location_params")


def test_sessions_that_bokeh_does_not_show_count_as_none(lines: Lines) -> None:
    context = ApplicationContext(Application())
    del context._pending_sessions
    assert len(opening_page._pending(context)) == 0
    (line,) = lines()
    assert "_pending_sessions" in line


def test_plain_panel_serve_restricts_a_page_whose_server_it_cannot_find(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_panel_serve, "SERVER_PARTS", ("_tornado", "_gone"))

    async def look() -> Any:
        server = plain_panel_serve.Server({"/": Application()}, port=0, address="127.0.0.1")
        try:
            (context,) = server._tornado.applications.values()
            session = SimpleNamespace(server_context=SimpleNamespace(application_context=context))
            return plain_panel_serve._server_of(SimpleNamespace(session_context=session))
        finally:
            server.stop()

    found = asyncio.run(look())
    assert found is None
    shared: Any = None
    assert "does not say which server" in plain_panel_serve._take_over(found, shared)
    (line,) = lines()
    assert line.endswith("nobody may act on the pages of plain `panel serve`")


def test_a_server_without_tornados_parts_answers_unbounded(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_server, "TORNADO_PARTS", ("_gone",))
    sockets = bind_sockets(0, "127.0.0.1")
    started = threading.Event()
    loops: list[tornado.ioloop.IOLoop] = []

    def serve() -> None:
        loop = tornado.ioloop.IOLoop()
        loops.append(loop)
        server = bounded_server.Server(tornado.web.Application())
        server.add_sockets(sockets)
        loop.add_callback(started.set)
        loop.start()
        server.stop()
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    assert started.wait(DEADLINE_S)
    try:
        answer = requests.get(
            f"http://127.0.0.1:{sockets[0].getsockname()[1]}/", timeout=DEADLINE_S
        )
        assert answer.status_code == 404
    finally:
        loops[0].add_callback(loops[0].stop)
        thread.join(DEADLINE_S)
    (line,) = lines()
    assert line.endswith("idle connections end after a while, but are not bounded")


def test_a_plot_keeps_the_callbacks_of_another_holoviews(lines: Lines) -> None:
    def stop(event: object) -> None: ...

    drawn = figure()
    drawn.on_event("rangesupdate", stop)
    Plot()._let_follow(SimpleNamespace(state=drawn), None)
    assert drawn._event_callbacks["rangesupdate"] == [stop]
    (line,) = lines()
    assert line.endswith("a plot that was panned is not repainted before it is reset")


def test_pages_are_made_without_freezing_the_models(lines: Lines) -> None:
    with tabs.frozen(SimpleNamespace(models=object())):
        pass
    (line,) = lines()
    assert line.endswith("pages take longer to be made")


def test_a_venue_is_read_where_websocket_client_keeps_its_socket_elsewhere(
    lines: Lines,
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"frame")
        assert Line(SimpleNamespace(sock=ours)).read(DEADLINE_S) == b"frame"
    (line,) = lines()
    assert line.endswith("a venue's answer to the opening handshake is not bounded")


def test_answers_are_read_where_urllib3_makes_its_connections_elsewhere(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = SimpleNamespace()
    monkeypatch.setattr(HTTPAdapter, "get_connection_with_tls_context", lambda *_: pool)
    assert TimedAnswers(1.0).get_connection_with_tls_context() is pool
    (line,) = lines()
    assert line.endswith("the time of a venue's answer by REST is not bounded")


@pytest.mark.browser
def test_the_installed_bokehjs_has_all_that_is_patched(page: Page) -> None:
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.add_script_tag(path=BOKEH_JS)
    page.evaluate(f"() => {{{SCRIPT}}}")
    assert told == []
    patched = "Bokeh.require('core/visuals/visual').VisualProperties.prototype._get_css_value()"
    assert page.evaluate(patched) == ""


@pytest.mark.browser
@pytest.mark.parametrize("missing", MODULES)
def test_a_patch_of_a_changed_bokehjs_is_left_out(page: Page, missing: str) -> None:
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.evaluate(
        """([modules, missing]) => {
            const made = {};
            for (const [path, [name, members]] of Object.entries(modules)) {
                made[path] = {[name]: class {}};
                for (const member of members) made[path][name].prototype[member] = () => "Bokeh's";
            }
            delete made[missing][modules[missing][0]].prototype[modules[missing][1].at(-1)];
            window.Bokeh = {require: path => made[path]};
        }""",
        [MODULES, missing],
    )
    page.evaluate(f"() => {{{SCRIPT}}}")
    (line,) = told
    name, members = MODULES[missing]
    assert line.startswith(f"monitor: expected {','.join(members)} of {name} in BokehJS")
    # The others are patched all the same.
    unchanged = page.evaluate(
        "() => Bokeh.require('core/visuals/visual').VisualProperties.prototype._get_css_value?.()"
    )
    assert unchanged == (None if missing == "core/visuals/visual" else "")
