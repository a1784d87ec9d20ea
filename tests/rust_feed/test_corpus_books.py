"""Every captured file through the program must give the rows that the independent decoder finds."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import reference
from support.corpus_books import COLUMNS, recorded, statuses

from monitor.rows.batches import LAST, MAYBE_BAD_BOOK, REST, SNAPSHOT, SYNTHETIC

pytestmark = pytest.mark.corpus
Run = Callable[..., Any]

FILES = [
    ("binance/cf_binance_20210404_btc_eth_dot", "binance"),
    ("binance/cf_binance_20211011_nkn_blz_lrc_rune", "binance"),
    ("binance/crypto_msg_parser_tests", "binance"),
    ("binance/hft_ethusdt_20240808", "binance"),
    ("binance/hft_ethusdt_20240809", "binance"),
    ("binance/lookup_misc", "binance"),
    ("binance_rest/gct_http_mock", "binance"),
    ("binance_us/cf_binance_us_20211011", "binance-us"),
    ("coinbase_advanced/cf_v3_20260809_seq0_499", "coinbase"),
    ("coinbase_advanced/lookup_misc", "coinbase"),
    ("coinbase_exchange/cf_coinbase_20210417_five_products", "coinbase-exchange"),
    ("coinbase_exchange/lookup_misc", "coinbase-exchange"),
    ("coinbase_exchange/tardis_node_tests", "coinbase-exchange"),
    ("finnhub/lookup_misc", "finnhub"),
    ("kraken_rest/rotki_vcr", "kraken"),
    ("kraken_v1/cf_kraken_20210417", "kraken-v1"),
    ("kraken_v1/python_kraken_sdk_book10_v1", "kraken-v1"),
    ("kraken_v1/tardis_node_tests", "kraken-v1"),
    ("kraken_v2/depthcharge_kraken_minagbp_d25_20260816", "kraken"),
    ("kraken_v2/lookup_misc", "kraken"),
    ("uniswap/lightrao_subgraph_pools20", "uniswap"),
    ("uniswap/rotki_vcr", "uniswap"),
]
HEADER = ("kind", "venue", "symbol", "ts_recv", "ts_event", "ts_sent", "seq")
COMPARED_FLAGS = {
    "quote": SNAPSHOT | REST | SYNTHETIC,
    "trade": SNAPSHOT | REST,
    "book": SNAPSHOT | REST | LAST | SYNTHETIC,
}


# Its numbers went through Python floats, which lost the padding that the venue sums up.
REWRITTEN = "kraken_v2/python_kraken_sdk_book10_v2"
PRECISIONS = {
    "symbol": "BTC/USD",
    "base": "BTC",
    "quote": "USD",
    "status": "online",
    "price_precision": 1,
    "qty_precision": 8,
}


@pytest.mark.parametrize(("name", "venue"), FILES)
def test_ingested_rows_equal_those_of_the_independent_decoder(
    captures: Path, tmp_path: Path, monitor: Run, name: str, venue: str
) -> None:
    file = spot(captures / f"{name}.norm.ndjson.gz", tmp_path)
    assert_same_rows(file, venue, tmp_path, monitor)


def test_rewritten_numbers_pass_their_checksums_once_the_precisions_are_known(
    captures: Path, tmp_path: Path, monitor: Run
) -> None:
    file = captures / f"{REWRITTEN}.norm.ndjson.gz"
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        first, *others = lines
    pairs = {"assets": [], "pairs": [PRECISIONS]}
    listed = {"channel": "instrument", "type": "snapshot", "data": pairs}
    record = json.dumps({**json.loads(first), "raw": json.dumps(listed)})
    copy = tmp_path / "listed.ndjson.gz"
    with gzip.open(copy, "wt", encoding="utf-8", compresslevel=1) as out:
        out.writelines([record + "\n", first, *others])
    assert_same_rows(copy, "kraken", tmp_path, monitor)
    assert statuses(tmp_path / "recordings", "x") == []


def test_rewritten_numbers_fail_the_checksum_over_their_text_and_leave_a_bad_book(
    captures: Path, tmp_path: Path, monitor: Run
) -> None:
    file = captures / f"{REWRITTEN}.norm.ndjson.gz"
    assert monitor("ingest", file, "--venue", "kraken", "--recording", "x").returncode == 0
    told = statuses(tmp_path / "recordings", "x")
    assert [row["kind"] for row in told] == ["symbol_assumed", "checksum"]
    rows = recorded(tmp_path / "recordings", "x")
    assert all(row["flags"] & (MAYBE_BAD_BOOK | SYNTHETIC) == MAYBE_BAD_BOOK for row in rows)
    wire = [compared(row) for row in reference.rows(file, "kraken") if not row["flags"] & SYNTHETIC]
    assert [without_last(compared(row)) for row in rows] == [without_last(row) for row in wire]


def without_last(row: dict[str, Any]) -> dict[str, Any]:
    """Leave out which row ends its message: the depth limit's deletions may follow."""
    return {**row, "flags": row["flags"] & ~LAST}


