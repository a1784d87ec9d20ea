"""Ingest captured frames, or a recording made with `--raw`, into a new sealed recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from monitor.feeds import Ingested
from monitor.feeds import captured_feed as decoder
from monitor.recordings import OnStatus, Recorder, find, open_recording, whole
from monitor.rows import Batch

Decode = Callable[[Callable[[Batch], None], Callable[[], None]], Ingested]


def is_recording(folder: Path, name: str) -> bool:
    """Return whether `name` is the id or the path of a recording."""
    try:
        find(folder, name)
    except ValueError:
        return False
    return True


def of_files(
    folder: Path, files: Sequence[Path], venue: str, name: str, report: OnStatus
) -> tuple[Ingested, str]:
    """Decode the frames of files into recording `name`; return the outcome and the digest.

    Raises OSError for a file that cannot be read, ValueError for an unknown venue or no frame.
    """
    sources = [f"{venue}:{file.name}" for file in files]
    return _into(folder / name, sources, partial(decoder.ingest, files, venue), report)


def of_recording(folder: Path, recording: str, name: str, report: OnStatus) -> tuple[Ingested, str]:
    """Decode the stored frames of a recording again, into recording `name`.

    Raises ValueError if it has none.
    """
    with open_recording(folder, recording) as opened:
        sources = [f"ingest:{opened.name}"]
        return _into(folder / name, sources, partial(decoder.ingest_kept, opened.batches), report)


def _into(
    folder: Path, sources: list[str], decode: Decode, report: OnStatus
) -> tuple[Ingested, str]:
    recorder = Recorder(folder, sources, report)
    with whole(recorder) as emit:
        done = decode(emit, recorder.start)
    return done, recorder.digest
