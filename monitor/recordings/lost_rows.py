"""Rows that the recorder could not write: how many, and since when."""

from __future__ import annotations

from monitor.rows import iso


class Losses:
    """Counts lost rows, and reports a loss once rows are written: earlier reports are lost too."""

    def __init__(self) -> None:
        self.rows = 0
        self._from_ns: int | None = None

    def add(self, rows: int, first_ns: int | None) -> None:
        self.rows += rows
        if rows and self._from_ns is None:
            self._from_ns = first_ns

    def end(self, until_ns: int | None, why: str) -> str:
        """Return the report of a loss that has ended, empty if no row was lost."""
        from_ns, self._from_ns = self._from_ns, None
        return "" if from_ns is None else f"rows from {iso(from_ns)} to {iso(until_ns)}: {why}"
