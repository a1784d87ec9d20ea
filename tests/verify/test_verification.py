"""A recording verifies as what it is: whole, or damaged at a place that is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.killed_recorders import kill_a_recorder
from support.made_recording import Made, alter
from support.running import collector_of, until

from monitor.processes import locks
from monitor.recordings import recovery
from monitor.rows.batches import DUPLICATE, MAYBE_BAD_BOOK
from monitor.settings.configuration import RecorderSettings
from monitor.verify.verification import verify

Run = Callable[..., Any]
BID, ASK = ("bid", 100.0, 1.0), ("ask", 101.0, 2.0)
DEEP = ("bid", 99.0, 5.0)


def good_book() -> Made:
    """A book of three levels, of which everything else that a recording holds speaks."""
    made = Made()
    made.clock(0)
    made.listed(0)
    made.whole(10, [BID, ASK, DEEP])
    made.change(20, [("bid", 100.0, 3.0), ("bid", 98.0, 0.0)], seq=7)
    made.change(20, [("bid", 100.0, 99.0)], DUPLICATE, seq=7)
    made.quote(20, ("bid", 100.0, 3.0), ASK, "book")
    made.quote(21, ("bid", 100.0, 3.0), ASK, "native", seq=7)
    made.depth(30, [("bid", 100.0, 3.0), DEEP, ASK])
    made.keyframe(40, [("bid", 100.0, 3.0), DEEP, ASK])
    made.change(50, [("ask", 100.5, 4.0)])
    made.clock(100)
    return made


def found(folder: Path) -> dict[str, Any]:
    return verify(folder, "x").document


def test_what_rows_say_of_a_book_is_compared_with_what_they_fold_to(tmp_path: Path) -> None:
    good_book().record(tmp_path / "x")
    document = found(tmp_path)
    assert (document["problems"], document["notes"], document["state"]) == ([], [], "sealed")
    (instrument,) = document["instruments"]
    assert instrument["compared"] == {"depth": 1, "keyframe": 1, "native": 1, "quote": 1}
    assert instrument["rows"] == {"quote": 2, "trade": 0, "book": 12}
    assert (instrument["guard"], instrument["verified_pct"]) == ("sequence", 90.0)


@pytest.mark.parametrize(
    ("statement", "ords"),
    [
        # The keyframe, its quotes and the depth row know the size of the row before them.
        ("UPDATE book SET size = 8 WHERE ord = 6", (6, 9, 10, 11, 12)),
        # A level deep in the book is only in the keyframe and in the depth row.
        ("UPDATE book SET size = 8 WHERE price = 99 AND ord < 10", (11, 12)),
        ("UPDATE book SET price = 97 WHERE price = 99 AND ord < 10", (11, 12)),
        ("UPDATE book SET size = 8 WHERE price = 99 AND ord > 10", (12,)),
        ("UPDATE depth SET bid_sizes = [3.0, 4.0]", (11,)),
        ("UPDATE depth SET ask_prices = [], ask_sizes = []", (11,)),
        ("UPDATE quote SET ask_size = 9 WHERE origin = 'book'", (9,)),
        ("UPDATE quote SET bid = 99 WHERE origin = 'native'", (10,)),
        # The last change makes the ask cross the bid.
        ("UPDATE book SET price = 99.5 WHERE price = 100.5", (16,)),
    ],
)
def test_one_altered_value_is_told_with_its_instrument_and_ord(
    tmp_path: Path, statement: str, ords: tuple[int, ...]
) -> None:
    alter(good_book().record(tmp_path / "x"), statement)
    digest, *others = found(tmp_path)["problems"]
    assert digest.startswith("000.duckdb: expected rows of the digest ")
    named = {line.split(":")[0] for line in others}
    assert named <= {f"binance BTC-USDT at ord {ord_}" for ord_ in ords}
    assert named


def test_the_row_that_set_a_level_is_named_with_the_one_that_contradicts_it(tmp_path: Path) -> None:
    file = good_book().record(tmp_path / "x")
    alter(file, "UPDATE book SET size = 8 WHERE price = 99 AND ord < 10")
    assert found(tmp_path)["problems"][1:] == [
        "binance BTC-USDT at ord 11: depth: expected bid 99 of size 8 as the book has it"
        " since ord 5, found size 5",
        "binance BTC-USDT at ord 12: keyframe: expected bid 99 with size 8 (as set at ord 5),"
        " found size 5",
    ]


def test_a_level_that_a_depth_row_left_out_is_missed(tmp_path: Path) -> None:
    made = Made()
    levels = [("bid", 100.0 - n, 1.0) for n in range(22)]
    made.whole(0, levels)
    made.depth(1, [*levels[:5], *levels[6:21]])
    made.record(tmp_path / "x")
    (problem,) = found(tmp_path)["problems"]
    assert problem.startswith("binance BTC-USDT at ord 23: depth: expected all the best bids")


def test_a_bad_book_is_not_judged_until_the_next_good_snapshot(tmp_path: Path) -> None:
    made = Made()
    made.whole(0, [BID, ASK])
    made.told(1, "gap", channel="book", expected=5, got=7, count=2)
    made.change(1, [("bid", 200.0, 1.0)], MAYBE_BAD_BOOK)
    made.keyframe(2, [("bid", 90.0, 1.0)])
    made.depth(3, [("bid", 90.0, 1.0)])
    made.record(tmp_path / "x")
    document = found(tmp_path)
    assert document["problems"] == []
    assert document["instruments"][0]["compared"] == {"depth": 1}


def test_verified_and_clean_are_shares_of_the_time(tmp_path: Path) -> None:
    made = Made()
    made.clock(0)
    made.listed(0)
    made.whole(10, [BID, ASK])
    made.change(50, [("bid", 100.0, 2.0)])
    # A loss seen at 60 may have been at any time since 50.
    made.told(60, "gap", channel="book", expected=5, got=7, count=2)
    made.change(60, [("bid", 100.0, 1.0)], MAYBE_BAD_BOOK)
    made.whole(80, [BID, ASK])
    made.told(85, "gap", channel="trade", expected=5, got=7, count=2)
    # Nothing came after 90; whether anything was lost from then on cannot be known.
    made.change(90, [("bid", 100.0, 4.0)])
    made.told(95, "disconnected", scope="connection", symbol=None, state="failed")
    made.clock(100)
    made.record(tmp_path / "x")
    (instrument,) = found(tmp_path)["instruments"]
    assert (instrument["verified_pct"], instrument["clean_pct"]) == (60.0, 45.0)
    assert instrument["told"] == {"gap": 2, "disconnected": 1}


def test_what_offers_no_proof_is_neither_verified_nor_clean(tmp_path: Path) -> None:
    made = Made("coinbase-exchange", "BTC-USD")
    made.listed(0)
    made.whole(0, [BID, ASK], seq_first=None)
    made.change(50, [("bid", 100.0, 2.0)], seq_first=None)
    made.clock(100)
    made.record(tmp_path / "x")
    (instrument,) = found(tmp_path)["instruments"]
    assert instrument["guard"] == "unverifiable"
    assert (instrument["verified_pct"], instrument["clean_pct"]) == (0.0, 0.0)


def test_numbered_trades_are_verified_while_they_come(tmp_path: Path) -> None:
    made = Made()
    made.listed(0)
    trade = {"price": 1.0, "size": 1.0, "side": "buy"}
    made.say("trade", 20, trade_id="1", **trade)
    made.say("trade", 40, trade_id="2", **trade)
    made.told(50, "gap", channel="trade", expected=3, got=5, count=2)
    made.say("trade", 50, trade_id="5", **trade)
    made.told(60, "polling", scope="symbol", state="polling")
    made.told(80, "connected", scope="symbol")
    made.say("trade", 90, trade_id="6", **trade)
    made.clock(100)
    made.record(tmp_path / "x")
    (instrument,) = found(tmp_path)["instruments"]
    assert (instrument["verified_pct"], instrument["clean_pct"]) == (50.0, 40.0)


# The example of Kraken's documentation (the v2 book page), as `rust_feed/src/book.rs` has it.
DOCUMENTED = {
    "bid": "0.5666 4831.75496356 0.5665 6658.22734739 0.5664 18724.91513344 0.5663 11563.92544914"
    " 0.5662 14006.65365711 0.5661 17454.85679807 0.566 18097.1547 0.5659 33644.89175666"
    " 0.5658 148.3464 0.5657 606.70854372",
    "ask": "0.5668 4410.79769741 0.5669 4655.40412487 0.567 49844.89424998 0.5671 24306.41678"
    " 0.5672 29783.25223475 0.5673 57234.71239278 0.5674 45065.04744 0.5675 5912.76380354"
    " 0.5676 42514.92434778 0.5677 36304.0847022",
}


@pytest.mark.parametrize(("got", "problems"), [(2_114_181_697, 0), (2_114_181_698, 1)])
def test_a_checksum_that_failed_is_formed_again(tmp_path: Path, got: int, problems: int) -> None:
    made = Made("kraken", "MATIC-USD")
    made.listed(0, seq_scope="none", price_precision=4.0, size_precision=8.0)
    levels = []
    for side, text in DOCUMENTED.items():
        numbers = [float(number) for number in text.split()]
        levels += [(side, *pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)]
    made.whole(0, levels)
    at = made.told(1, "checksum", channel="book", expected=1, got=got)
    made.change(1, [("bid", 0.5657, 1098.3947558)], MAYBE_BAD_BOOK, seq_first=None, seq=None)
    made.record(tmp_path / "x")
    document = found(tmp_path)
    assert document["instruments"][0]["compared"] == {"checksum": 1}
    assert len(document["problems"]) == problems
    assert all(f"kraken MATIC-USD at ord {at}:" in line for line in document["problems"])


def test_a_lost_row_is_damage_unless_a_row_tells_of_it(tmp_path: Path) -> None:
    good_book().record(tmp_path / "lost" / "x", without=(6,))
    assert found(tmp_path / "lost")["problems"] == [
        "ord 6 to 6: expected 1 rows, or a status row that tells of their loss, found neither"
    ]
    told = good_book()
    told.told(100, "overflow", scope="feed", expected=6, got=7, count=1)
    told.record(tmp_path / "told" / "x", without=(6,))
    document = found(tmp_path / "told")
    assert (document["problems"], document["missing"]) == ([], 1)
    # From the loss on the book is unknown until it is written whole.
    assert document["instruments"][0]["compared"] == {}
    one_more = good_book()
    one_more.told(100, "overflow", scope="feed", expected=6, got=11, count=1)
    one_more.record(tmp_path / "more" / "x", without=(6, 9))
    assert found(tmp_path / "more")["problems"] == [
        "ord 6 to 10: expected 1 rows lost as a status row tells, found 2 missing"
    ]


def test_rows_that_the_recorder_counted_as_lost_are_explained(tmp_path: Path) -> None:
    made = good_book()
    made.told(100, "recording", scope="recorder", venue="monitor", symbol=None, count=3)
    made.record(tmp_path / "x", without=(9, 10, 11))
    assert found(tmp_path)["problems"] == []


def test_a_recording_of_several_segments_lacks_none(tmp_path: Path) -> None:
    from monitor.recordings.recorder import Recorder

    made = good_book()
    recorder = Recorder(
        tmp_path / "x", ["made:by-hand"], lambda *_: None, RecorderSettings(segment_mb=1e-6)
    )
    recorder.start()
    # A message is never cut by the end of a segment.
    for first, behind in ((0, 6), (6, 12), (12, None)):
        before = recorder.segment_number
        recorder(made.batch(first, behind))
        until(lambda at=before: recorder.segment_number > at, "the next segment")
    recorder.close()
    assert found(tmp_path)["problems"] == []
    assert found(tmp_path)["instruments"][0]["compared"]["keyframe"] == 1
    files = sorted((tmp_path / "x").glob("*.duckdb"))
    with_rows = [file for file in files if _count(file, "SELECT count(*) FROM book")]
    with_rows[1].unlink()
    problems = found(tmp_path)["problems"]
    assert any(line.startswith("ord 6 to 11: expected 6 rows") for line in problems)


def _count(file: Path, query: str) -> int:
    import duckdb

    with duckdb.connect(str(file), read_only=True) as con:
        return int(con.sql(query).fetchall()[0][0])


def test_an_unclean_end_is_told_and_no_damage(tmp_path: Path) -> None:
    kill_a_recorder(tmp_path)
    with locks.hold(tmp_path):
        recovery.recover_all(tmp_path)
    document = found(tmp_path)
    assert (document["state"], document["problems"]) == ("unclean", [])
    assert document["notes"] == ["000.duckdb: unclean end: never sealed, so without a digest"]


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    """Turn over one byte in each block behind the headers."""
    content = bytearray(file.read_bytes())
    for at in range(12_288 + 5_000, len(content), 262_144):
        content[at] ^= 0xFF
    file.write_bytes(content)


@pytest.mark.parametrize("harm", [truncate, flip, lambda file: file.write_bytes(b"no database")])
def test_a_segment_that_cannot_be_read_is_named(
    tmp_path: Path, monitor: Run, harm: Callable[[Path], None]
) -> None:
    file = good_book().record(tmp_path / "recordings" / "x")
    assert monitor("verify", "x").returncode == 0
    harm(file)
    done = monitor("verify", "x")
    assert done.returncode == 1
    assert "damaged: 000.duckdb: expected a readable segment, found" in done.stdout
    assert done.stderr == ""


def test_what_does_not_exist_is_one_line(monitor: Run, tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    done = monitor("verify", "nothing")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("monitor: expected a recording in recordings or a path")


CAPTURES = [
    ("binance_us/cf_binance_us_20211011", "binance-us"),
    ("binance/cf_binance_20210404_btc_eth_dot", "binance"),
    ("binance/hft_ethusdt_20240808", "binance"),
    ("coinbase_advanced/cf_v3_20260809_seq0_499", "coinbase"),
    ("coinbase_exchange/cf_coinbase_20210417_five_products", "coinbase-exchange"),
    ("kraken_v1/cf_kraken_20210417", "kraken-v1"),
    ("kraken_v2/depthcharge_kraken_minagbp_d25_20260816", "kraken"),
    ("kraken_v2/python_kraken_sdk_book10_v2", "kraken"),
]


@pytest.mark.corpus
@pytest.mark.parametrize(("name", "venue"), CAPTURES)
def test_a_captured_session_is_undamaged_until_a_size_is_altered(
    captures: Path, tmp_path: Path, monitor: Run, name: str, venue: str
) -> None:
    file = captures / f"{name}.norm.ndjson.gz"
    assert monitor("ingest", file, "--venue", venue, "--recording", "x").returncode == 0
    assert found(tmp_path / "recordings")["problems"] == []
    segment = tmp_path / "recordings" / "x" / "000.duckdb"
    # The row that made the best bid of the last depth row.
    best = "SELECT ord, venue, symbol, bid_prices[1] AS best FROM depth ORDER BY ord DESC LIMIT 1"
    row = (
        f"SELECT max(book.ord) FROM book JOIN ({best}) AS told USING (venue, symbol)"
        f" WHERE side = 'bid' AND price = best AND book.ord < told.ord AND flags & {DUPLICATE} = 0"
    )
    if not _count(segment, "SELECT count(*) FROM depth"):
        return
    alter(segment, f"UPDATE book SET size = size + 1 WHERE ord = ({row})")
    altered = monitor("verify", "x")
    assert altered.returncode == 1
    assert f"since ord {_count(segment, row)}, found" in altered.stdout
    assert f"damaged: {venue} " in altered.stdout


def was_hit(instrument: dict[str, Any]) -> bool:
    """Whether a loss was seen within the time that is verified, and that is not all."""
    return 0 < instrument["clean_pct"] < instrument["verified_pct"] < 100


def test_faults_of_a_live_run_are_told_and_no_damage(
    tmp_path: Path, monitor: Run, background: Run
) -> None:
    faults = ["--fault", "gap@1", "--fault", "crc@2", "--fault", "reset@5", "--fault", "corrupt@3"]
    venues = ("binance", "kraken", "coinbase")
    simulated = background("simulate", *venues, "--rate", "300", *faults)
    endpoints = []
    for _ in venues:
        venue, ws, http = simulated.stdout.readline().split()
        endpoints += ["--endpoint", f"{venue}={ws},{http}"]
    sources = ["binance:BTC-USDT", "kraken:BTC-USD", "coinbase:BTC-USD"]
    live = background("record", *sources, *endpoints)
    name = collector_of(tmp_path / "recordings").recording

    def told() -> dict[str, Any] | None:
        running = monitor("verify", name, "--json")
        assert running.returncode == 0, running.stdout
        document: dict[str, Any] = json.loads(running.stdout)
        assert document["state"] == "open"
        kinds = ("gap", "checksum", "undecodable", "disconnected")
        is_told = all(document["told"].get(kind) for kind in kinds)
        # Which instrument a fault hits is up to chance: each of them must have been.
        return document if is_told and all(map(was_hit, document["instruments"])) else None

    until(told, "a gap, a failed checksum, an unreadable frame and a lost connection")
    live.terminate()
    digest = live.stdout.read().split()[-1]
    assert live.wait(10) == 0
    done = monitor("verify", name, "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["problems"]) == (0, [])
    assert (document["state"], document["digest"]) == ("sealed", digest)
    for instrument in document["instruments"]:
        assert was_hit(instrument)
        assert instrument["compared"]["depth"] > 0
