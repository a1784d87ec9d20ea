"""A program: a recorder that is fed evenly until standard input ends; it prints what it is told.

Arguments: rows a second, bytes that may wait to be written, the folder.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from monitor.recordings import recorder
from monitor.recordings.segments import Journal
from monitor.rows.batches import SCHEMAS, Batch

EVERY_S = 0.02
NAME = "x"


def quotes(first: int, count: int) -> Batch:
    """Make quotes from `ord` `first` on, of this moment; the bid is the `ord`."""
    ords = np.arange(first, first + count, dtype=np.uint64)
    now = pa.repeat(pa.scalar(time.time_ns(), pa.timestamp("ns")), count)
    known = {"ord": ords, "ts_recv": now, "seq": ords, "bid": ords.astype(float)}
    texts = {"venue": "test", "symbol": "X", "origin": "native"}
    columns = []
    for field in SCHEMAS["quote"]:
        if field.name in known:
            columns.append(pa.array(known[field.name], field.type))
        elif field.name in texts:
            columns.append(pa.repeat(pa.scalar(texts[field.name], field.type), count))
        elif field.name in ("conn", "flags"):
            columns.append(pa.repeat(pa.scalar(0, field.type), count))
        else:
            columns.append(pa.nulls(count, field.type))
    return Batch({"quote": pa.RecordBatch.from_arrays(columns, schema=SCHEMAS["quote"])})


def tell(**told: object) -> None:
    print(json.dumps(told), flush=True)


def main(rate: int, queue_bytes: int, folder: Path) -> None:
    committed = (folder / "committed").open("ab", buffering=0)

    class Told(Journal):
        """A journal that writes down the last `ord` of what is committed, and when it came."""

        def write(self, batch: Batch) -> None:
            super().write(batch)
            last = batch["quote"].slice(batch["quote"].num_rows - 1)
            ord_, ts_recv = last["ord"][0].as_py(), last["ts_recv"][0].value
            committed.write(f"{ord_} {ts_recv}\n".encode())

    recorder.Journal = Told
    recorder.QUEUE_BYTES = queue_bytes
    sink = recorder.Recorder(
        folder / NAME,
        ["test:X"],
        lambda state, kind, detail, count: tell(kind=kind, detail=detail, count=count),
    )
    sink.start()
    tell(kind="started")
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    fed, count = 0, max(1, int(rate * EVERY_S))
    with (folder / "fed").open("ab", buffering=0) as told:
        while not ended.wait(EVERY_S):
            sink(quotes(fed, count))
            fed += count
            told.write(f"{fed - 1} {time.time_ns()}\n".encode())
    sink.close()
    tell(kind="ended", fed=fed, unrecorded=sink.unrecorded_rows, digest=sink.digest)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