def assert_same_rows(file: Path, venue: str, folder: Path, monitor: Run) -> None:
    done = monitor("ingest", file, "--venue", venue, "--recording", "x")
    assert done.returncode == 0, done.stderr
    # A message that names no instrument is no instrument's: it is counted, not recorded.
    rows = (row for row in reference.rows(file, venue) if row["symbol"] is not None)
    wanted = [compared(row) for row in rows]
    found = [compared(row) for row in recorded(folder / "recordings", "x")]
    # One kind after the other tells more of a failure than the first row of them all.
    kinds = {
        "quotes": lambda row: row["kind"] == "quote",
        "trades": lambda row: row["kind"] == "trade",
        "book rows of the wire": lambda row: row["kind"] == "book" and not row["flags"] & SYNTHETIC,
        "book rows of ours": lambda row: row["kind"] == "book" and row["flags"] & SYNTHETIC,
    }
    differences = [
        f"{what}: {told}"
        for what, of_kind in kinds.items()
        if (told := difference(list(filter(of_kind, wanted)), list(filter(of_kind, found))))
    ]
    if not differences and (told := difference(wanted, found)):
        differences = [f"all kinds in one order: {told}"]
    if differences:
        pytest.fail("\n".join(differences), pytrace=False)


def spot(file: Path, folder: Path) -> Path:
    """Leave out the frames of other markets, whose shapes resemble those of the spot market."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        kept = [line for line in lines if json.loads(line).get("market_type", "Spot") == "Spot"]
    copy = folder / file.name
    with gzip.open(copy, "wt", encoding="utf-8", compresslevel=1) as out:
        out.writelines(kept)
    return copy


def compared(row: dict[str, Any]) -> dict[str, Any]:
    kind = row["kind"]
    values = {name: row[name] for name in (*HEADER, *COLUMNS[kind])}
    for name in ("bid", "bid_size", "ask", "ask_size", "price", "size"):
        if values.get(name) is not None:
            values[name] = float(values[name])
            # A price made of a mid and a fee may differ in a double's last digits.
            if row.get("origin") == "synthetic":
                values[name] = float(f"{values[name]:.12g}")
    return {**values, "flags": row["flags"] & COMPARED_FLAGS[kind]}


def difference(wanted: list[dict[str, Any]], found: list[dict[str, Any]]) -> str | None:
    """Tell of the first row that differs, or of the first that only one side has."""
    for index, (one, other) in enumerate(zip_longest(wanted, found)):
        if one != other:
            return (
                f"row {index} differs (expected {len(wanted)} rows, found {len(found)})\n"
                f"  expected {in_words(one)}\n"
                f"     found {in_words(other)}"
            )
    return None


def in_words(row: dict[str, Any] | None) -> str:
    return " ".join(f"{name}={value}" for name, value in row.items()) if row else "no row"
