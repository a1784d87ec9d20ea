"""`tail` prints the rows of a SOURCE as the contract defines it, and ends when its output does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.running import DEADLINE_S, collector_of, until

from monitor.cli.tail import is_symbol

TAIL = [sys.executable, "-m", "monitor.cli", "tail"]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on which a collector of two pairs runs."""
    folder = tmp_path_factory.mktemp("tail")
    command = [sys.executable, "-m", "monitor.cli", "record", "mock:BTC-USD", "mock:ETH-USD"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as collector:
        try:
            collector_of(folder / "recordings")
            yield folder
        finally:
            collector.terminate()
            collector.wait(DEADLINE_S)


# As the contract has it: a canonical symbol, the venue's own spelling, or a pattern.
@pytest.mark.parametrize(
    ("asked", "symbol", "fits"),
    [
        ("BTC-USDT", "BTC-USDT", True),
        ("btc-usdt", "BTC-USDT", True),
        ("BTC-USD", "BTC-USDT", False),
        ("XBT/USD", "BTC-USD", True),
        ("XDG/USD", "DOGE-USD", True),
        ("ETH/XBT", "ETH-BTC", True),
        ("BTCUSDT", "BTC-USDT", True),
        ("XBTUSD", "BTC-USD", True),
        ("XXBTZUSD", "BTC-USD", True),
        ("BTCUSD", "BTC-USDT", False),
        ("BINANCE:BTCUSDT", "BTC-USDT", True),
        ("*-USDT", "BTC-USDT", True),
        ("*-USD", "BTC-USDT", False),
        ("XBT/*", "BTC-EUR", True),
        ("*", "BTC-EUR", True),
        ("ETH-USDC", "ETH-USDC@v3-500", True),
        ("ETH-USDC@v3-500", "ETH-USDC@v3-3000", False),
        ("ETH-*@v3-*", "ETH-USDC@v3-3000", True),
    ],
)
def test_a_symbol_is_canonical_or_of_the_venue_or_a_pattern(
    asked: str, symbol: str, fits: bool
) -> None:
    assert is_symbol(asked, symbol) is fits


def printed(folder: Path, count: int, *arguments: str) -> list[dict[str, object]]:
    """Return the first rows, read by a program that then goes away."""
    script = f'timeout {DEADLINE_S:g} "$@" | head -n {count}; exit "${{PIPESTATUS[0]}}"'
    done = subprocess.run(
        ["bash", "-c", script, "tail", *TAIL, *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("source", "count", "symbols", "kinds"),
    [
        ("mock:*-USD", 250, {"BTC-USD", "ETH-USD"}, None),
        ("mock:*-USD+trade", 250, {"BTC-USD", "ETH-USD"}, {"trade"}),
        ("mock:XBT/USD", 150, {"BTC-USD"}, None),
        ("mock:XBT/USD+quote", 5, {"BTC-USD"}, {"quote"}),
        ("mock:eth-usd+quote+trade", 150, {"ETH-USD"}, {"quote", "trade"}),
    ],
)
def test_the_rows_of_a_source_are_printed(
    recording: Path, source: str, count: int, symbols: set[str], kinds: set[str] | None
) -> None:
    rows = printed(recording, count, source)
    assert len(rows) == count
    assert {row["symbol"] for row in rows} == symbols
    assert {row["venue"] for row in rows} == {"mock"}
    found = {row["kind"] for row in rows}
    assert found == kinds if kinds else {"quote", "trade"} <= found


def test_statistics_of_a_channel_are_printed_if_asked_for(recording: Path) -> None:
    script = f'timeout {DEADLINE_S:g} "$@" | head -n 2'
    done = subprocess.run(
        ["bash", "-c", script, "tail", *TAIL, "mock:BTC-USD+trade", "--kind", "stat"],
        cwd=recording, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert [json.loads(line)["channel"] for line in done.stdout.splitlines()] == ["trade"] * 2


def test_a_source_that_fits_nothing_is_told(recording: Path, tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("w") as stderr:
        command = [*TAIL, "mock:*-EUR", "mock:BTC-USD"]
        with subprocess.Popen(
            command, cwd=recording, stdout=subprocess.DEVNULL, stderr=stderr
        ) as child:
            try:
                (line,) = until((tmp_path / "stderr").read_text, "a line").splitlines()
            finally:
                child.terminate()
    assert "mock:*-EUR" in line and "mock:BTC-USD" in line


def test_an_output_that_is_full_ends_it(recording: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            TAIL, cwd=recording, stdout=full, stderr=subprocess.PIPE, text=True,
            timeout=DEADLINE_S, check=False,
        )  # fmt: skip
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "No space left on device" in done.stderr
