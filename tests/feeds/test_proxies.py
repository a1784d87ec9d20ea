"""Venues behind a proxy that the environment names: HTTP and SOCKS, with a login and without."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.proxying import proxying
from support.running import DEADLINE_S, collector_of, until

from monitor import recordings
from monitor.feeds import reachability
from monitor.feeds.proxies import proxy
from monitor.processes import collector_client
from monitor.simulate import Simulator

USER, PASSWORD = "joe@desk", "hush:4/7 %"
QUOTED = "joe%40desk:hush%3A4%2F7%20%25"
# Neither is this machine for the program: a name that only a proxy can look up, and an address
# that is nobody's <https://www.rfc-editor.org/rfc/rfc5737>.
BY_NAME, BY_ADDRESS = "feed.test", "192.0.2.1"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")

Run = Callable[..., subprocess.Popen[str]]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(["binance"], rate=300) as running:
        yield running


def endpoint(host: str) -> tuple[str, str]:
    return "--endpoint", f"binance=ws://{host}:8080/binance,http://{host}:8080/binance"


@pytest.mark.parametrize(
    ("scheme", "host", "login", "expected"),
    [
        ("http", BY_NAME, False, {"connect", "http"}),
        ("http", BY_NAME, True, {"connect", "http"}),
        ("socks5h", BY_NAME, False, {"socks5"}),
        ("socks5h", BY_NAME, True, {"socks5"}),
        ("socks5", BY_ADDRESS, True, {"socks5"}),
        ("socks4a", BY_NAME, False, {"socks4"}),
        ("socks4", BY_ADDRESS, False, {"socks4"}),
    ],
)
def test_stream_and_rest_go_by_the_proxy_and_its_password_is_shown_nowhere(
    tmp_path: Path,
    background: Run,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    host: str,
    login: bool,
    expected: set[str],
) -> None:
    given = (USER, PASSWORD) if login else ("", "")
    with proxying(simulator.port, *given) as through, (tmp_path / "log").open("w") as log:
        url = f"{scheme}://{QUOTED}@{through.at}" if login else f"{scheme}://{through.at}"
        monkeypatch.setenv("all_proxy", url)
        live = background("record", "binance:BTC-USDT", *endpoint(host), stderr=log)
        held = collector_of(tmp_path / "recordings")

        def is_connected() -> bool:
            told = collector_client.request(held, "GET", "/health").json()["sources"]
            return [source["state"] for source in told] == ["connected"]

        until(is_connected, "a connected source")
        told = collector_client.request(held, "GET", "/health").text
        live.terminate()
        assert live.wait(DEADLINE_S) == 0
        assert live.stdout is not None
        told += live.stdout.read()
        # The list and the book's snapshot come by REST.
        assert set(through.asked) == {(how, host) for how in expected}
        assert through.refused == 0
    rows: list[str] = []
    with recordings.open_recording(tmp_path / "recordings", held.recording) as recording:
        for batch in recording.batches():
            rows += map(str, batch["status"].to_pylist())
    told += "".join(rows) + (tmp_path / "log").read_text()
    for secret in (PASSWORD, QUOTED.partition(":")[2], USER, "joe%40desk"):
        assert secret not in told


def test_a_proxy_that_refuses_the_login_is_told_without_it(
    monitor: Command, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for scheme in ("http", "socks5h"):
        with proxying(simulator.port, USER, "another one") as through:
            monkeypatch.setenv("http_proxy", f"{scheme}://{QUOTED}@{through.at}")
            done = monitor("probe", "binance:BTC-USDT", *endpoint(BY_NAME))
            assert (done.returncode, done.stderr) == (1, ""), done.stdout
            failed = [line for line in done.stdout.splitlines() if " FAIL " in line]
            assert len(failed) == 1 and failed[0].startswith("WebSocket")
            assert (
                f"left to the proxy {'' if scheme == 'http' else f'{scheme}://'}{through.at}"
                in done.stdout
            )
            assert "hush" not in done.stdout and "joe" not in done.stdout
            assert through.refused


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("socks6://joe:hush@proxy.example:1080", "the scheme socks6://"),
        ("https://joe:hush@proxy.example:1080", "the scheme https://"),
        ("http://joe:hush@proxy.example:port", "another text"),
        ("http://joe:hush@proxy.example:0", "another text"),
        ("http://joe:hush@:3128", "no host"),
    ],
)
def test_a_wrong_address_of_a_proxy_is_one_line_and_exit_code_2(
    url: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", url)
    for command in ("record", "probe", "serve"):
        done = subprocess.run(
            [sys.executable, "-m", "monitor.cli", command, "kraken:BTC-USD"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        line = (
            "monitor: expected in https_proxy the URL of a proxy (http://, socks4://, socks4a://, "
            f"socks5://, socks5h://), found {found}\n"
        )
        assert (done.returncode, done.stderr) == (2, line), command


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"https_proxy": "p:1"}, "p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "p:1"),
        # Small letters count first: <https://everything.curl.dev/usingcurl/proxies/env.html>.
        ({"HTTPS_PROXY": "http://q:2", "https_proxy": "http://p:1"}, "p:1"),
        ({"HTTPS_PROXY": "http://q:2", "https_proxy": ""}, None),
        ({"http_proxy": "http://p:1"}, None),
        ({"ALL_PROXY": "socks5h://p"}, "socks5h://p:1080"),
        ({"all_proxy": "socks5://q", "https_proxy": "p:1"}, "p:1"),
        ({"https_proxy": "http://[2001:db8::1]:3128"}, "[2001:db8::1]:3128"),
    ],
)
def test_which_variable_counts(environment: dict[str, str], expected: str | None) -> None:
    found = proxy("api.example.com", 443, True, environment)
    assert (None if found is None else str(found)) == expected


@pytest.mark.parametrize(
    ("no_proxy", "host", "is_excepted"),
    [
        ("*", "api.example.com", True),
        ("example.com", "api.example.com", True),
        ("example.com", "example.com", True),
        ("example.com", "badexample.com", False),
        (".example.com", "api.example.com", True),
        ("*.example.com", "api.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "badexample.com", False),
        ("API.Example.Com", "api.example.com", True),
        ("other.com, api.example.com", "api.example.com", True),
        ("api.example.com:443", "api.example.com", True),
        ("api.example.com:8443", "api.example.com", False),
        ("192.0.2.0/24", "192.0.2.9", True),
        ("192.0.2.0/24", "198.51.100.9", False),
        ("192.0.2.9", "192.0.2.9", True),
        ("192.0.2.9:443", "192.0.2.9", True),
        ("192.0.2.9:80", "192.0.2.9", False),
        ("2001:db8::/32", "2001:db8::7", True),
        ("[2001:db8::7]:443", "2001:db8::7", True),
        ("2001:db8::7", "2001:db8::7", True),
        ("192.0.2.0/24", "api.example.com", False),
        ("", "api.example.com", False),
    ],
)
def test_which_hosts_are_excepted(no_proxy: str, host: str, is_excepted: bool) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        environment = {"https_proxy": "http://p:1", name: no_proxy}
        assert (proxy(host, 443, True, environment) is None) is is_excepted


def own_addresses() -> list[str]:
    found = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False)
    return found.stdout.split()


@pytest.mark.parametrize(
    ("host", "is_this_machine"),
    [
        *((host, True) for host in ("localhost", "LocalHost.", "a.localhost", "127.0.0.1")),
        # inet_aton(3): fewer than four parts, octal and hexadecimal numbers.
        *((host, True) for host in ("127.1", "127.0.0.2", "0x7f.1", "2130706433", "0.0.0.0", "0")),
        *((host, True) for host in ("[::1]", "[::]", "[::ffff:127.0.0.1]")),
        *((f"[{host}]" if ":" in host else host, True) for host in own_addresses()),
        *((host, False) for host in ("192.0.2.1", "[2001:db8::1]", "[::ffff:192.0.2.1]")),
        *((host, False) for host in ("127.1.example.com", "localhost.example.com", "mylocalhost")),
    ],
)
def test_this_machine_is_reached_without_a_proxy_however_it_is_written(
    host: str, is_this_machine: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://192.0.2.9:1")
    for url in (f"http://{host}:8", f"https://{host}", f"ws://{host}:8/x", f"wss://{host}/x"):
        assert (reachability.proxy(reachability.place(url)) is None) is is_this_machine


def test_an_excepted_host_is_reached_without_the_proxy(
    monitor: Command, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is nobody's: without the proxy it cannot be looked up."""
    with proxying(simulator.port) as through:
        monkeypatch.setenv("ALL_PROXY", f"http://{through.at}")
        monkeypatch.setenv("NO_PROXY", "*.test")
        done = monitor("probe", "binance:BTC-USDT", *endpoint(BY_NAME))
        assert through.asked == []
    assert done.stdout.startswith(f"DNS                  FAIL  expected an address of {BY_NAME}")
