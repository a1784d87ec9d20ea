"""What the corpus itself says of the independent decoder: a wrong reference fails here."""

from __future__ import annotations

import gzip
import json
from bisect import bisect_right
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import reference
from reference import binance
from reference.books import Book, checksum
from reference.capture import records
from reference.row import LAST, REST, SNAPSHOT, SYNTHETIC, Level, slashed

pytestmark = pytest.mark.corpus

CF_BINANCE = "binance/cf_binance_20211011_nkn_blz_lrc_rune"
CF_BINANCE_US = "binance_us/cf_binance_us_20211011"
CF_COINBASE = "coinbase_advanced/cf_v3_20260809_seq0_499"
CF_EXCHANGE = "coinbase_exchange/cf_coinbase_20210417_five_products"
CF_KRAKEN = "kraken_v1/cf_kraken_20210417"
HFT_FIRST, HFT_NEXT = "binance/hft_ethusdt_20240808", "binance/hft_ethusdt_20240809"
MINA = "kraken_v2/depthcharge_kraken_minagbp_d25_20260816"
SDK_V1 = "kraken_v1/python_kraken_sdk_book10_v1"
SDK_V2 = "kraken_v2/python_kraken_sdk_book10_v2"
TARDIS_EXCHANGE = "coinbase_exchange/tardis_node_tests"
TARDIS_KRAKEN = "kraken_v1/tardis_node_tests"
LIGHTRAO, ROTKI = "uniswap/lightrao_subgraph_pools20", "uniswap/rotki_vcr"

# Quotes, trades, book rows of the wire and deletions by the depth limit. All but the deletions
# were counted by patterns over the payloads' text, less what is said beside them.
COUNTS = [
    ("binance/cf_binance_20210404_btc_eth_dot", "binance", (0, 1910, 34443, 0)),
    (CF_BINANCE, "binance", (84, 2, 5074, 0)),
    ("binance/crypto_msg_parser_tests", "binance", (1, 1, 16, 0)),
    (HFT_FIRST, "binance", (24077, 6106, 108815, 0)),
    (HFT_NEXT, "binance", (34681, 8409, 165950, 0)),
    ("binance/lookup_misc", "binance", (0, 0, 0, 0)),
    ("binance_rest/gct_http_mock", "binance", (1, 0, 57, 0)),
    (CF_BINANCE_US, "binance-us", (128, 11, 2298, 0)),
    (CF_COINBASE, "coinbase", (81, 250, 71427, 0)),
    ("coinbase_advanced/lookup_misc", "coinbase", (0, 0, 0, 0)),
    (CF_EXCHANGE, "coinbase-exchange", (69, 69, 9652, 0)),
    ("coinbase_exchange/lookup_misc", "coinbase-exchange", (0, 1, 0, 0)),
    # One level has the size `0.-10000`.
    (TARDIS_EXCHANGE, "coinbase-exchange", (3, 1, 11 - 1, 0)),
    ("finnhub/lookup_misc", "finnhub", (0, 75, 0, 0)),
    # Nine pairs have neither a bid nor an ask.
    ("kraken_rest/rotki_vcr", "kraken", (1530 - 9, 0, 0, 0)),
    (CF_KRAKEN, "kraken-v1", (18, 10, 11755, 0)),
    (SDK_V1, "kraken-v1", (0, 0, 1313, 236)),
    # One spread is all zeros.
    (TARDIS_KRAKEN, "kraken-v1", (2 - 1, 3, 7, 0)),
    (MINA, "kraken", (0, 0, 108, 19)),
    ("kraken_v2/lookup_misc", "kraken", (1, 1, 0, 0)),
    (SDK_V2, "kraken", (0, 0, 693, 125)),
    (LIGHTRAO, "uniswap", (20, 0, 0, 0)),
    # Only the two documented pools can be named and priced.
    (ROTKI, "uniswap", (4, 0, 0, 0)),
]


def capture(captures: Path, name: str) -> Path:
    return captures / f"{name}.norm.ndjson.gz"


def levels(text: str) -> list[Level]:
    return [Level(*map(Decimal, level.split("/"))) for level in text.split()]


