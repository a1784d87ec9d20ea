"""The ready-made SQL, against the same sums done row by row in Python."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.made_rows import batch_of, ignore
from support.statements import ask

from monitor import recordings
from monitor.recordings.recorder import Recorder
from monitor.rows.batches import (
    BACKFILL,
    DUPLICATE,
    INVALID,
    LAST,
    REST,
    SCHEMAS,
    SNAPSHOT,
    Batch,
    column,
)
from monitor.rows.quote_authority import Authority
from monitor.sql import ready_made_views

S = 1_000_000_000
START = 1_700_000_040 * S
Row = tuple[str, dict[str, Any]]


def rows() -> list[Row]:
    """Two minutes of three venues with every flag that counts, switches, losses and ends."""
    made: list[Row] = []

    def add(kind: str, seconds: str, venue: str, flags: int = 0, /, **values: Any) -> None:
        nameless = {field.name: None for field in SCHEMAS[kind]}
        ts_recv = START + int(Decimal(seconds) * S)
        fixed = {"ord": len(made), "ts_recv": ts_recv, "conn": 1, "flags": flags}
        made.append((kind, {**nameless, **fixed, "venue": venue, "symbol": "BTC-USD", **values}))

    def quote(seconds: str, venue: str, bid: Any, ask: Any, origin: str = "native", **more: Any):
        prices = {"bid": bid, "ask": ask, "bid_size": bid and 1.5, "ask_size": ask and 2.5}
        add("quote", seconds, venue, more.pop("flags", 0), **prices, origin=origin, **more)

    def trade(seconds: str, price: float, size: float, flags: int = 0, lag_s: str = "0.02"):
        ts_event = START + int((Decimal(seconds) - Decimal(lag_s)) * S)
        add("trade", seconds, "kraken", flags, price=price, size=size, ts_event=ts_event)

    quote("0.1", "kraken", 100.0, 101.0, ts_sent=START + S // 20)
    quote("0.2", "binance", 100.5, 101.5, ts_event=START + S // 10)
    quote("0.2", "coinbase", 100.5, 100.75, origin="book", ts_event=START + S // 10)
    trade("0.3", 100.1, 0.1)
    trade("0.4", 100.7, 0.2)
    trade("0.4", 100.2, 0.7)
    trade("0.5", 999.0, 9.0, flags=DUPLICATE)
    trade("1.0", 100.3, 0.3)
    # What a venue repeats, or REST gives later, belongs to the time when it happened.
    trade("61.5", 99.9, 0.4, flags=SNAPSHOT, lag_s="61.45")
    trade("61.6", 99.8, 0.5, flags=BACKFILL | REST, lag_s="60.7")
    trade("61.7", 101.0, 0.6, flags=REST, lag_s="0.8")
    # Of coinbase the book's quotes count from here on, of kraken the polled ones.
    add("status", "62", "coinbase", kind="origin", detail="book", scope="symbol", channel="quote")
    quote("62.1", "coinbase", 100.9, 101.1, origin="book", ts_event=START + 62 * S)
    quote("62.2", "coinbase", 1.0, 2.0)
    add("status", "62.3", "kraken", kind="origin", detail="rest", scope="symbol", channel="quote")
    quote("62.4", "kraken", 105.0, 106.0)
    quote("62.5", "kraken", 100.6, 100.8, origin="rest", flags=REST, ts_event=START)
    quote("62.6", "binance", 100.7, 100.9, flags=DUPLICATE)
    quote("62.7", "coinbase", None, None, origin="book", flags=INVALID)
    quote("62.75", "binance", 100.55, None)
    add("status", "62.8", "kraken", kind="origin", detail="native", scope="symbol")
    quote("62.9", "kraken", 100.0, 100.7)
    add("status", "63", "kraken", kind="gap", expected=8, got=10, count=2, scope="channel")
    add("status", "63", "kraken", kind="overflow", expected=0, got=3, count=3, scope="feed")
    add("status", "63", "kraken", kind="checksum", scope="symbol")
    for n in range(40):
        level = {"side": "bid", "price": 100.0 + n, "size": 1.0, "ts_event": START + 64 * S}
        flags = LAST if n % 4 == 3 else 0
        flags |= SNAPSHOT if n < 8 else 0
        add("book", f"64.{100 + 7 * n:03d}", "binance", flags, **level)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two equal recordings, the first in three segments; what one says must not reach the other."""
    made = tmp_path_factory.mktemp("recordings")
    for name, cuts in (("one", (0, 13, 17, len(rows()))), ("two", (0, len(rows())))):
        for first, last in pairwise(cuts):
            recorder = Recorder(made / name, ["test:X"], ignore)
            recorder.start()
            recorder(batch_of(rows()[first:last]))
            recorder.close()
    return made


def counting() -> Iterator[dict[str, Any]]:
    """The quotes that count."""
    origins: dict[str, str] = {}
    for kind, row in rows():
        if kind == "status" and row["kind"] == "origin":
            origins[row["venue"]] = row["detail"]
        counts = kind == "quote" and row["origin"] == origins.get(row["venue"], "native")
        if counts and not row["flags"] & DUPLICATE:
            yield row


