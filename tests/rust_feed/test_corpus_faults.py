"""A session as captured is clean; each damage done to it is told once, where it is."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from reference.books import Book
from support.corpus_books import recorded, statuses
from support.corpus_faults import (
    COINBASE,
    KRAKEN_CF,
    Record,
    Run,
    carries_checksum,
    ingest,
    records,
)

from monitor import recordings
from monitor.rows.batches import DUPLICATE, GAP, LAST, MAYBE_BAD_BOOK

pytestmark = pytest.mark.corpus

EXCHANGE = "coinbase_exchange/cf_coinbase_20210417_five_products"
KRAKEN_SDK = "kraken_v1/python_kraken_sdk_book10_v1"
MINA = "kraken_v2/depthcharge_kraken_minagbp_d25_20260816"
# Sessions, each with how many of its frames carry a checksum.
CLEAN = [
    (COINBASE, "coinbase", 0),
    (EXCHANGE, "coinbase-exchange", 0),
    (KRAKEN_CF, "kraken-v1", 4269),
    (KRAKEN_SDK, "kraken-v1", 979),
    (MINA, "kraken", 30),
    ("binance/cf_binance_20210404_btc_eth_dot", "binance", 0),
    ("binance/cf_binance_20211011_nkn_blz_lrc_rune", "binance", 0),
    ("binance/hft_ethusdt_20240808", "binance", 0),
    ("binance_us/cf_binance_us_20211011", "binance-us", 0),
]
LOSSES = {"gap", "checksum", "crossed", "mismatch", "duplicate", "late", "undecodable", "resync"}


def losses(folder: Path) -> list[Record]:
    return [row for row in statuses(folder / "recordings", "x") if row["kind"] in LOSSES]


def books(folder: Path) -> list[Record]:
    return [row for row in recorded(folder / "recordings", "x") if row["kind"] == "book"]


@pytest.mark.parametrize(("name", "venue", "checksums"), CLEAN)
def test_a_session_as_captured_is_clean(
    captures: Path, tmp_path: Path, monitor: Run, name: str, venue: str, checksums: int
) -> None:
    lines = records(captures, name)
    assert sum(map(carries_checksum, lines)) == checksums
    ingest(tmp_path, monitor, venue, lines)
    assert losses(tmp_path) == []
    # Binance's changes come before the snapshot that they are spliced to.
    if not venue.startswith("binance"):
        assert not any(row["flags"] & MAYBE_BAD_BOOK for row in books(tmp_path))


def test_an_altered_quantity_spoils_the_book_until_the_next_snapshot(
    captures: Path, tmp_path: Path, monitor: Run
) -> None:
    """The captured session is played twice, so that a snapshot follows; the first time altered."""
    lines = records(captures, KRAKEN_SDK)
    updates = [at for at, line in enumerate(lines) if carries_checksum(line)]
    altered = updates[99]
    assert '"0.00100000"' not in lines[altered]["raw"]
    frame = json.loads(lines[altered]["raw"])
    (side,) = frame[1].keys() & {"a", "b"}
    kept = [level for level in frame[1][side] if float(level[1])]
    kept[-1][1] = "0.00100000"
    changed = {**lines[altered], "raw": json.dumps(frame, separators=(",", ":"))}
    ingest(
        tmp_path, monitor, "kraken-v1", [*lines[:altered], changed, *lines[altered + 1 :], *lines]
    )
    told = losses(tmp_path)
    assert [(row["kind"], row["symbol"], row["channel"]) for row in told] == [
        ("checksum", "BTC-USD", "book"),
        ("resync", "BTC-USD", "book"),
    ]
    assert told[0]["expected"] == int(frame[1]["c"])
    rows = books(tmp_path)
    messages = [row["flags"] & MAYBE_BAD_BOOK for row in rows if row["flags"] & LAST]
    good, bad = 1 + 99, len(updates) - 99
    assert messages == [0] * good + [MAYBE_BAD_BOOK] * bad + [0] * (1 + len(updates))


def test_a_bad_book_of_kraken_leaves_the_others_of_its_connection_alone(
    captures: Path, tmp_path: Path, monitor: Run
) -> None:
    lines = records(captures, KRAKEN_CF)
    altered = next(at for at, line in enumerate(lines) if carries_checksum(line))
    frame = json.loads(lines[altered]["raw"])
    frame[1]["c"] = str(int(frame[1]["c"]) ^ 1)
    lines[altered] = {**lines[altered], "raw": json.dumps(frame, separators=(",", ":"))}
    ingest(tmp_path, monitor, "kraken-v1", lines)
    (told,) = losses(tmp_path)
    assert told["kind"] == "checksum"
    bad = {row["symbol"] for row in books(tmp_path) if row["flags"] & MAYBE_BAD_BOOK}
    assert bad == {told["symbol"]}


@pytest.mark.parametrize("kind", ["l2_data", "heartbeats"])
def test_a_deleted_coinbase_frame_is_one_gap_of_the_connection(
    captures: Path, tmp_path: Path, monitor: Run, kind: str
) -> None:
    lines = records(captures, COINBASE)
    of_kind = [at for at, line in enumerate(lines) if f'"channel":"{kind}"' in line["raw"]]
    deleted = of_kind[len(of_kind) // 2]
    number = json.loads(lines[deleted]["raw"])["sequence_num"]
    ingest(tmp_path, monitor, "coinbase", lines[:deleted] + lines[deleted + 1 :])
    told = [
        (row["kind"], row["scope"], row["expected"], row["got"], row["count"])
        for row in losses(tmp_path)
    ]
    assert told == [("gap", "connection", number, number + 1, 1)]
    bad = {row["seq"] > number: row["flags"] & MAYBE_BAD_BOOK for row in books(tmp_path)}
    assert bad == {False: 0, True: MAYBE_BAD_BOOK}


def test_a_deleted_match_of_coinbase_exchange_is_one_gap_of_its_product(
    captures: Path, tmp_path: Path, monitor: Run
) -> None:
    lines = records(captures, EXCHANGE)
    matches = [at for at, line in enumerate(lines) if '"type":"match"' in line["raw"]]
    products = Counter(json.loads(lines[at]["raw"])["product_id"] for at in matches)
    product = products.most_common(1)[0][0]
    of_product = [at for at in matches if json.loads(lines[at]["raw"])["product_id"] == product]
    # The first behind the last match that the subscription brought.
    deleted = of_product[0]
    number = json.loads(lines[deleted]["raw"])["trade_id"]
    ingest(tmp_path, monitor, "coinbase-exchange", lines[:deleted] + lines[deleted + 1 :])
    (told,) = losses(tmp_path)
    assert (told["kind"], told["symbol"], told["channel"]) == ("gap", product, "trade")
    assert (told["expected"], told["got"], told["count"]) == (number, number + 1, 1)
    flagged = [
        (row["trade_id"], row["flags"] & (GAP | DUPLICATE))
        for row in recorded(tmp_path / "recordings", "x")
        if row["kind"] == "trade" and row["flags"] & (GAP | DUPLICATE)
    ]
    assert flagged == [(str(number + 1), GAP)]


@pytest.mark.parametrize(
    ("name", "venue"), [(EXCHANGE, "coinbase-exchange"), (COINBASE, "coinbase")]
)
def test_quotes_from_a_book_are_the_best_of_what_its_rows_fold_to(
    captures: Path, tmp_path: Path, monitor: Run, name: str, venue: str
) -> None:
    ingest(tmp_path, monitor, venue, records(captures, name))
    folded: defaultdict[str, Book] = defaultdict(Book)
    compared: Counter[str] = Counter()
    with recordings.open_recording(tmp_path / "recordings", "x") as recording:
        for batch in recording.batches():
            rows = [*batch["book"].to_pylist(), *batch["quote"].to_pylist()]
            for row in sorted(rows, key=lambda row: row["ord"]):
                book = folded[row["symbol"]]
                if "side" in row:
                    book.take(row)
                elif row["origin"] == "book":
                    best = (*book.best_bids()[0], *book.best_asks()[0])
                    names = ("bid", "bid_size", "ask", "ask_size")
                    assert tuple(row[name] for name in names) == best
                    compared[row["symbol"]] += 1
    assert min(compared.values()) >= 2
    assert compared.keys() == folded.keys()
