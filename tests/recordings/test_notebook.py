"""Recordings in a notebook."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from support.made_rows import batch_of, record, row
from support.running import ROOT

import monitor
from monitor.rows.batches import KINDS, SCHEMAS

S = 1_000_000_000
START = datetime(2026, 11, 23, 19, 4, tzinfo=UTC)
START_NS = int(START.timestamp()) * S
NAME = "20261123T190112Z"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recording of 100 quotes and 20 trades, two seconds apart, of two venues in turn."""
    rows = []
    for n in range(120):
        kind = "trade" if n % 6 == 5 else "quote"
        values = row(kind, n, START_NS + 2 * n * S)
        values |= {"symbol": "BTC-USDT", "venue": ("binance", "kraken")[n % 2]}
        values |= {"size": 0.25} if kind == "trade" else {"bid": 100.0, "ask": 100.0 + n % 2 + 0.5}
        rows.append((kind, values))
    record(tmp_path / "recordings" / NAME, [batch_of(rows)])
    return tmp_path / "recordings"


def test_the_snippets_of_the_documentation_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "monitor" / "docs" / "notebooks.md").read_text(encoding="utf-8")
    first, second = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(folder.parent)
    names: dict[str, Any] = {}
    exec(first.replace('"ID"', f'"{NAME}"'), names)
    assert "'quote': 100, 'trade': 20" in capsys.readouterr().out
    assert names["spread"] == 0.5
    assert names["volume"] == 5.0
    assert names["quotes"].from_ns == START_NS + 60 * S
    exec(second.replace('"ID"', f'"{NAME}"'), {})
    # 20 trades of 0.25 at 1.
    printed = capsys.readouterr().out
    assert "turnover" in printed and "5.0" in printed


def test_rows_are_chosen_by_symbol_venue_and_time(folder: Path) -> None:
    with monitor.open(NAME, folder) as opened:
        assert opened.tables == {**dict.fromkeys(KINDS, 0), "quote": 100, "trade": 20}
        assert repr(opened) == f"<recording {NAME}: 100 quote, 20 trade>"
        table = opened.quote().to_arrow()
        assert (table.schema, table.num_rows) == (SCHEMAS["quote"], 100)
        assert opened.quote(venue="kraken").to_arrow().num_rows == 40
        assert opened.trade(symbol="ETH-USDT").to_arrow().schema == SCHEMAS["trade"]
        one = START + timedelta(seconds=10)
        for time in (one, one.isoformat(), START_NS + 10 * S, pd.Timestamp(one)):
            found = opened.trade(from_=time, to=time).to_pandas()
            assert found["ord"].tolist() == [5]
        assert opened.rows("quote", to=one.replace(tzinfo=None)).to_arrow().num_rows == 5
        later = pd.Timestamp(one) + pd.Timedelta(1, "ns")
        assert opened.trade(from_=later, to=one + timedelta(seconds=1)).to_arrow().num_rows == 0


def test_batches_are_read_piece_by_piece_and_by_other_programs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.recordings.reading.WINDOW_ORDS", 50)
    with monitor.open(str(folder / NAME)) as opened:
        quotes = opened.quote()
        sizes = [batch.num_rows for batch in quotes]
        assert len(sizes) == 3
        assert sum(sizes) == 100
        assert sum(batch.num_rows for batch in quotes) == 100
        with duckdb.connect() as con:
            assert con.sql("SELECT count(*) FROM quotes").fetchall() == [(100,)]


def test_polars_is_given_the_same_rows(folder: Path) -> None:
    with monitor.open(NAME, folder) as opened:
        frame, table = opened.quote().to_polars(), opened.quote().to_arrow()
    assert frame.columns == table.column_names
    assert frame["ord"].to_list() == table["ord"].to_pylist()
    assert frame["bid"].to_list() == table["bid"].to_pylist()
    assert (
        frame["ts_recv"].dt.timestamp("ns").to_list() == table["ts_recv"].cast("int64").to_pylist()
    )


def test_what_is_not_there_is_told(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a recording .* found 'nothing'"):
        monitor.open("nothing", folder)
    with monitor.open(NAME, folder) as opened:
        with pytest.raises(AttributeError, match="found 'quotes'"):
            opened.quotes()
        with pytest.raises(ValueError, match="found 'quotes'"):
            opened.rows("quotes")
        assert "quote" in dir(opened)
    with pytest.raises(AttributeError, match="shut"):
        monitor.shut  # noqa: B018