@pytest.mark.parametrize(("view", "seconds"), [("bars_1s", 1), ("bars_1m", 60)])
def test_bars_are_those_of_the_trades_where_they_belong(
    folder: Path, view: str, seconds: int
) -> None:
    bars = defaultdict(list)
    for kind, row in rows():
        if kind == "trade" and not row["flags"] & DUPLICATE:
            elsewhere = row["flags"] & (BACKFILL | SNAPSHOT)
            time = row["ts_event"] if elsewhere else row["ts_recv"]
            bars[time // (seconds * S) * seconds * S].append((time, row["ord"], row))
    expected = []
    for start, trades in sorted(bars.items()):
        prices = [row["price"] for _, _, row in sorted(trades, key=lambda trade: trade[:2])]
        expected.append(
            {
                "recording": "one",
                "venue": "kraken",
                "symbol": "BTC-USD",
                "start": start,
                "open": prices[0],
                "high": max(prices),
                "low": min(prices),
                "close": prices[-1],
                "volume": float(sum(Decimal(str(row["size"])) for _, _, row in trades)),
                "trades": len(trades),
            }
        )
    found = ask(folder, f"FROM {view} WHERE recording = 'one' ORDER BY start")
    assert [bar | {"volume": round(bar["volume"], 12)} for bar in found] == expected
    assert len(found) == (3 if seconds == 1 else 2)
    assert ask(folder, f"SELECT recording, count(*) AS n FROM {view} GROUP BY ALL ORDER BY 1") == [
        {"recording": name, "n": len(expected)} for name in ("one", "two")
    ]


# The trades of a venue by their numbers: one a second.
HAPPENED = range(1, 9)


def told(numbers: Sequence[int], received_s: float | None, flags: int, **more: Any) -> list[Row]:
    """Rows of trades, 0.02 s after they happened or all at one time."""
    made = []
    for n in numbers:
        happened_ns, nameless = START + n * S, dict.fromkeys(f.name for f in SCHEMAS["trade"])
        at_ns = happened_ns + S // 50 if received_s is None else START + int(received_s * S)
        row = {"venue": "coinbase", "symbol": "BTC-USD", "conn": 1, "price": 100.0 + n, "size": 0.5}
        row |= {"trade_id": str(n), "ts_event": happened_ns, "ts_recv": at_ns, "flags": flags}
        made.append(("trade", {**nameless, **row, **more}))
    return made


def written(folder: Path, **recordings_of: list[Row]) -> Path:
    for name, made in recordings_of.items():
        recorder = Recorder(folder / name, ["test:X"], ignore)
        recorder.start()
        recorder(batch_of([(kind, {**row, "ord": at}) for at, (kind, row) in enumerate(made)]))
        recorder.close()
    return folder


@pytest.mark.parametrize("nameless", [{}, {"trade_id": None}], ids=["numbered", "without numbers"])
@pytest.mark.parametrize("flags", [SNAPSHOT, BACKFILL | REST, REST])
def test_a_trade_that_a_venue_repeats_after_a_restart_counts_once_over_all_recordings(
    tmp_path: Path, flags: int, nameless: dict[str, Any]
) -> None:
    folder = written(
        tmp_path,
        # The names say nothing of the order.
        b=told([1, 2, 3, 4], None, 0, **nameless),
        a=told([2, 3, 4, 5], 5.5, flags, **nameless) + told([6, 7], None, 0, **nameless),
        c=told([4, 5, 6, 7], 7.5, flags, **nameless) + told([8], None, 0, **nameless),
    )
    (found,) = ask(folder, "SELECT sum(trades)::INT AS n, sum(volume) AS v FROM bars_1s")
    assert found == {"n": len(HAPPENED), "v": len(HAPPENED) / 2}
    starts = ask(folder, "SELECT start, trades FROM bars_1s ORDER BY start")
    assert starts == [{"start": START + n * S, "trades": 1} for n in HAPPENED]
    # Each recording for itself has all that it holds.
    for name, n in (("a", 6), ("b", 4), ("c", 5)):
        sql = "SELECT sum(trades)::INT AS n FROM bars_1m"
        assert ask(folder, sql, recording=name) == [{"n": n}]


def test_numbers_that_begin_again_are_other_trades(tmp_path: Path) -> None:
    hour = 3600 * S
    later = [
        (kind, {**row, "ts_event": row["ts_event"] + hour, "ts_recv": row["ts_recv"] + hour})
        for kind, row in told([2, 3], 5.5, SNAPSHOT)
    ]
    folder = written(tmp_path, a=told([1, 2, 3], None, 0), b=later)
    assert ask(folder, "SELECT sum(trades)::INT AS n FROM bars_1m") == [{"n": 5}]


def test_a_spread_is_one_of_quotes_that_count(folder: Path) -> None:
    expected = []
    for row in counting():
        if row["bid"] and row["ask"]:
            bid, ask_ = Decimal(str(row["bid"])), Decimal(str(row["ask"]))
            bps = float((ask_ - bid) / ((ask_ + bid) / 2) * 10_000)
            expected.append((row["ord"], row["venue"], pytest.approx(bps, rel=1e-12)))
    for name in ("one", "two"):
        found = ask(folder, "FROM spread_bps ORDER BY ord", recording=name)
        assert [(row["ord"], row["venue"], row["spread_bps"]) for row in found] == expected


def test_quotes_count_in_sql_as_they_do_for_hooks_and_views(folder: Path) -> None:
    authority = Authority()
    with recordings.open_recording(folder, "one") as opened:
        batches: list[Batch] = list(opened.batches())
    expected = [
        n for batch in batches for n in column(authority.quotes(batch).rows, "ord").tolist()
    ]
    found = ask(folder, "SELECT ord FROM authoritative ORDER BY ord", recording="one")
    assert [row["ord"] for row in found] == expected == [row["ord"] for row in counting()]


def test_a_switch_before_the_window_still_counts_in_it(folder: Path) -> None:
    from_ns = START + int(62.55 * S)
    found = ask(folder, "SELECT ord FROM authoritative ORDER BY ord", from_ns=from_ns)
    expected = [row["ord"] for row in counting() if row["ts_recv"] >= from_ns]
    assert sorted([*expected, *expected]) == [row["ord"] for row in found]
    segments = "SELECT database_name FROM duckdb_databases() WHERE database_name LIKE 'segment%'"
    assert len(ask(folder, segments, from_ns=from_ns)) == 2
    assert len(ask(folder, segments)) == 4


def test_the_best_quote_is_the_best_of_all_venues_at_each_quote(folder: Path) -> None:
    last: dict[str, dict[str, Any]] = {}
    expected = []
    for row in counting():
        last[row["venue"]] = row
        made = {"ord": row["ord"], "ts_recv": row["ts_recv"]}
        for side, best in (("bid", max), ("ask", min)):
            price = best((q[side] for q in last.values() if q[side] is not None), default=None)
            legs = [last[v] for v in sorted(last) if price is not None and last[v][side] == price]
            made[side] = price
            made[f"{side}_size"] = legs[0][f"{side}_size"] if legs else None
            made[f"{side}_venue"] = legs[0]["venue"] if legs else None
            age_ns = row["ts_recv"] - legs[0]["ts_recv"] if legs else None
            made[f"{side}_age_ms"] = None if age_ns is None else age_ns / 1e6
        expected.append({"recording": "two", "symbol": "BTC-USD", **made})
    assert ask(folder, "FROM best_quote ORDER BY ord", recording="two") == expected
    assert len({row["bid_venue"] for row in expected}) == 3


def test_gaps_are_the_rows_that_tell_of_losses(folder: Path) -> None:
    sql = "SELECT kind, scope, expected, got, count FROM gaps ORDER BY ord"
    assert ask(folder, sql, recording="one") == [
        {"kind": "gap", "scope": "channel", "expected": 8, "got": 10, "count": 2},
        {"kind": "overflow", "scope": "feed", "expected": 0, "got": 3, "count": 3},
    ]


def test_latency_is_that_of_what_the_stream_brought_unasked(folder: Path) -> None:
    by_second = defaultdict(list)
    for kind, row in rows():
        told = row["ts_event"] or row["ts_sent"]
        if kind not in ("quote", "trade", "book") or told is None:
            continue
        if row["flags"] & (SNAPSHOT | BACKFILL | REST | DUPLICATE):
            continue
        if kind == "book" and not row["flags"] & LAST:
            continue
        key = (row["venue"], kind, row["ts_recv"] // S * S)
        by_second[key].append((row["ts_recv"] - told) / 1e6)
    found = ask(folder, "FROM latency ORDER BY venue, channel, start", recording="one")
    assert [(row["venue"], row["channel"], row["start"]) for row in found] == sorted(by_second)
    for row in found:
        values = sorted(by_second[row["venue"], row["channel"], row["start"]])
        assert row["messages"] == len(values)
        assert row["max_ms"] == pytest.approx(max(values))
        assert row["p50_ms"] == pytest.approx(statistics.median(values))
        rank = 0.99 * (len(values) - 1)
        low, high = values[int(rank)], values[min(int(rank) + 1, len(values) - 1)]
        assert row["p99_ms"] == pytest.approx(low + (high - low) * (rank - int(rank)))
    assert max(row["messages"] for row in found) == 8


def test_the_views_are_there_without_any_recording(tmp_path: Path) -> None:
    for name in ("bars_1s", "bars_1m", "spread_bps", "best_quote", "gaps", "latency"):
        assert ask(tmp_path, f"FROM {name}") == []


def test_what_is_not_named_is_there_when_names_are_asked_for(folder: Path) -> None:
    for sql in ("SELECT table_name AS name FROM information_schema.tables", "SHOW TABLES"):
        names = {row["name"] for row in ask(folder, sql)}
        assert names >= {*ready_made_views.NAMES, "quote", "recordings"}
