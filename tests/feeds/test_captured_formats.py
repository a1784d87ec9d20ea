"""Captures as other collectors write them, read as the same frames in the contract's own format."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.corpus import expected, recorded
from support.made_rows import batch_of, ignore, row

from monitor import recordings
from monitor.feeds.captured_frames import Captured, parse
from monitor.recordings.recorder import Recorder
from monitor.recordings.whole_recording import whole

Run = Callable[..., Any]

CASES = [
    ("binance", "binance/hft_ethusdt_20240808", ["binance/hft_ethusdt_20240808.gz"]),
    (
        "binance",
        "binance/cf_binance_20210404_btc_eth_dot",
        ["binance/orig_cryptofeed/cf_binance_20210404_btc_eth_dot/*.gz"],
    ),
    (
        "binance",
        "binance/cf_binance_20211011_nkn_blz_lrc_rune",
        ["binance/orig_cryptofeed/cf_binance_20211011_nkn_blz_lrc_rune/*.gz"],
    ),
    (
        "binance-us",
        "binance_us/cf_binance_us_20211011",
        ["binance_us/orig_cryptofeed/cf_binance_us_20211011/*.gz"],
    ),
    (
        "kraken-v1",
        "kraken_v1/cf_kraken_20210417",
        ["kraken_v1/orig_cryptofeed/cf_kraken_20210417/*.gz"],
    ),
]


@pytest.mark.corpus
@pytest.mark.parametrize(("venue", "same", "patterns"), CASES)
def test_files_as_published_give_the_rows_of_the_independent_decoder(
    captures: Path, tmp_path: Path, monitor: Run, venue: str, same: str, patterns: list[str]
) -> None:
    files = [file for pattern in patterns for file in sorted(captures.glob(pattern))]
    done = monitor("ingest", *files, "--venue", venue, "--recording", "x")
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith(" 0 bad lines\n")
    rows = expected(captures / f"{same}.norm.ndjson.gz", venue, with_recv=False)
    assert recorded(tmp_path / "recordings", "x", with_recv=False) == rows
    again = monitor("ingest", captures / f"{same}.norm.ndjson.gz", "--venue", venue)
    assert again.returncode == 0, again.stderr
    other, x = recordings.catalogue(tmp_path / "recordings")
    assert (x["id"], x["rows"], x["gaps"]) == ("x", other["rows"], other["gaps"])
    # Of the others the times were rounded on their way into the other format.
    if same.startswith("binance/hft"):
        assert done.stdout == again.stdout


@pytest.mark.corpus
def test_the_time_of_receipt_is_kept_to_the_ns(
    captures: Path, tmp_path: Path, monitor: Run
) -> None:
    file = captures / "binance/hft_ethusdt_20240808.gz"
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        times = [int(line.split()[0]) for line in lines if '"ethusdt@trade"' in line]
    monitor("ingest", file, "--venue", "binance", "--recording", "x")
    with recordings.open_recording(tmp_path / "recordings", "x") as opened:
        found = [
            time
            for batch in opened.rows("trade")
            for time in batch["ts_recv"].cast("int64").to_pylist()
        ]
    assert len(found) == 6106
    assert found == sorted(times)


TRADE = {
    "stream": "btcusdt@trade",
    "data": {"e": "trade", "E": 1, "s": "BTCUSDT", "t": 7, "p": "1.5", "q": "2", "T": 1, "m": True},
}
PAYLOAD = json.dumps(TRADE)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f"1723161254024619568 {PAYLOAD}", ("ws", "", PAYLOAD, 1723161254024619568)),
        (f"1617566591.326123: {PAYLOAD}", ("ws", "", PAYLOAD, 1617566591326123000)),
        (f"1617566591: {PAYLOAD}", ("ws", "", PAYLOAD, 1617566591000000000)),
        (
            "https://a.com/depth?s=A&n=1 -> 1617566592.1065369: {}",
            ("http", "https://a.com/depth?s=A&n=1", "{}", 1617566592106536900),
        ),
        (
            'wss://a.com <- 1618678132.83097: {"event":"subscribe"}',
            ("sent", "wss://a.com", '{"event":"subscribe"}', 1618678132830970000),
        ),
    ],
)
def test_a_line_is_a_frame(line: str, found: tuple[str, str, str, int]) -> None:
    kind, url, raw, ts_recv = found
    assert parse(line, 0, "file") == Captured(ts_recv, 0, "file", kind, url, raw, None)


def test_lines_about_the_capture_are_no_frames() -> None:
    assert parse("wss://ws.kraken.com <-> 1618678132.368463", 0, "") is None
    assert parse('configuration: {"trades":["NKN-USDT"]}', 0, "") is None


def test_bad_lines_are_counted_and_named_and_skipped(tmp_path: Path, monitor: Run) -> None:
    bad = ["nonsense", f"1723161254024619568{PAYLOAD}", "1617566591.3: {", "x -> 1: {}", "7 {}"]
    good = [f"1723161254024619568 {PAYLOAD}", f"1723161254.5: {PAYLOAD.replace('7,', '8,')}"]
    lines = [good[0], *bad, "", good[1], f"1723161254924619568 {PAYLOAD[:-9]}"]
    (tmp_path / "file").write_text("\n".join(lines))
    done = monitor("ingest", "file", "--venue", "binance", "--recording", "x")
    assert done.returncode == 0
    told = done.stderr.splitlines()
    assert [re.match(r"file:(\d+): expected a captured frame", line)[1] for line in told[:5]] == [
        *("2", "3", "4", "5", "6")
    ]
    assert told[5:] == ["x: 2 frames, 0 of other channels, 6 bad lines"]
    rows = recorded(tmp_path / "recordings", "x")
    assert [row[0] for row in rows] == ["trade", "trade"]


def test_what_is_no_capture_leaves_no_recording(tmp_path: Path, monitor: Run) -> None:
    (tmp_path / "words").write_text("one\ntwo\n")
    whole = gzip.compress((f"1723161254024619568 {PAYLOAD}\n" * 999).encode())
    (tmp_path / "cut.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "spoilt.gz").write_bytes(whole[:20] + b"\xff" * 40 + whole[60:])
    for name in ("words", "cut.gz", "spoilt.gz"):
        done = monitor("ingest", name, "--venue", "binance", "--recording", "x")
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
        assert not (tmp_path / "recordings" / "x").exists()


def test_an_ingest_that_fails_half_way_leaves_no_recording(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "x", ["test:X"], ignore)
    with pytest.raises(RuntimeError, match="half way"), whole(recorder) as emit:
        recorder.start()
        emit(batch_of([("quote", row("quote", 0, 5))]))
        raise RuntimeError("half way")
    assert list(tmp_path.iterdir()) == []


def test_an_ingest_that_could_not_write_every_row_leaves_no_recording(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "x", ["test:X"], ignore)
    with pytest.raises(OSError, match="found 1 that"), whole(recorder) as emit:
        recorder.start()
        emit(batch_of([("quote", row("quote", 0, 5))]))
        recorder._losses.rows += 1
    assert list(tmp_path.iterdir()) == []


def test_a_byte_order_mark_is_no_part_of_a_line(tmp_path: Path, monitor: Run) -> None:
    trade = {"e": "trade", "E": 2, "s": "BTCUSDT", "t": 1, "p": "1.5", "q": "2", "T": 1, "m": False}
    line = json.dumps({"raw": json.dumps(trade), "recv_ns": 3_000_000}).encode() + b"\n"
    (tmp_path / "plain").write_bytes(line)
    # As RFC 3629 has it, section 6; `cat` of two files leaves one between lines.
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbf" + line)
    digests = {monitor("ingest", file, "--venue", "binance").stdout for file in ("plain", "marked")}
    assert len(digests) == 1 and len(digests.pop()) == 65
    rows = [one["rows"]["trade"] for one in recordings.catalogue(tmp_path / "recordings")]
    assert rows == [1, 1]
