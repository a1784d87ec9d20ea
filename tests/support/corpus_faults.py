"""Captured sessions with damage done to them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


Record = dict[str, Any]


COINBASE = "coinbase_advanced/cf_v3_20260809_seq0_499"


KRAKEN_CF = "kraken_v1/cf_kraken_20210417"


def records(captures: Path, name: str) -> list[Record]:
    with gzip.open(captures / f"{name}.norm.ndjson.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def ingest(folder: Path, monitor: Run, venue: str, lines: list[Record]) -> None:
    """Ingest records as the recording `x`."""
    file = folder / "captured.ndjson"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    done = monitor("ingest", file, "--venue", venue, "--recording", "x")
    assert done.returncode == 0, done.stderr


def carries_checksum(record: Record) -> bool:
    raw = record["raw"]
    return ('"book-' in raw and '"c":"' in raw) or (
        '"channel":"book"' in raw and '"checksum":' in raw
    )
