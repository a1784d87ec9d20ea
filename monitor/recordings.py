"""The recordings of a folder: what there is, what each says of itself, and its rows in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import requests

from monitor import lock
from monitor.batches import KINDS, SCHEMAS, Batch
from monitor.segments import FILE_ERRORS, OPEN_SUFFIX, About, iso, last_about, recover

BATCH_ROWS = 20_000
SNAPSHOT_TIMEOUT_S = 15


class Part(NamedTuple):
    """A file that holds rows of a recording, and what it says of itself; None if unreadable."""

    file: Path
    about: About | None


class Recording:
    """A recording that is readable: its files in order, opened read-only."""

    def __init__(self, name: str, parts: list[Part]) -> None:
        self.name = name
        self._stack = ExitStack()
        self._cons: list[duckdb.DuckDBPyConnection] = []
        for part in parts:
            if part.about is not None:
                con = duckdb.connect(str(part.file), read_only=True, config={"threads": "2"})
                self._stack.callback(con.close)
                con.execute("SET TimeZone = 'UTC'")
                self._cons.append(con)
        self._spans = [_ord_span(con) for con in self._cons]
        times = [time for con in self._cons for time in _time_span(con) if time is not None]
        self.span_ns = (min(times), max(times)) if times else (0, 0)

    def close(self) -> None:
        self._stack.close()

    def batches(
        self, from_ns: int | None = None, to_ns: int | None = None, batch_rows: int = BATCH_ROWS
    ) -> Iterator[Batch]:
        """Yield rows in `ord` order, signals at their cause; times bound `ts_recv`, inclusive."""
        for con, (first, last) in zip(self._cons, self._spans, strict=True):
            low, high = _ord_window(con, first, last, from_ns, to_ns)
            for start in range(low, high + 1, batch_rows):
                stop = min(start + batch_rows, high + 1)
                batch = Batch(dict(_read(con, start, stop)))
                if batch.kinds:
                    yield batch

    def select(self, query: str) -> Iterator[pa.Table]:
        """Run a SELECT over the kinds in each file, the files in order."""
        for con in self._cons:
            yield con.sql(query).to_arrow_table()


def find(folder: Path, name: str) -> tuple[str, Path]:
    """Return id and path of a recording, given by either; ValueError if there is none."""
    for path in (folder / name, Path(name)):
        if path.exists() and (path.is_dir() or path.suffix == ".duckdb"):
            return path.name.removesuffix(".duckdb"), path
    raise ValueError(f"expected a recording in {folder} or a path, found {name!r}")


@contextmanager
def open_recording(folder: Path, name: str) -> Iterator[Recording]:
    """Open a recording for reading, the running one included."""
    recording_id, path = find(folder, name)
    with parts_of(folder, path) as parts:
        recording = Recording(recording_id, parts)
        try:
            yield recording
        finally:
            recording.close()


@contextmanager
def parts_of(folder: Path, path: Path) -> Iterator[list[Part]]:
    """Yield the readable files of a recording; of an open segment, a copy from its collector."""
    if path.is_file():
        yield [_part(path)]
        return
    copy = None
    held = lock.holder(folder)
    if held and held.recording == path.name and any(path.glob(f"*.duckdb{OPEN_SUFFIX}")):
        try:
            copy = _ask_for_copy(held)
        except OSError:
            # A collector that has just ended sealed the segment instead.
            if lock.holder(folder) == held and any(path.glob(f"*.duckdb{OPEN_SUFFIX}")):
                raise
    parts = [_part(file) for file in sorted(path.glob("*.duckdb"))]
    try:
        yield [*parts, _part(copy)] if copy else parts
    finally:
        if copy:
            copy.unlink(missing_ok=True)


def recover_all(folder: Path) -> list[str]:
    """Seal every segment left open; return a line for each. Call only with the lock held."""
    lines = []
    for stale in folder.glob("*/.snapshot-*"):
        stale.unlink(missing_ok=True)
    for open_file in sorted(folder.glob(f"*/*.duckdb{OPEN_SUFFIX}")):
        where = f"{open_file.parent.name}/{open_file.name}"
        try:
            recover(open_file)
            lines.append(f"{where}: recovered and sealed as unclean")
        except (*FILE_ERRORS, IndexError) as error:
            open_file.rename(open_file.with_name(open_file.name + ".damaged"))
            lines.append(f"{where}: expected a readable segment, found {_line(error)}; set aside")
    return lines


def catalogue(folder: Path) -> list[dict[str, Any]]:
    """Describe every recording as `monitor recordings --json` prints it, the oldest first."""
    if not folder.is_dir():
        return []
    paths = [path for path in folder.iterdir() if path.is_dir() and any(path.glob("*.duckdb*"))]
    return [describe(folder, path) for path in sorted(paths)]


def describe(folder: Path, path: Path) -> dict[str, Any]:
    with parts_of(folder, path) as parts:
        rows = dict.fromkeys(KINDS, 0)
        gaps, abouts = 0, []
        damaged = any(part.about is None for part in parts)
        for part in parts:
            if part.about is None:
                continue
            abouts.append(part.about)
            with duckdb.connect(str(part.file), read_only=True) as con:
                for kind in KINDS:
                    rows[kind] += _number(con, f"SELECT count(*) FROM {kind}")
                gaps += _number(con, "SELECT count(*) FROM status WHERE kind = 'gap'")
    held = lock.holder(folder)
    is_open = held is not None and held.recording == path.name
    left_open = any(path.glob(f"*{OPEN_SUFFIX}")) and not is_open
    states = {about.state for about in abouts}
    last = abouts[-1] if abouts else None
    if damaged or any(path.glob("*.damaged")):
        state = "damaged"
    elif is_open:
        state = "open"
    elif left_open or states - {"sealed"}:
        state = "unclean"
    else:
        state = "sealed"
    return {
        "id": path.name,
        "state": state,
        "started": iso(abouts[0].started) if abouts else None,
        "ended": iso(last.ended) if last and not is_open else None,
        "sources": abouts[0].sources if abouts else [],
        "rows": rows,
        "gaps": gaps,
        "bytes": sum(file.stat().st_size for file in path.glob("*.duckdb*")),
        "digest": last.digest if last and state == "sealed" else None,
    }


def _part(file: Path) -> Part:
    try:
        with duckdb.connect(str(file), read_only=True) as con:
            return Part(file, last_about(con))
    except (*FILE_ERRORS, IndexError):
        return Part(file, None)


def _ask_for_copy(held: lock.Held) -> Path:
    try:
        answer = requests.post(
            f"http://{held.address}/snapshot",
            headers={"Authorization": f"Bearer {held.token}"},
            timeout=SNAPSHOT_TIMEOUT_S,
        )
        answer.raise_for_status()
        return Path(answer.json()["path"])
    except (requests.RequestException, KeyError) as error:
        raise OSError(f"expected a copy of the open segment, found {_line(error)}") from error


def _read(
    con: duckdb.DuckDBPyConnection, start: int, stop: int
) -> Iterator[tuple[str, pa.RecordBatch]]:
    for kind in KINDS:
        key = "cause_ord" if kind == "signal" else "ord"
        query = f"FROM {kind} WHERE {key} >= {start} AND {key} < {stop} ORDER BY {key}"
        table = con.sql(query).to_arrow_table().cast(SCHEMAS[kind])
        if table.num_rows:
            yield kind, table.combine_chunks().to_batches()[0]


def _ord_span(con: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """Return the first and last `ord` of a file; (0, -1) if it has no rows."""
    kinds = [kind for kind in KINDS if kind != "signal"]
    ends = " UNION ALL ".join(f"SELECT min(ord) AS a, max(ord) AS b FROM {kind}" for kind in kinds)
    (row,) = con.sql(f"SELECT min(a), max(b) FROM ({ends})").fetchall()
    return (0, -1) if row[0] is None else (int(row[0]), int(row[1]))


def _time_span(con: duckdb.DuckDBPyConnection) -> tuple[int | None, int | None]:
    kinds = [kind for kind in KINDS if kind != "signal"]
    ends = " UNION ALL ".join(
        f"SELECT min(ts_recv) AS a, max(ts_recv) AS b FROM {kind}" for kind in kinds
    )
    (row,) = con.sql(f"SELECT epoch_ns(min(a)), epoch_ns(max(b)) FROM ({ends})").fetchall()
    return row[0], row[1]


def _ord_window(
    con: duckdb.DuckDBPyConnection, first: int, last: int, from_ns: int | None, to_ns: int | None
) -> tuple[int, int]:
    """Narrow an `ord` span to the rows of a time window."""
    kinds = [kind for kind in KINDS if kind != "signal"]
    if from_ns is not None:
        after = " UNION ALL ".join(
            f"SELECT min(ord) AS o FROM {k} WHERE ts_recv >= make_timestamp_ns({from_ns})"
            for k in kinds
        )
        (row,) = con.sql(f"SELECT min(o) FROM ({after})").fetchall()
        first = int(row[0]) if row[0] is not None else last + 1
    if to_ns is not None:
        before = " UNION ALL ".join(
            f"SELECT max(ord) AS o FROM {k} WHERE ts_recv <= make_timestamp_ns({to_ns})"
            for k in kinds
        )
        (row,) = con.sql(f"SELECT max(o) FROM ({before})").fetchall()
        last = int(row[0]) if row[0] is not None else first - 1
    return first, last


def _number(con: duckdb.DuckDBPyConnection, query: str) -> int:
    (row,) = con.sql(query).fetchall()
    return int(row[0])


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
