"""Read the recordings of a folder: their descriptions, and their rows in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from monitor.processes import collector_client, locks
from monitor.recordings import rows_before, segment_reader
from monitor.recordings import segment_index as segment_catalogue
from monitor.recordings.recording_names import is_readable
from monitor.recordings.segment_files import SegmentFile, owned, owned_batch
from monitor.recordings.segment_index import Entry
from monitor.recordings.segments import AS_IS, OPEN_SUFFIX, About, line, superseded
from monitor.rows import SCHEMAS, Batch
from monitor.state import REFUSALS

BATCH_ROWS = 50_000
WINDOW_ORDS = 100_000
SNAPSHOT_TIMEOUT_S = 15
NOT_FOUND = 404
# The subject of a status row: its last row is in force.
STATUS_KEYS = ("venue", "symbol", "channel", "scope", "kind = 'origin'")


class Part(NamedTuple):
    """A file with rows of a recording, and its index entry; None if it is unreadable."""

    file: Path
    entry: Entry | None

    @property
    def about(self) -> About | None:
        return self.entry.about if self.entry else None


class Recording:
    """A recording that is readable: its files in order, opened read-only.

    As many files as allowed are opened now: compaction may replace several by one meanwhile.
    """

    def __init__(self, name: str, parts: list[Part]) -> None:
        self.name = name
        # Files that cannot be read are left out.
        self.left_out = sum(part.entry is None for part in parts)
        self._stack = ExitStack()
        self._files: list[SegmentFile] = []
        for part in parts:
            if part.entry is not None:
                self._files.append(SegmentFile(part.file, part.entry))
                self._stack.callback(self._files[-1].close)
                self._files[-1].open_early()
        # Files are then closed while the caller still has their rows.
        self._is_crowded = any(file.con is None for file in self._files)
        self._past: list[rows_before.File] | None = None
        times = [time for file in self._files for time in file.entry.span_ns or ()]
        self.span_ns = (min(times), max(times)) if times else (0, 0)

    @property
    def sources(self) -> list[str]:
        """The recorded sources, as the user wrote them."""
        named = (name for file in self._files for name in file.entry.about.sources)
        return list(dict.fromkeys(named))

    @property
    def is_lost(self) -> bool:
        """Whether none of its files can be read."""
        return bool(self.left_out) and not self._files

    def close(self) -> None:
        self._stack.close()

    def use_one_thread(self) -> None:
        """Use one thread, so that a running collector keeps the other cores."""
        for file in self._files:
            file.use_one_thread()

    def batches(
        self,
        from_ns: int | None = None,
        to_ns: int | None = None,
        batch_rows: int = BATCH_ROWS,
        window_ords: int | None = None,
    ) -> Iterator[Batch]:
        """Yield rows in `ord` order, signals at their cause, from one time to another, inclusive.

        A row's time is the running maximum of `ts_recv`, so that adjacent time ranges give each
        row once. A batch has at most `batch_rows` rows of a kind. With `window_ords` more rows
        are read at a time, and no file is in use while the caller has a batch.
        """
        first = None if from_ns is None else self._first_from(from_ns)
        below = None if to_ns is None else self._first_from(to_ns + 1)
        for file in self._files:
            entry = file.entry
            low, high = entry.ords
            low = low if first is None else max(low, first)
            high = high if below is None else min(high, below - 1)
            if entry.span_ns is None or low > high:
                continue
            for start in range(low, high + 1, window_ords or high - low + 1):
                end = high if window_ords is None else min(high, start + window_ords - 1)
                # The cause of a signal may be in the segment before.
                signals_from = 0 if start == entry.ords[0] else start
                with file.use() as con:
                    read = segment_reader.read(
                        con, entry.rows, start, end, signals_from, batch_rows
                    )
                    if window_ords is None:
                        yield from map(owned_batch, read) if self._is_crowded else read
                        continue
                    held = list(map(owned_batch, read))
                yield from held

    def rows(
        self,
        kind: str,
        venue: str | None = None,
        symbol: str | None = None,
        from_ns: int | None = None,
        to_ns: int | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of one kind in order, `WINDOW_ORDS` at a time at most."""
        equal = {"venue": venue, "symbol": symbol}
        wanted = {f"{name} = ?": value for name, value in equal.items() if value is not None}
        if from_ns is not None:
            wanted["ts_recv >= make_timestamp_ns(?)"] = str(from_ns)
        if to_ns is not None:
            wanted["ts_recv <= make_timestamp_ns(?)"] = str(to_ns)
        key = "coalesce(cause_ord, 0)" if kind == "signal" else "ord"
        where = " AND ".join(["true", *wanted])
        values: list[str | int] = list(wanted.values())
        for file in self._files:
            if not _overlap(file.entry, from_ns, to_ns):
                continue
            with file.use() as con:
                ends = con.sql(
                    f"SELECT min({key}), max({key}) FROM {kind} WHERE {where}", params=values
                )
                ((first, last),) = ends.fetchall()
                for start in range(first, last + 1, WINDOW_ORDS) if first is not None else ():
                    window = f"{where} AND {key} >= ? AND {key} < ?"
                    table = con.sql(
                        f"FROM {kind} WHERE {window} ORDER BY {key}",
                        params=[*values, start, start + WINDOW_ORDS],
                    ).to_arrow_table()
                    table = owned(table) if self._is_crowded else table
                    yield from table.cast(SCHEMAS[kind]).combine_chunks().to_batches()

    def lasts(
        self, kind: str, keys: Sequence[str], begin: int, condition: str = "true"
    ) -> pa.Table:
        """Return the last row before `ord` `begin` of each combination of `keys`, in order."""
        group = ", ".join(keys)
        wanted = f"SELECT max(ord) FROM {kind} WHERE ord < {begin} AND {condition} GROUP BY {group}"
        found = self.select(f"FROM {kind} WHERE ord IN ({wanted}) ORDER BY ord")
        empty = SCHEMAS[kind].empty_table()
        rows = pa.concat_tables([empty, *(table.cast(SCHEMAS[kind]) for table in found)])
        # The last of several files counts.
        with duckdb.connect(config=AS_IS) as con:
            query = f"SELECT max(ord) AS ord FROM rows GROUP BY {group}"
            of_keys = con.sql(query).to_arrow_table()
        return rows.filter(pc.is_in(rows["ord"], of_keys["ord"].combine_chunks()))

    def in_force(self, from_ns: int) -> Batch:
        """Return the last status row before a time, for each subject of status rows."""
        rows = self.lasts("status", STATUS_KEYS, self.ord_at(from_ns)).combine_chunks()
        return Batch({"status": rows.to_batches()[0]} if rows.num_rows else {})

    def refusals(self) -> list[rows_before.Refusal]:
        """Return when venues refused to serve; the next data ends it, even in another file."""
        kinds = ", ".join(f"'{kind}'" for kind in sorted(REFUSALS))
        told = f"SELECT venue, epoch_ns(ts_recv) AS at, conn FROM status WHERE kind IN ({kinds})"
        rows = [row for table in self.select(told) for row in table.to_pylist()]
        return [(row["venue"], row["at"], row["conn"]) for row in rows]

    def past_below(
        self, number: int, from_ns: int, refusals: Sequence[rows_before.Refusal] | None = None
    ) -> rows_before.Past:
        """Return the state before the row with an `ord`, whose time is given."""
        if refusals is None:
            refusals = self.refusals()
        if self._past is None:
            told = "SELECT ord, venue, symbol, detail FROM status WHERE kind = 'origin'"
            found = [table.to_pylist() for table in self.select(f"{told} ORDER BY ord")]
            switches = [tuple(row.values()) for rows in found for row in rows if row["detail"]]
            self._past = [
                rows_before.File(rows_before.Ticks(file, switches), file.entry.ords)
                for file in self._files
            ]
        return rows_before.read(self._past, number, from_ns, refusals)

    def past(
        self, from_ns: int, refusals: Sequence[rows_before.Refusal] | None = None
    ) -> rows_before.Past:
        """Return the state before the rows that `batches` gives from a time on."""
        return self.past_below(self.ord_at(from_ns), from_ns, refusals)

    def ord_at(self, from_ns: int | None) -> int:
        """Return the number after that of the last row before a time, or of the first row."""
        number = self._files[0].entry.ords[0] if self._files else 0
        for file in self._files:
            entry = file.entry
            if from_ns is None or entry.span_ns is None or from_ns <= entry.span_ns[0]:
                break
            number = entry.ords[1] + 1
            if entry.span_ns[1] >= from_ns:
                with file.use() as con:
                    first = segment_reader.first_from(con, from_ns)
                    last = segment_reader.last_before(con, number if first is None else first)
                return entry.ords[0] if last is None else last + 1
        return number

    def _first_from(self, at_ns: int) -> int:
        """Return the lowest `ord` at a time or later; without any, one that no row has."""
        number = 0
        for file in self._files:
            entry = file.entry
            if entry.span_ns is not None and entry.span_ns[1] >= at_ns:
                with file.use() as con:
                    first = segment_reader.first_from(con, at_ns)
                if first is not None:
                    return first
            number = max(number, entry.ords[1] + 1)
        return number

    def select(self, query: str) -> Iterator[pa.Table]:
        """Run a SELECT over the kinds in each file, the files in order."""
        for file in self._files:
            with file.use() as con:
                table = con.sql(query).to_arrow_table()
            yield owned(table) if self._is_crowded else table