@pytest.mark.parametrize(("name", "venue", "counts"), COUNTS)
def test_every_file_holds_this_many_quotes_trades_and_book_rows(
    captures: Path, name: str, venue: str, counts: tuple[int, int, int, int]
) -> None:
    found = Counter(
        "pushed" if row["kind"] == "book" and row["flags"] & SYNTHETIC else row["kind"]
        for row in reference.rows(capture(captures, name), venue)
    )
    assert tuple(found[kind] for kind in ("quote", "trade", "book", "pushed")) == counts


def test_no_file_of_the_corpus_is_left_out(captures: Path) -> None:
    files = {str(file.relative_to(captures)) for file in captures.glob("*/*.norm.ndjson.gz")}
    assert files == {f"{name}.norm.ndjson.gz" for name, _, _ in COUNTS}


@pytest.mark.parametrize(
    ("name", "venue", "digits", "passing"),
    [
        (CF_KRAKEN, "kraken-v1", (), 4269),
        (SDK_V1, "kraken-v1", (), 979),
        (MINA, "kraken", (), 30),
        # This one went through Python floats, which lost the padding that the venue sums up.
        (SDK_V2, "kraken", (1, 8), 510),
    ],
)
def test_books_folded_from_the_rows_alone_pass_every_checksum_of_kraken(
    captures: Path, name: str, venue: str, digits: tuple[int, ...], passing: int
) -> None:
    decoder, books, passed = reference.DECODERS[venue](), defaultdict(Book), 0
    for record in records(capture(captures, name)):
        for row in decoder.rows(record):
            if row["kind"] == "book":
                books[row["symbol"]].take(row)
        for symbol, sent in checksums(record.frame()):
            top = books[symbol].best_asks(10), books[symbol].best_bids(10)
            assert checksum(*top, *digits) == sent, f"{name}: message at {record.ts_recv}"
            passed += 1
    assert passed == passing


def checksums(frame: Any) -> list[tuple[str, int]]:
    if isinstance(frame, list) and frame[-2].startswith("book-"):
        return [(slashed(frame[-1]), int(part["c"])) for part in frame[1:-2] if "c" in part]
    if isinstance(frame, dict) and frame.get("channel") == "book":
        return [(slashed(item["symbol"]), item["checksum"]) for item in frame["data"]]
    return []


@pytest.mark.parametrize(
    ("name", "venue", "depth"),
    [(MINA, "kraken", 25), (SDK_V2, "kraken", 10), (SDK_V1, "kraken-v1", 10)],
)
def test_deletions_by_the_depth_limit_keep_each_side_at_the_subscribed_depth(
    captures: Path, name: str, venue: str, depth: int
) -> None:
    book, fullest = Book(), 0
    for row in reference.rows(capture(captures, name), venue):
        book.take(row)
        if row["flags"] & LAST:
            fullest = max(fullest, len(book.bids), len(book.asks))
    assert fullest == depth


