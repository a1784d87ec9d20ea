"""Recordings for notebooks and scripts: rows of one kind as Arrow, pandas or Polars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from monitor.recordings import reading
from monitor.rows import KINDS, SCHEMAS, Time, ns_of

if TYPE_CHECKING:
    import pandas as pd


def open(recording: str, folder: str | Path = "recordings") -> Opened:
    """Open a recording by id or path, the running one included; ValueError if there is none."""
    return Opened(recording, Path(folder))


class Opened:
    """A recording: `tables` counts its rows by kind; `quote(…)`, `trade(…)` and so on give them."""

    def __init__(self, recording: str, folder: Path) -> None:
        name, path = reading.find(folder, recording)
        with ExitStack() as stack:
            parts = stack.enter_context(reading.parts_of(folder, path))
            self._recording = reading.Recording(name, parts)
            stack.callback(self._recording.close)
            self._stack = stack.pop_all()
        self.name = name
        entries = [part.entry for part in parts if part.entry]
        self.tables = {kind: sum(entry.rows[kind] for entry in entries) for kind in KINDS}

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()

    def __getattr__(self, kind: str) -> Callable[..., Rows]:
        if kind in KINDS:
            return partial(self.rows, kind)
        raise AttributeError(f"expected a kind of {', '.join(KINDS)}, found {kind!r}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *KINDS]

    def rows(
        self,
        kind: str,
        symbol: str | None = None,
        venue: str | None = None,
        from_: Time | None = None,
        to: Time | None = None,
    ) -> Rows:
        """Choose rows of one kind; times bound `ts_recv`, inclusive. Nothing is read yet."""
        if kind not in KINDS:
            raise ValueError(f"expected a kind of {', '.join(KINDS)}, found {kind!r}")
        from_ns, to_ns = (None if time is None else ns_of(time) for time in (from_, to))
        return Rows(self._recording, kind, venue, symbol, from_ns, to_ns)

    def __repr__(self) -> str:
        counts = ", ".join(f"{count:,} {kind}" for kind, count in self.tables.items() if count)
        return f"<recording {self.name}: {counts or 'empty'}>"


@dataclass(frozen=True)
class Rows:
    """Rows of one kind in `ord` order, read anew whenever they are asked for.

    To iterate gives record batches: for more rows than memory holds.
    """

    recording: reading.Recording
    kind: str
    venue: str | None
    symbol: str | None
    from_ns: int | None
    to_ns: int | None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self.recording.rows(self.kind, self.venue, self.symbol, self.from_ns, self.to_ns)

    def to_arrow(self) -> pa.Table:
        return pa.Table.from_batches(iter(self), SCHEMAS[self.kind])

    def to_pandas(self) -> pd.DataFrame:
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def to_polars(self) -> Any:
        """Return a Polars frame; ImportError if Polars is not installed."""
        import polars

        return polars.from_arrow(self.to_arrow())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        reader = pa.RecordBatchReader.from_batches(SCHEMAS[self.kind], iter(self))
        return reader.__arrow_c_stream__(requested_schema)
