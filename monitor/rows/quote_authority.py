"""Which origin of quotes counts for each instrument, as the rows say."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.rows.batches import DUPLICATE, FIRST_ORIGIN, Batch, column

TEXTS = ["venue", "symbol", "origin"]

# By venue and symbol; instruments without a row have the default.
Origins = dict[tuple[str, str], str]


class Counting(NamedTuple):
    """Quotes that count, and the instrument of each; not every pair occurs.

    The rows are without their texts, which take longer to copy than all their numbers.
    """

    rows: pa.RecordBatch
    codes: np.ndarray
    pairs: list[tuple[str, str]]


class Authority:
    """Follows the `origin` status rows; the same for hooks, views and replay."""

    def __init__(self) -> None:
        self._origins: Origins = {}

    def quotes(self, batch: Batch) -> Counting:
        """Return the batch's quotes that count: of the right origin, and no duplicates.

        Computed once for all callers with the same rows: none may change the result.
        """
        noted = batch.notes.get("counting")
        if noted is None or noted[0] != self._origins:
            noted = batch.notes["counting"] = (self._origins, *self._count(batch))
        counting: Counting
        _, counting, self._origins = noted
        return counting

    def _count(self, batch: Batch) -> tuple[Counting, Origins]:
        """Return the quotes that count, and the origins after the batch."""
        rows = batch["quote"]
        switches = self._switches(batch["status"])
        after = self._origins | {(venue, symbol): to for _, venue, symbol, to in switches}
        if not rows.num_rows:
            return Counting(rows.drop_columns(TEXTS), np.empty(0, np.int64), []), after
        codes, instruments = batch.by_instrument("quote")
        numbers = rows.drop_columns(TEXTS)
        usable = column(rows, "flags") & DUPLICATE == 0
        origins = rows["origin"].dictionary_encode()
        if self._origins or switches or origins.dictionary.to_pylist() != [FIRST_ORIGIN]:
            usable &= self._counts(batch, origins, switches)
        if usable.all():
            return Counting(numbers, codes, instruments), after
        return Counting(numbers.filter(pa.array(usable)), codes[usable], instruments), after

    def _switches(self, rows: pa.RecordBatch) -> list[tuple[int, str, str, str]]:
        """Return `ord`, venue, symbol and new origin of the `origin` status rows."""
        if not rows.num_rows:
            return []
        told = rows.filter(pc.equal(rows["kind"], "origin"))
        names = ("ord", "venue", "symbol", "detail")
        return list(zip(*(told[name].to_pylist() for name in names), strict=True))

    def _counts(
        self,
        batch: Batch,
        origins: pa.DictionaryArray,
        switches: list[tuple[int, str, str, str]],
    ) -> npt.NDArray[np.bool_]:
        names = origins.dictionary.to_pylist()
        codes = {name: code for code, name in enumerate(names)}
        at, instruments = batch.by_instrument("quote")
        first = [codes.get(self._origins.get(i, FIRST_ORIGIN), -1) for i in instruments]
        counting = np.array(first, np.int32)[at]
        ords = column(batch["quote"], "ord")
        places = {instrument: place for place, instrument in enumerate(instruments)}
        for ord_, venue, symbol, origin in switches:
            place = places.get((venue, symbol), -1)
            counting[(at == place) & (ords > ord_)] = codes.get(origin, -1)
        return np.asarray(origins.indices.to_numpy(zero_copy_only=False) == counting)
