"""Which quotes count: of each instrument those of one origin at a time, as the rows say."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.batches import DUPLICATE, FIRST_ORIGIN, Batch, column


class Counting(NamedTuple):
    """Quotes that count, and of each its instrument; not every pair need occur."""

    rows: pa.RecordBatch
    codes: np.ndarray
    pairs: list[tuple[str, str]]


class Authority:
    """Follows the `origin` status rows; the same for hooks, views and replay."""

    def __init__(self) -> None:
        self._origins: dict[tuple[str, str], str] = {}

    def quotes(self, batch: Batch) -> Counting:
        """Return the batch's quotes that count: of the right origin, and no duplicates."""
        rows = batch["quote"]
        switches = self._switches(batch["status"])
        if not rows.num_rows:
            self._origins |= {(venue, symbol): to for _, venue, symbol, to in switches}
            return Counting(rows, np.empty(0, np.int64), [])
        codes, instruments = batch.by_instrument("quote")
        usable = column(rows, "flags") & DUPLICATE == 0
        origins = rows["origin"].dictionary_encode()
        if self._origins or switches or origins.dictionary.to_pylist() != [FIRST_ORIGIN]:
            usable &= self._counts(batch, origins, switches)
        if usable.all():
            return Counting(rows, codes, instruments)
        return Counting(rows.filter(pa.array(usable)), codes[usable], instruments)

    def _switches(self, rows: pa.RecordBatch) -> list[tuple[int, str, str, str]]:
        """Return `ord`, venue, symbol and new origin of the status rows that tell of one."""
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
        counting = np.array(first)[at]
        ords = column(batch["quote"], "ord")
        places = {instrument: place for place, instrument in enumerate(instruments)}
        for ord_, venue, symbol, origin in switches:
            place = places.get((venue, symbol), -1)
            counting[(at == place) & (ords > ord_)] = codes.get(origin, -1)
            self._origins[venue, symbol] = origin
        return np.asarray(origins.indices.to_numpy(zero_copy_only=False) == counting)
