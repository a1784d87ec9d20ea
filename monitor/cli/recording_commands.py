"""Commands on recordings: list, query, export, verify, clip and ingest."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli import support

Folder = Annotated[Path, typer.Option("--recordings", help="The recordings folder.")]
DEFAULT_FOLDER = Path("recordings")
# The number of unreadable segments that an error names.
MOST_SHOWN = 5


def recordings(
    as_json: Annotated[bool, typer.Option("--json")] = False, folder: Folder = DEFAULT_FOLDER
) -> None:
    """List the recordings."""
    from monitor.recordings import catalogue

    support.expect_recordings(folder)
    with support.failures():
        listed = catalogue(folder)
    if as_json:
        print(json.dumps(listed))
        return
    support.table(
        ["id", "state", "started", "ended", "rows", "gaps", "bytes", "sources"],
        [
            [
                item["id"],
                item["state"],
                item["started"] or "",
                item["ended"] or "",
                sum(item["rows"].values()),
                item["gaps"],
                item["bytes"],
                " ".join(item["sources"]),
            ]
            for item in listed
        ],
    )


def sql(
    statement: str,
    recording: Annotated[str | None, typer.Option("--recording")] = None,
    from_time: Annotated[str | None, typer.Option("--from", help="ISO 8601.")] = None,
    to_time: Annotated[str | None, typer.Option("--to", help="ISO 8601.")] = None,
    venue: Annotated[str | None, typer.Option(help="Only rows of this venue.")] = None,
    symbol: Annotated[
        str | None, typer.Option(help="Only rows of this symbol, or of none.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="table, csv, json or parquet.")] = "table",
    limit: Annotated[int, typer.Option(min=1, help="Rows of a table.")] = support.TABLE_ROWS,
    out: Annotated[Path | None, typer.Option("--out")] = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Run one SELECT over all recordings, or one."""
    from monitor.sql import queries

    if form not in queries.FORMATS:
        support.fail(
            f"expected a format of {', '.join(queries.FORMATS)}, found {form!r}", support.USAGE
        )
    from_ns, to_ns = support.window(from_time, to_time)
    support.expect_recordings(folder, recording)
    with ExitStack() as stack:
        stack.enter_context(support.failures(*queries.ERRORS))
        file = None if out is None else stack.enter_context(support.new_file(out))
        result = queries.run(statement, folder, recording, from_ns, to_ns, venue, symbol)
        if result.truncated:
            print(f"monitor: truncated to {queries.MAX_ROWS:,} rows", file=sys.stderr)
        if result.unread:
            print(f"monitor: {unread_line(result.unread)}", file=sys.stderr)
        if form == "table" and file is None:
            support.show_result(result.table, limit)
        else:
            queries.write(
                result.table, "csv" if form == "table" else form, file or sys.stdout.buffer
            )


def end_if_unread(folder: Path, *names: str) -> None:
    """Report the segments that could not be read, and exit with 1 if there are any."""
    from monitor.recordings import unread

    found = [f"{name}/{file}" for name in names for file in unread(folder, name)]
    if found:
        support.fail(unread_line(found), support.FAILURE)


def unread_line(files: Sequence[str]) -> str:
    shown = ", ".join(files[:MOST_SHOWN])
    more = f" and {len(files) - MOST_SHOWN} more" if len(files) > MOST_SHOWN else ""
    return f"expected every segment to be readable, left out {shown}{more}"


def export(
    recording: str,
    to: Annotated[Path, typer.Option("--to", help="The folder for the files.")],
    form: Annotated[str, typer.Option("--format", help="parquet or csv.")] = "parquet",
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Write a recording as plain files, one for each kind of row."""
    from monitor.jobs import FORMATS
    from monitor.jobs import export as write

    if form not in FORMATS:
        support.fail(f"expected a format of {', '.join(FORMATS)}, found {form!r}", support.USAGE)
    support.expect_recordings(folder, recording)
    with support.failures(), support.bar(recording) as advance:
        try:
            counts = write(folder, recording, to, form, advance)
        except FileExistsError as error:
            support.fail(str(error), support.USAGE)
    print(", ".join(f"{count} {kind}" for kind, count in counts.items() if count), file=sys.stderr)
    end_if_unread(folder, recording)


def verify(
    recording: str,
    as_json: Annotated[bool, typer.Option("--json")] = False,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Read all of a recording and say whether it is damaged, and how much of it is clean."""
    from monitor.verify import verify as read

    support.expect_recordings(folder, recording)
    with support.failures():
        report = read(folder, recording)
    found = report.document
    if as_json:
        print(json.dumps(found))
    else:
        support.show_verified(found)
    if report.is_damaged:
        sys.exit(support.FAILURE)


def clip(
    recording: str,
    from_time: Annotated[str, typer.Option("--from", help="ISO 8601.")],
    to_time: Annotated[str, typer.Option("--to", help="ISO 8601, inclusive.")],
    out: Annotated[Path | None, typer.Option("--out", help="A new .duckdb file.")] = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Cut a window out into one file that replays and verifies anywhere; print its digest."""
    from_ns, to_ns = support.window(from_time, to_time)
    assert from_ns is not None and to_ns is not None
    support.expect_recordings(folder, recording)
    from monitor.jobs import clip as cut

    with support.failures():
        try:
            done = cut(folder, recording, from_ns, to_ns, out)
        except FileExistsError as error:
            support.fail(str(error), support.USAGE)
    print(f"{done.file}: {done.rows} rows, {done.restated} restated", file=sys.stderr)
    print(done.digest)
    end_if_unread(folder, recording)


def ingest(
    files: Annotated[list[Path], typer.Argument(metavar="FILE... | RECORDING")],
    venue: Annotated[str | None, typer.Option(help="The venue that sent the frames.")] = None,
    recording: Annotated[str | None, typer.Option(help="The new recording's name.")] = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Decode captured frames, or those that a recording kept, into a new sealed recording."""
    import time
    import zlib

    from monitor.jobs import import_captured as captured
    from monitor.recordings import new_id

    name = recording or new_id(folder, time.time_ns())
    support.expect_new_recording(folder, name)
    if venue is not None:
        support.check_venue(venue)
    is_recording = len(files) == 1 and captured.is_recording(folder, str(files[0]))
    if venue is None and not is_recording:
        support.fail(f"expected --venue, or one recording, found {len(files)} files", support.USAGE)
    missing = [str(file) for file in files if not (file.is_file() or is_recording)]
    if missing:
        support.fail(f"expected a capture file, found no file {missing[0]}", support.FAILURE)
    with support.failures(EOFError, zlib.error):
        if is_recording:
            done, digest = captured.of_recording(folder, str(files[0]), name, support.tell)
        else:
            assert venue is not None
            done, digest = captured.of_files(folder, files, venue, name, support.tell)
    for line in done.bad_lines:
        print(line, file=sys.stderr)
    print(
        f"{name}: {done.frames} frames, {done.ignored} of other channels, {done.bad} bad lines",
        file=sys.stderr,
    )
    print(digest)
