"""Real collectors on the simulated exchange: venues that are polled, and one that wants a key."""

from __future__ import annotations

import json
import os
import subprocess
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from support.running import collector_of, simulator_urls, until

from monitor import recordings
from monitor.rows.batches import INVALID, REST, SYNTHETIC
from monitor.settings import configuration

Run = Callable[..., subprocess.Popen[str]]

KEY = "sandbox-c0ffee-0123456789"
VARIABLE = "FINNHUB_API_KEY"
# The simulated chain has a block a second.
FAST = "[venues.uniswap]\ninterval_s = 0.5\n"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def health(address: str) -> dict[str, Any]:
    report: dict[str, Any] = requests.get(f"http://{address}/health", timeout=10).json()
    return report


def wait_for(folder: Path, enough: Callable[[dict[str, dict[str, Any]]], bool], what: str) -> None:
    """Wait until the health of the sources, by symbol, is as wanted."""
    held = collector_of(folder)

    def reached() -> bool:
        return enough({source["symbol"]: source for source in health(held.address)["sources"]})

    until(reached, what)


def ended(live: subprocess.Popen[str], folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Stop a collector; return the rows of its recording by kind."""
    held = collector_of(folder)
    live.terminate()
    assert live.wait(10) == 0
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    with recordings.open_recording(folder, held.recording) as recording:
        for batch in recording.batches():
            for kind, rows in batch.kinds.items():
                found[kind] += rows.to_pylist()
    return found


def told(rows: dict[str, list[dict[str, Any]]], kind: str) -> list[dict[str, Any]]:
    return [row for row in rows["status"] if row["kind"] == kind]


def settings(folder: Path, text: str) -> Path:
    file = folder / "monitor.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_mock_venue_brings_its_own_exchange(tmp_path: Path, background: Run) -> None:
    folder = tmp_path / "recordings"
    live = background("record", "mock:BTC-USD")
    wait_for(folder, lambda s: s.get("BTC-USD", {}).get("updates", 0) > 20, "20 updates")
    held = collector_of(folder)
    headers = {"Authorization": f"Bearer {held.token}"}
    about = requests.get(f"http://{held.address}/sources", headers=headers, timeout=10).json()
    assert about["simulated"] is True
    rows = ended(live, folder)
    quotes = [row for row in rows["quote"] if not row["flags"] & INVALID]
    assert {(row["origin"], row["flags"], row["symbol"]) for row in quotes} == {
        ("rest", REST, "BTC-USD")
    }
    assert all(0 < row["bid"] < row["ask"] for row in quotes)
    numbers = [int(row["trade_id"]) for row in rows["trade"]]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    (polling,) = told(rows, "polling")
    assert (polling["state"], polling["detail"]) == ("polling", "the venue has no WebSocket")
    assert not told(rows, "gap")


def test_sources_of_one_venue_may_be_had_in_different_ways(tmp_path: Path, background: Run) -> None:
    folder = tmp_path / "recordings"
    exchange = background("simulate", "kraken")
    file = settings(
        tmp_path,
        'sources = ["kraken:BTC-USD+quote", '
        '{ source = "kraken:ETH-USD+quote", mode = "rest", interval_s = 0.5 }]\n',
    )
    live = background("record", "--config", file, "--endpoint", simulator_urls(exchange))
    wanted = ("BTC-USD", "ETH-USD")
    wait_for(folder, lambda s: all(s.get(n, {}).get("updates", 0) > 5 for n in wanted), "updates")
    held = collector_of(folder)
    states = {source["symbol"]: source["state"] for source in health(held.address)["sources"]}
    assert states == {"BTC-USD": "connected", "ETH-USD": "polling"}
    answer = requests.post(
        f"http://{held.address}/sources",
        json={"action": "add", "sources": ["mock:BTC-USD"]},
        headers={"Authorization": f"Bearer {held.token}"},
        timeout=10,
    )
    # It is the built-in exchange's, which runs from then on.
    assert answer.status_code == 200, answer.text
    rows = ended(live, folder)
    origins = {(row["symbol"], row["origin"]) for row in rows["quote"] if row["venue"] == "kraken"}
    assert origins == {("BTC-USD", "native"), ("ETH-USD", "rest")}
    assert {row["venue"] for row in told(rows, "symbol_assumed")} <= {"mock"}


def test_a_chain_gives_quotes_of_each_block_and_the_swaps_within_their_spread(
    tmp_path: Path, background: Run
) -> None:
    folder = tmp_path / "recordings"
    exchange = background("simulate", "uniswap")
    file = settings(tmp_path, FAST)
    endpoint = simulator_urls(exchange)
    live = background(
        "record", "uniswap:ETH-USDC", "--config", file, "--endpoint", endpoint, "--raw"
    )
    pools = ("ETH-USDC@v2", "ETH-USDC@v3-500")
    wait_for(folder, lambda s: all(s.get(p, {}).get("updates", 0) > 12 for p in pools), "updates")
    rows = ended(live, folder)
    quotes = [row for row in rows["quote"] if not row["flags"] & INVALID]
    assert {row["symbol"] for row in quotes} == set(pools)
    assert {(row["origin"], row["flags"], row["bid_size"]) for row in quotes} == {
        ("synthetic", REST | SYNTHETIC, None)
    }
    spreads = {row["symbol"]: row["bid"] / row["ask"] for row in quotes}
    assert spreads == {
        "ETH-USDC@v2": pytest.approx(0.997**2),
        "ETH-USDC@v3-500": pytest.approx(0.9995**2),
    }
    by_block = {(row["symbol"], row["seq"]): row for row in quotes}
    assert len(by_block) == len(quotes)
    held_against = 0
    for row in rows["trade"]:
        before = by_block.get((row["symbol"], row["seq"] - 1))
        if before is not None:
            # Who buys pays at least the ask of the block before, but for other swaps of the block.
            price = before["ask"] if row["side"] == "buy" else before["bid"]
            assert row["price"] == pytest.approx(price, rel=0.005)
            held_against += 1
    assert held_against
    assert len({row["trade_id"] for row in rows["trade"]}) == len(rows["trade"])
    assert not told(rows, "reorg")
    assert not told(rows, "fetch_failed")


def test_a_changing_chain_is_told_of(tmp_path: Path, background: Run) -> None:
    folder = tmp_path / "recordings"
    exchange = background("simulate", "uniswap", "--fault", "reorg@2", "--fault", "head-back:0.2")
    file, endpoint = settings(tmp_path, FAST), simulator_urls(exchange)
    live = background("record", "uniswap:ETH-USDC", "--config", file, "--endpoint", endpoint)
    wait_for(folder, lambda s: s.get("ETH-USDC@v2", {}).get("updates", 0) > 10, "10 updates")
    rows = ended(live, folder)
    reorgs, lower = told(rows, "reorg"), told(rows, "head_back")
    assert reorgs
    assert all(row["expected"] <= row["got"] for row in reorgs)
    assert all(row["expected"] > row["got"] for row in lower)


def test_a_subgraph_is_asked_where_the_address_is_one(tmp_path: Path, background: Run) -> None:
    folder = tmp_path / "recordings"
    exchange = background("simulate", "uniswap", "--fault", "graphql-error:0.3")
    address = simulator_urls(exchange).rpartition(",")[2]
    key, index = "c0ffee0123456789", "5zvR82QoaXYFyDEKLZ9t6v9adgnptxYpKpSbxtgVENFV"
    file = settings(tmp_path, f'{FAST}rest_url = "{address}/api/{key}/subgraphs/id/{index}"\n')
    live = background("record", "uniswap:ETH-USDC", "--config", file)
    pool = "ETH-USDC@v3-500"
    wait_for(folder, lambda s: s.get(pool, {}).get("updates", 0) > 5, "5 updates")
    rows = ended(live, folder)
    quotes = [row for row in rows["quote"] if not row["flags"] & INVALID]
    assert {row["symbol"] for row in quotes} == {pool}
    # The index's own block is the clock: it is written once.
    assert len({row["seq"] for row in quotes}) == len(quotes)
    assert {row["detail"] for row in told(rows, "fetch_failed")} == {"indexing_error"}
    assert key not in repr(dict(rows))


def test_a_key_opens_finnhub_and_appears_nowhere(
    tmp_path: Path, background: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "recordings"
    exchange = background("simulate", "finnhub")
    monkeypatch.setenv(VARIABLE, KEY)
    symbols = ("AAPL", "BINANCE:BTCUSDT", "EUR-USD", "NOPE")
    errors = tmp_path / "errors"
    with errors.open("w") as stderr:
        live = background(
            "record",
            *(f"finnhub:{symbol}" for symbol in symbols),
            "--endpoint",
            simulator_urls(exchange),
            "--raw",
            stderr=stderr,
        )
    heard = ("AAPL-USD", "BTC-USDT", "EUR-USD")
    wait_for(folder, lambda s: all(s.get(n, {}).get("updates", 0) > 5 for n in heard), "trades")
    wait_for(folder, lambda s: s.get("NOPE-USD", {}).get("state") == "failed", "a refusal")
    shown = json.dumps(health(collector_of(folder).address))
    rows = ended(live, folder)
    assert {row["symbol"] for row in rows["trade"]} == set(heard)
    sizes = {row["size"] for row in rows["trade"] if row["symbol"] == "EUR-USD"}
    assert sizes == {None}
    assert {row["symbol"] for row in told(rows, "subscribed")} == set(heard)
    assert {row["detail"] for row in told(rows, "refused")} == {"Invalid symbol NOPE"}
    assert live.stdout is not None
    # A file may hold a text compressed: the rows are looked through as well.
    texts = [shown, live.stdout.read(), errors.read_text("utf-8"), repr(dict(rows))]
    assert rows["frame"]
    assert not any(KEY in text for text in texts)
    assert not any(KEY.encode() in file.read_bytes() for file in files(tmp_path))


def test_a_missing_key_is_one_clear_line(tmp_path: Path, background: Run) -> None:
    folder, errors = tmp_path / "recordings", tmp_path / "errors"
    with errors.open("w") as stderr:
        live = background("record", "finnhub:AAPL", stderr=stderr)
    wait_for(folder, lambda s: s.get("AAPL-USD", {}).get("state") == "failed", "a failure")
    rows = ended(live, folder)
    (row,) = [row for row in told(rows, "auth_failed") if row["scope"] == "connection"]
    why = f"expected a key in {VARIABLE} or api_key, found none"
    assert (row["state"], row["detail"]) == ("failed", why)
    assert errors.read_text("utf-8") == f"finnhub: auth_failed: {why}\n"


def test_a_refused_key_is_named_and_not_shown(
    tmp_path: Path, background: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "recordings"
    endpoint = simulator_urls(background("simulate", "finnhub"))
    monkeypatch.setenv(VARIABLE, "bad")
    live = background("record", "finnhub:AAPL", "--endpoint", endpoint)
    wait_for(folder, lambda s: s.get("AAPL-USD", {}).get("state") == "failed", "a failure")
    rows = ended(live, folder)
    (row,) = [row for row in told(rows, "auth_failed") if row["scope"] == "connection"]
    assert row["detail"] == (
        "expected HTTP 101, found 401 Unauthorized; "
        f"expected a key that is valid in {VARIABLE} or api_key"
    )


@pytest.mark.parametrize(
    "text", [f"[venues.finnhub]\nkey = '{KEY}'", f"[venues.finnhub]\napi_key = ['{KEY}']"]
)
def test_a_key_in_the_wrong_place_is_not_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"venues\.finnhub\.(api_)?key") as caught:
        configuration.load(settings(tmp_path, text))
    assert KEY not in str(caught.value)


def test_pools_are_read_from_the_configuration(tmp_path: Path) -> None:
    text = """
    [[venues.uniswap.pools]]
    address = "0xCBCdF9626bC03E24f779434178A73a0B4bad62eD"
    version = "v3"
    base = "WBTC"
    quote = "WETH"
    decimals = [8, 18]
    """
    (pool,) = configuration.load(settings(tmp_path, text)).venues["uniswap"].pools
    assert (pool.base, pool.decimals, pool.fee, pool.inverted) == ("WBTC", (8, 18), 3000, False)
    with pytest.raises(ValueError, match="address"):
        configuration.load(settings(tmp_path, text.replace("0xCB", "CB")))


def files(folder: Path) -> list[Path]:
    return [Path(root, name) for root, _, names in os.walk(folder) for name in names]
