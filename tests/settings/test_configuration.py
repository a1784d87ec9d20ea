"""A configuration that cannot work is refused at the start, in one line and without its secrets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitor.settings import configuration

Run = Callable[..., Any]

# What cannot work, and what the line must name.
REFUSED = [
    ('[page]\nhosts = ["https://x.example/"]', "page.hosts.0"),
    ('[page]\nhosts = ["x.example:5006"]', "page.hosts.0"),
    ('[page]\nhosts = ["x.example:*"]', "page.hosts.0"),
    ('[page]\nhosts = ["*"]', "page.hosts.0"),
    ('[page]\nhosts = ["*.example"]', "page.hosts.0"),
    ('[page]\nhosts = [""]', "page.hosts.0"),
    ('[venues.binance]\nws_url = "https://x.example"', "venues.binance.ws_url"),
    ('[venues.binance]\nrest_url = "wss://x.example"', "venues.binance.rest_url"),
    ("[retention]\ntotal_gb = inf", "retention.total_gb"),
    ("[retention]\ndays = nan", "retention.days"),
    ("[retention]\ndays = 1e-9", "retention.days"),
    ("[recorder]\nsegment_s = 1e-9", "recorder.segment_s"),
    ("[recorder]\nsegment_s = inf", "recorder.segment_s"),
    ("[recorder]\nsegment_mb = 1e-9", "recorder.segment_mb"),
    ("[recorder]\nsegment_mb = nan", "recorder.segment_mb"),
    ("[venues.kraken]\nfallback_after_s = inf", "venues.kraken.fallback_after_s"),
    ("[venues.kraken]\nfallback_after_s = 1e-9", "venues.kraken.fallback_after_s"),
    ("[hooks.cross_venue]\nfresh_ms = inf", "hooks.cross_venue.fresh_ms"),
    ("[hooks.cross_venue]\nthreshold_bps = nan", "hooks.cross_venue.threshold_bps"),
    ("[delivery]\ntimeout_s = 1e-9", "delivery.timeout_s"),
    ('[hooks]\nfolder = "/no/such/folder"', "hooks.folder"),
    ('[[alerts]]\nkind = "latency_p99"\nlatency_ms = inf', "latency_ms"),
    ('[[alerts]]\nkind = "crossed"\ncrossed_bps = nan', "crossed_bps"),
    ('[[alerts]]\nkind = "spread"\nmax_bps = nan', "alerts.0.spread"),
]


@pytest.mark.parametrize(("text", "named"), REFUSED)
def test_what_cannot_work_is_refused(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"expected|should be") as caught:
        configuration.load(file)
    line = str(caught.value)
    assert named in line and "\n" not in line


def test_a_refused_configuration_is_wrong_usage(tmp_path: Path, monitor: Run) -> None:
    (tmp_path / "config.toml").write_text('[hooks]\nfolder = "none"\n')
    for command in ("record", "serve"):
        done = monitor(command, "mock:BTC-USD", "--config", "config.toml")
        assert (done.returncode, done.stdout) == (2, "")
        assert len(done.stderr.splitlines()) == 1 and "hooks.folder" in done.stderr
    (tmp_path / "none").touch()
    assert monitor("record", "mock:BTC-USD", "--config", "config.toml").returncode == 2
    done = monitor("record", "mock:BTC-USD", "--config", tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1


def test_names_and_addresses_that_work_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        '[page]\nhosts = ["monitor.example.org", "Nas_1", "192.0.2.1", "2001:db8::1", "[::1]"]\n'
        '[venues.binance]\nws_url = "wss://x.example:9443/a"\nrest_url = "http://127.0.0.1:1"\n'
        "[recorder]\nsegment_s = 1\n[retention]\ndays = 0.5\ntotal_gb = 0.5\n"
    )
    assert len(configuration.load(file).page.hosts) == 5


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    # As RFC 3629 has it, section 6.
    file.write_bytes(b"\xef\xbb\xbf" + b'sources = ["kraken:BTC-USD"]\r\n')
    assert [str(source) for source in configuration.load(file).parsed()] == ["kraken:BTC-USD"]


SECRET = "hunter2"
# Secrets in places where they are wrong.
LEAKS = [
    f'[venues.binance]\nws_url = "https://me:{SECRET}@x.example/"',
    f'[venues.binance]\nws_url = "https://x.example/?token={SECRET}"',
    f'[venues.binance]\nrest_url = "ftp://x.example/#{SECRET}"',
    f'[venues.finnhub]\napi_key = ["{SECRET}"]',
    f'[venues]\nfinnhub = "{SECRET}"',
    f'venues = "{SECRET}"',
    f'[page]\ncookie_secret = ["{SECRET}"]',
    f'[page.users]\nolga = "{SECRET}"',
    f'[page.users.olga]\npassword_hash = "{SECRET}"',
    f'[delivery]\ncommand = "curl -H {SECRET}"',
    f'[delivery]\nping_url = "ftp://{SECRET}"',
    f'[[delivery.webhooks]]\nurl = "{SECRET}"',
    f'[page]\ntoken = "{SECRET}"',
]


@pytest.mark.parametrize("text", LEAKS)
def test_no_secret_stands_in_an_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"config\.toml") as caught:
        configuration.load(file)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "option",
    [
        "binance=wss://a.example,wss://b.example",
        "binance=http://a.example,https://b.example",
        f"binance=ftp://me:{SECRET}@a.example",
        f"wss://me:{SECRET}@a.example",
    ],
)
def test_an_endpoint_has_one_address_of_each_kind(option: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        configuration.endpoints(configuration.Settings(), [option])
    assert SECRET not in str(caught.value)


def test_an_endpoint_gives_its_addresses_in_any_order() -> None:
    for option in (
        "kraken=ws://a.example,http://b.example",
        "kraken=http://b.example,ws://a.example",
    ):
        found = configuration.endpoints(configuration.Settings(), [option])
        assert found == {"kraken": configuration.Endpoint("ws://a.example", "http://b.example")}
