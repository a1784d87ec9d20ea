"""Which quotes count: of each instrument those of one origin at a time, as the rows say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.batches import DUPLICATE, FIRST_ORIGIN, Batch, by_instrument, column


class Authority:
    """Follows the `origin` status rows; the same for hooks, views and replay."""

    def __init__(self) -> None:
        self._origins: dict[tuple[str, str], str] = {}

    def quotes(self, batch: Batch) -> pa.RecordBatch:
        """Return the batch's quotes that count: of the right origin, and no duplicates."""
        rows = batch["quote"]
        switches = self._switches(batch["status"])
        if not rows.num_rows:
            self._origins |= {(venue, symbol): to for _, venue, symbol, to in switches}
            return rows
        usable = column(rows, "flags") & DUPLICATE == 0
        origins = rows["origin"].dictionary_encode()
        if self._origins or switches or origins.dictionary.to_pylist() != [FIRST_ORIGIN]:
            usable &= self._counts(rows, origins, switches)
        return rows if usable.all() else rows.filter(pa.array(usable))

    def _switches(self, rows: pa.RecordBatch) -> list[tuple[int, str, str, str]]:
        """Return `ord`, venue, symbol and new origin of the status rows that tell of one."""
        if not rows.num_rows:
            return []
        told = rows.filter(pc.equal(rows["kind"], "origin"))
        names = ("ord", "venue", "symbol", "detail")
        return list(zip(*(told[name].to_pylist() for name in names), strict=True))

    def _counts(
        self,
        rows: pa.RecordBatch,
        origins: pa.DictionaryArray,
        switches: list[tuple[int, str, str, str]],
    ) -> npt.NDArray[np.bool_]:
        names = origins.dictionary.to_pylist()
        codes = {name: code for code, name in enumerate(names)}
        at, instruments = by_instrument(rows)
        first = [codes.get(self._origins.get(i, FIRST_ORIGIN), -1) for i in instruments]
        counting = np.array(first)[at]
        ords = column(rows, "ord")
        places = {instrument: place for place, instrument in enumerate(instruments)}
        for ord_, venue, symbol, origin in switches:
            place = places.get((venue, symbol), -1)
            counting[(at == place) & (ords > ord_)] = codes.get(origin, -1)
            self._origins[venue, symbol] = origin
        return np.asarray(origins.indices.to_numpy(zero_copy_only=False) == counting)
