"""A clip stands alone: its window as it was recorded, behind what was in force when it began."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.made_recording import MESSAGE, T0, Made, S
from support.running import until, with_ns

from monitor import recordings
from monitor._rust_feed import Digest
from monitor.jobs.clip_window import clip, default_file
from monitor.recordings.recorder import Recorder
from monitor.rows.batches import (
    BAD_TS_RECV,
    DUPLICATE,
    GAP,
    KEYFRAME,
    KINDS,
    LAST,
    MAYBE_BAD_BOOK,
    SNAPSHOT,
    SYNTHETIC,
)
from monitor.settings.configuration import RecorderSettings
from monitor.verify.verification import verify

Run = Callable[..., Any]
Row = dict[str, Any]
BID, ASK = ("bid", 100.0, 1.0), ("ask", 101.0, 2.0)
WHOLE = KEYFRAME | SNAPSHOT | SYNTHETIC
OLD = SYNTHETIC | BAD_TS_RECV


def rows_of(folder: Path, name: str) -> list[Row]:
    """Return all rows in order, their times as ns."""
    found = []
    with recordings.open_recording(folder, name) as recording:
        for batch in recording.batches():
            for kind in KINDS:
                found += [{"kind_": kind, **row} for row in with_ns(batch[kind])]
    return sorted(
        found, key=lambda row: row["cause_ord"] + 0.5 if "cause_ord" in row else row["ord"]
    )


def cut(folder: Path, from_s: float, to_s: float) -> tuple[list[Row], str]:
    """Cut a window, in seconds since `T0`; return the rows of the clip and its digest."""
    file = folder / "cut.duckdb"
    done = clip(folder, "x", T0 + round(from_s * S), T0 + round(to_s * S), file)
    rows = rows_of(folder, str(file))
    assert len(rows) == done.rows + done.restated
    document = verify(folder, str(file)).document
    assert (document["problems"], document["digest"]) == ([], done.digest)
    return rows, done.digest


def books_of(rows: list[Row]) -> dict[str, dict[tuple[str, float], float]]:
    """Fold book rows into what stands behind the last."""
    books: dict[str, dict[tuple[str, float], float]] = {}
    for row in rows:
        if row["kind_"] != "book" or row["flags"] & DUPLICATE:
            continue
        if row["flags"] & MAYBE_BAD_BOOK:
            books.pop(row["symbol"], None)
        elif row["side"] is None:
            books[row["symbol"]] = {}
        elif row["symbol"] in books:
            books[row["symbol"]][row["side"], row["price"]] = row["size"]
    return {name: {at: size for at, size in book.items() if size} for name, book in books.items()}


def market() -> Made:
    """Two origins of quotes, a book, and a state, all said before second 30."""
    made = Made()
    made.clock(0)
    made.listed(0)
    made.listed(1, raw_symbol="BTCUSDT")
    made.told(1, "connected", scope="connection", symbol=None, detail="one")
    made.told(2, "origin", channel="quote", detail="native")
    made.told(2, "subscribed", channel="quote")
    made.told(2, "connected", scope="symbol")
    made.told(3, "connected", scope="connection", symbol=None, detail="two")
    made.whole(10, [("bid", 99.0, 7.0), BID, ASK, ("ask", 102.0, 9.0)])
    made.change(12, [("bid", 99.0, 0.0), ("bid", 100.0, 3.0), ("ask", 102.0, 8.0)], seq=77)
    made.quote(20, BID, ASK, "native")
    made.told(26, "origin", channel="quote", detail="book")
    made.quote(27, ("bid", 100.0, 3.0), ASK, "book")
    made.quote(28, BID, ("ask", 109.0, 1.0), "native")
    made.clock(29)
    made.change(30, [("ask", 101.0, 5.0)])
    cause = made.quote(31, ("bid", 100.0, 3.0), ("ask", 101.0, 5.0), "book")
    made.signal(31, cause)
    made.clock(32)
    made.clock(33)
    return made


def test_a_clip_begins_with_what_was_in_force(tmp_path: Path) -> None:
    made = market()
    made.record(tmp_path / "x")
    rows, _ = cut(tmp_path, 30, 32)
    begin = next(row["ord"] for kind, row in made.rows if row.get("seq") and row["size"] == 5.0)
    whole = rows_of(tmp_path, "x")
    assert rows[10:] == [
        row for row in whole if row.get("ord", begin) >= begin and row["ts_recv"] <= T0 + 32 * S
    ]
    names = ("kind_", "ord", "flags", "ts_recv", "detail", "raw_symbol", "kind", "origin")
    assert [[row.get(name) for name in names] for row in rows[:6]] == [
        ["instrument", begin - 10, OLD, T0 + 25 * S, None, "BTCUSDT", None, None],
        ["status", begin - 9, OLD, T0 + 25 * S, None, None, "subscribed", None],
        ["status", begin - 8, OLD, T0 + 25 * S, None, None, "connected", None],
        ["status", begin - 7, OLD, T0 + 25 * S, "two", None, "connected", None],
        ["status", begin - 6, SYNTHETIC, T0 + 26 * S, "book", None, "origin", None],
        ["quote", begin - 5, SYNTHETIC, T0 + 27 * S, None, None, None, "book"],
    ]
    names = ("kind_", "ord", "flags", "ts_recv", "side", "price", "size", "seq")
    assert [[row.get(name) for name in names] for row in rows[6:10]] == [
        ["book", begin - 4, WHOLE, T0 + 30 * S, None, None, None, 77],
        ["book", begin - 3, WHOLE, T0 + 30 * S, "bid", 100.0, 3.0, 77],
        ["book", begin - 2, WHOLE, T0 + 30 * S, "ask", 101.0, 2.0, 77],
        ["book", begin - 1, WHOLE | LAST, T0 + 30 * S, "ask", 102.0, 8.0, 77],
    ]


@settings(max_examples=25)
@given(messages=st.lists(MESSAGE, min_size=2, max_size=25), ends=st.tuples(*[st.floats(0, 1)] * 2))
def test_the_books_of_a_clip_end_as_those_of_its_recording(
    tmp_path_factory: pytest.TempPathFactory, messages: list[Any], ends: tuple[float, float]
) -> None:
    made = Made()
    for second, (what, symbol, levels) in enumerate(messages):
        made.symbol = symbol
        # Prices of asks are lifted above those of bids: a crossed book would be told.
        apart = [(side, price + 10 * (side == "ask"), size) for side, price, size in levels]
        if what == "whole":
            made.whole(second, apart)
        else:
            flags = {"again": DUPLICATE, "bad": MAYBE_BAD_BOOK}.get(what, 0)
            made.change(second, apart, flags)
        made.clock(second)
    folder = tmp_path_factory.mktemp("clip")
    made.record(folder / "x")
    first, last = sorted(int(end * (len(messages) - 1)) for end in ends)
    rows, _ = cut(folder, first, last)
    whole = rows_of(folder, "x")
    inside = [row for row in whole if T0 + first * S <= row["ts_recv"] <= T0 + last * S]
    before = rows[: len(rows) - len(inside)]
    assert rows[len(before) :] == inside
    assert all(row["flags"] & SYNTHETIC for row in before)
    assert [row["ord"] for row in rows] == list(range(rows[0]["ord"], inside[-1]["ord"] + 1))
    assert books_of(rows) == books_of([row for row in whole if row["ord"] <= inside[-1]["ord"]])


def test_a_clip_of_everything_is_the_recording(tmp_path: Path) -> None:
    market().record(tmp_path / "x")
    rows, digest = cut(tmp_path, 0, 100)
    assert rows == rows_of(tmp_path, "x")
    assert digest == verify(tmp_path, "x").document["digest"]


def test_a_clip_of_a_clip_says_what_it_was_cut_from(tmp_path: Path) -> None:
    market().record(tmp_path / "x")
    clip(tmp_path, "x", T0 + 5 * S, T0 + 40 * S, tmp_path / "one.duckdb")
    clip(tmp_path, str(tmp_path / "one.duckdb"), T0 + 30 * S, T0 + 40 * S, tmp_path / "two.duckdb")
    for name, origin in (("one", "x"), ("two", "one")):
        with recordings.parts_of(tmp_path, tmp_path / f"{name}.duckdb") as (part,):
            assert part.about is not None
            assert (part.about.id, part.about.state) == (name, "sealed")
            assert part.about.sources == [f"clip:{origin}", "made:by-hand"]
    assert verify(tmp_path, str(tmp_path / "two.duckdb")).document["problems"] == []
    assert books_of(rows_of(tmp_path, str(tmp_path / "two.duckdb"))) == books_of(
        rows_of(tmp_path, "x")
    )


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("gap", {"scope": "connection", "symbol": None}),
        ("disconnected", {"scope": "connection", "symbol": None, "state": "failed"}),
        ("checksum", {"channel": "book"}),
    ],
)
def test_a_book_that_fell_before_the_window_is_not_restated(
    tmp_path: Path, kind: str, values: Row
) -> None:
    made = Made()
    made.whole(0, [BID, ASK])
    made.told(1, kind, **values)
    made.clock(10)
    made.whole(11, [BID, ASK], GAP)
    made.record(tmp_path / "x")
    rows, _ = cut(tmp_path, 10, 10)
    assert books_of(rows) == {}
    rows, _ = recut(tmp_path, 10, 20)
    assert books_of(rows) == {"BTC-USDT": {BID[:2]: BID[2], ASK[:2]: ASK[2]}}


def recut(folder: Path, from_s: float, to_s: float) -> tuple[list[Row], str]:
    (folder / "cut.duckdb").unlink()
    return cut(folder, from_s, to_s)


def test_rows_lost_in_the_window_are_explained_in_the_clip(tmp_path: Path) -> None:
    made = Made()
    made.whole(0, [BID, ASK])
    for second in range(1, 10):
        made.clock(second)
    made.told(20, "overflow", scope="feed", symbol=None, expected=5, got=9, count=4)
    made.record(tmp_path / "x", without=(5, 6, 7, 8))
    # The row that tells of the loss lies behind the window.
    rows, _ = cut(tmp_path, 2, 9)
    assert [(row["kind_"], row["flags"]) for row in rows[-1:]] == [("status", OLD)]
    # A book that lacks rows is not restated; before the loss it is.
    assert [row["kind_"] for row in recut(tmp_path, 8, 9)[0]] == ["clock", "clock"]
    assert len(books_of(recut(tmp_path, 1, 2)[0])) == 1


def test_a_clip_reaches_back_over_segments(tmp_path: Path) -> None:
    made = market()
    recorder = Recorder(
        tmp_path / "x", ["made:by-hand"], lambda *_: None, RecorderSettings(segment_mb=1e-6)
    )
    recorder.start()
    bounds = [0, 8, 13, 16, 18, None]
    for first, behind in pairwise(bounds):
        before = recorder.segment_number
        recorder(made.batch(first or 0, behind))
        until(lambda at=before: recorder.segment_number > at, "the next segment")
    recorder.close()
    rows, _ = cut(tmp_path, 30, 32)
    market().record(tmp_path / "one" / "x")
    assert rows == cut(tmp_path / "one", 30, 32)[0]


@pytest.mark.corpus
def test_a_clip_replays_and_verifies_anywhere(captures: Path, tmp_path: Path, monitor: Run) -> None:
    file = captures / "coinbase_advanced/cf_v3_20260809_seq0_499.norm.ndjson.gz"
    assert monitor("ingest", file, "--venue", "coinbase", "--recording", "x").returncode == 0
    window = ("--from", "2026-08-09T21:05:52", "--to", "2026-08-09T21:05:55.5")
    done = monitor("clip", "x", *window)
    assert done.returncode == 0, done.stderr
    name = tmp_path / "x-clip-20260809T210552Z.duckdb"
    again = monitor("clip", "x", *window)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr.startswith("monitor: expected the name of a new file, found")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = name.rename(elsewhere / "moved.duckdb")
    replayed = monitor("replay", moved, "--speed", "max", "--digest")
    assert replayed.stdout == done.stdout
    assert monitor("verify", moved).returncode == 0
    counted = monitor("sql", "SELECT count(*) AS n FROM trade", "--recording", moved)
    assert counted.returncode == 0, counted.stderr
    rows, whole = rows_of(tmp_path, str(moved)), rows_of(tmp_path / "recordings", "x")
    last = rows[-1]["ord"]
    assert books_of(rows) == books_of([row for row in whole if row["ord"] <= last])
    assert len(books_of(rows)["BTC-USD"]) > 10_000


def test_a_window_without_rows_is_told(tmp_path: Path) -> None:
    market().record(tmp_path / "x")
    with pytest.raises(ValueError, match="expected rows of x in the window, found none"):
        clip(tmp_path, "x", T0 + 50 * S, T0 + 60 * S, tmp_path / "none.duckdb")
    assert not list(tmp_path.glob("none*"))


def test_a_clip_is_named_by_its_recording_and_its_start() -> None:
    assert str(default_file("x", T0)) == "x-clip-20231114T221320Z.duckdb"
    assert str(default_file("x", T0 + 250_000_000)) == "x-clip-20231114T221320.25Z.duckdb"


def test_the_digest_is_that_of_the_rows_of_the_file(tmp_path: Path) -> None:
    market().record(tmp_path / "x")
    _, digest = cut(tmp_path, 30, 32)
    total = Digest()
    with recordings.open_recording(tmp_path, str(tmp_path / "cut.duckdb")) as recording:
        for batch in recording.batches():
            total.update(dict(batch.kinds))
    assert total.hexdigest() == digest