def _overlap(entry: Entry, from_ns: int | None, to_ns: int | None) -> bool:
    if entry.span_ns is None:
        return False
    first, last = entry.span_ns
    return (from_ns is None or last >= from_ns) and (to_ns is None or first <= to_ns)


def find(folder: Path, name: str) -> tuple[str, Path]:
    """Return id and path of a recording, given by either; ValueError if there is none."""
    for path in (folder / name, Path(name)):
        if not is_readable(path):
            raise ValueError(f"expected a recording with a name in UTF-8, found {name!r}")
        if path.is_dir() and not any(path.glob("*.duckdb*")):
            raise ValueError(f"expected a recording, found no segment in {path}")
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
    held = locks.holder(folder)
    if held and held.recording == path.name and any(path.glob(f"*.duckdb{OPEN_SUFFIX}")):
        try:
            copy = _ask_for_copy(held)
        except OSError:
            # The collector has just ended and sealed the segment.
            if locks.holder(folder) == held and any(path.glob(f"*.duckdb{OPEN_SUFFIX}")):
                raise
    parts = sealed_parts(path)
    try:
        if copy:
            part = _part(copy)
            # The segment may have been sealed since.
            if not (parts and part.entry and _last(parts[-1]) >= part.entry.ords[1] >= 0):
                parts.append(part)
        yield parts
    finally:
        if copy:
            copy.unlink(missing_ok=True)


def _last(part: Part) -> int:
    return part.entry.ords[1] if part.entry else -1


def sealed_parts(path: Path) -> list[Part]:
    """Return the sealed files of a recording in order, without the open one."""
    found = [Part(file, entry) for file, entry in segment_catalogue.entries(path).items()]
    old = superseded([part.entry.ords if part.entry else (0, -1) for part in found])
    return [part for at, part in enumerate(found) if at not in old]


def _part(file: Path) -> Part:
    return Part(file, segment_catalogue.read(file))


def _ask_for_copy(held: locks.Held) -> Path | None:
    """Return a copy of the open segment; None while nothing can be recorded."""
    try:
        answer = collector_client.request(held, "POST", "/snapshot", timeout_s=SNAPSHOT_TIMEOUT_S)
        if answer.status_code == NOT_FOUND:
            return None
        answer.raise_for_status()
        return Path(answer.json()["path"])
    except (*collector_client.ERRORS, KeyError) as error:
        raise OSError(f"expected a copy of the open segment, found {line(error)}") from error