MATIC_ASKS = (
    "0.5668/4410.79769741 0.5669/4655.40412487 0.567/49844.89424998 0.5671/24306.41678 "
    "0.5672/29783.25223475 0.5673/57234.71239278 0.5674/45065.04744 0.5675/5912.76380354 "
    "0.5676/42514.92434778 0.5677/36304.0847022"
)
MATIC_BIDS = (
    "0.5666/4831.75496356 0.5665/6658.22734739 0.5664/18724.91513344 0.5663/11563.92544914 "
    "0.5662/14006.65365711 0.5661/17454.85679807 0.566/18097.1547 0.5659/33644.89175666 "
    "0.5658/148.3464 "
)
VECTORS = {
    "A": (
        "45285.2/0.00100000 45286.4/1.54571953 45286.6/1.54571109 45289.6/1.54560911 "
        "45290.2/0.15890660 45291.8/1.54553491 45294.7/0.04454749 45296.1/0.35380000 "
        "45297.5/0.09945542 45299.5/0.18772827",
        "45283.5/0.10000000 45283.4/1.54582015 45282.1/0.10000000 45281.0/0.10000000 "
        "45280.3/1.54592586 45279.0/0.07990000 45277.6/0.03310103 45277.5/0.30000000 "
        "45277.3/1.54602737 45276.6/0.15445238",
        (1, 8),
        3310070434,
    ),
    "B": (MATIC_ASKS, MATIC_BIDS + "0.5657/606.70854372", (4, 8), 2439117997),
    "B as printed": (MATIC_ASKS, MATIC_BIDS + "0.5657/606.70854372", (), 3830085102),
    "C": (MATIC_ASKS, MATIC_BIDS + "0.5657/1098.3947558", (4, 8), 2114181697),
    "D": (
        " ".join(f"0.0{price}/0.00000500" for price in range(5005, 5055, 5)),
        " ".join(
            f"0.0{price}/0.00000500"
            for price in (5000, 4995, 4990, 4980, 4975, 4970, 4965, 4960, 4955, 4950)
        ),
        (),
        974947235,
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_checksums_equal_those_that_kraken_documents(name: str) -> None:
    asks, bids, digits, documented = VECTORS[name]
    assert checksum(levels(asks), levels(bids), *digits) == documented


@pytest.mark.parametrize(
    ("names", "same_id", "since"),
    [
        ([CF_BINANCE], 26, 159),
        ([CF_BINANCE_US], 56, 316),
        # The second file has no snapshot, but its first diff follows on the last of the first file.
        ([HFT_FIRST, HFT_NEXT], 1056, 6468),
    ],
)
def test_rebuilt_binance_books_equal_book_ticker_at_the_same_update_id(
    captures: Path, names: list[str], same_id: int, since: int
) -> None:
    files = [record for name in names for record in records(capture(captures, name))]
    frames = [record.frame().get("data", {}) for record in files]
    tickers: dict[str, dict[int, tuple[Decimal, ...]]] = defaultdict(dict)
    for data in frames:
        if "B" in data:
            tickers[data["s"]][data["u"]] = tuple(Decimal(data[key]) for key in "bBaA")
    decoder, compared = binance.Decoder(), Counter()
    ids = {symbol: sorted(held) for symbol, held in tickers.items()}
    for record, data in zip(files, frames, strict=True):
        list(decoder.rows(record))
        book = decoder.books.get(data.get("s", "")) if data.get("e") == "depthUpdate" else None
        if book is None or book.id != data["u"]:
            continue
        top = (*book.best_bids()[0], *book.best_asks()[0])
        # The best prices change only with a ticker, so the last one before still holds.
        upto = bisect_right(ids.get(data["s"], []), book.id)
        for number in ids.get(data["s"], [])[max(upto - 1, 0) : upto]:
            assert top == tickers[data["s"]][number], f"{data['s']} at update {book.id}"
            compared["since"] += 1
            compared["same id"] += number == book.id
    assert (compared["same id"], compared["since"]) == (same_id, since)
    assert all(book.gaps == 0 and book.id is not None for book in decoder.books.values())


def test_diffs_that_outlive_a_later_snapshot_are_written_once_more_behind_it(
    tmp_path: Path,
) -> None:
    """The corpus has no such diff, so these frames follow the documented steps of the splice."""
    file = tmp_path / "spliced.ndjson.gz"
    depth = "https://api.binance.com/api/v3/depth"
    frames = [
        ("ws", None, diff(first=157, last=160, bid="10")),
        ("ws", None, diff(first=161, last=164, bid="11")),
        ("http", depth, {"lastUpdateId": 162, "bids": [["0.0024", "9"]], "asks": []}),
        ("ws", None, diff(first=165, last=166, bid="12")),
    ]
    with gzip.open(file, "wt", encoding="utf-8") as lines:
        for kind, url, frame in frames:
            record = {"recv_ns": 1, "kind": kind, "conn": "c", "url": url, "raw": json.dumps(frame)}
            lines.write(json.dumps(record) + "\n")
    found = [
        (row["seq_first"], row["seq"], row["side"], row["size"], row["flags"])
        for row in reference.rows(file, "binance")
    ]
    assert found == [
        (157, 160, "bid", 10, LAST),
        (161, 164, "bid", 11, LAST),
        (None, 162, None, None, SNAPSHOT | REST),
        (None, 162, "bid", 9, SNAPSHOT | REST | LAST),
        (161, 164, "bid", 11, SYNTHETIC | LAST),
        (165, 166, "bid", 12, LAST),
    ]


def diff(first: int, last: int, bid: str) -> dict[str, Any]:
    ids = {"U": first, "u": last}
    return {
        "e": "depthUpdate",
        "E": 1672515782136,
        "s": "BNBBTC",
        **ids,
        "b": [["0.0024", bid]],
        "a": [],
    }


def test_coinbase_numbers_every_frame_of_the_connection_without_a_gap(captures: Path) -> None:
    numbers = [
        record.frame()["sequence_num"]
        for record in records(capture(captures, CF_COINBASE))
        if record.kind == "ws"
    ]
    assert numbers == list(range(500))


@pytest.mark.parametrize(
    ("name", "venue"), [(CF_COINBASE, "coinbase"), (CF_EXCHANGE, "coinbase-exchange")]
)
def test_coinbase_trade_ids_of_a_product_have_no_hole(
    captures: Path, name: str, venue: str
) -> None:
    ids = defaultdict(list)
    for row in reference.rows(capture(captures, name), venue):
        if row["kind"] == "trade":
            ids[row["symbol"]].append(int(row["trade_id"]))
    for found in ids.values():
        assert sorted(found) == list(range(min(found), max(found) + 1))


@pytest.mark.parametrize(
    ("name", "venue", "tops", "sides"),
    [
        (CF_COINBASE, "coinbase", (70, 75), (46, 49)),
        (CF_EXCHANGE, "coinbase-exchange", (65, 69), (62, 64)),
    ],
)
def test_coinbase_books_never_cross_and_agree_with_tickers_and_the_aggressors_of_trades(
    captures: Path, name: str, venue: str, tops: tuple[int, int], sides: tuple[int, int]
) -> None:
    """Tickers and trades run a little beside the book, so a few of them come too late or early.

    The maker's side, which the venue sends, would make nearly every trade disagree.
    """
    books, quotes, trades = defaultdict(Book), Counter(), Counter()
    for row in reference.rows(capture(captures, name), venue):
        book = books[row["symbol"]]
        if row["kind"] == "book":
            book.take(row)
            assert not (row["flags"] & LAST and book.crossed())
        elif book.bids and not row["flags"] & SNAPSHOT:
            bid, ask = max(book.bids), min(book.asks)
            if row["kind"] == "quote":
                quotes[(row["bid"], row["ask"]) == (bid, ask)] += 1
            else:
                trades[(row["price"] > (bid + ask) / 2) == (row["side"] == "buy")] += 1
    assert (quotes[True], quotes.total()) == tops
    assert (trades[True], trades.total()) == sides


def test_the_takers_side_of_a_coinbase_ticker_is_that_of_the_trade_it_follows(
    captures: Path,
) -> None:
    file = capture(captures, CF_EXCHANGE)
    frames = [record.frame() for record in records(file) if record.kind == "ws"]
    takers = {
        (frame["product_id"], str(frame["trade_id"])): frame["side"]
        for frame in frames
        if frame["type"] == "ticker"
    }
    trades = [row for row in reference.rows(file, "coinbase-exchange") if row["kind"] == "trade"]
    assert {(row["symbol"], row["trade_id"]): row["side"] for row in trades} == takers


def test_finnhub_conditions_are_missing_whether_the_wire_says_null_or_nothing(
    captures: Path,
) -> None:
    found = Counter(
        (row["symbol"], tuple(row["conditions"] or ()))
        for row in reference.rows(capture(captures, "finnhub/lookup_misc"), "finnhub")
    )
    assert found == {
        ("BTC-USDT", ()): 10,
        ("AAPL-USD", ()): 4,
        ("AAPL-USD", ("1",)): 11,
        ("AAPL-USD", ("1", "12")): 40,
        ("AAPL-USD", ("1", "8")): 3,
        ("AAPL-USD", ("1", "8", "12")): 7,
    }
