"""Rows that the recorder could not write: how many, and since when."""

from __future__ import annotations

from monitor.rows import iso


class Losses:
    """Counts them; a loss is told again once rows are written, for what told of it is lost too."""

    def __init__(self) -> None:
        self.rows = 0
        self._from_ns: int | None = None

    def add(self, rows: int, first_ns: int | None) -> None:
        self.rows += rows
        if rows and self._from_ns is None:
            self._from_ns = first_ns

    def end(self, until_ns: int | None, why: str) -> str:
        """Return what is to be told now that rows are written again; nothing if none is lost."""
        from_ns, self._from_ns = self._from_ns, None
        return "" if from_ns is None else f"rows from {iso(from_ns)} to {iso(until_ns)}: {why}"
