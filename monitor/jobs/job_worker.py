"""The child process of one job on a recording, `python -m monitor.jobs`.

It reports progress, and the outcome or one error, as JSON lines on standard output.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monitor import recordings
from monitor.hooks import AlertRules
from monitor.jobs.clip_window import clip, default_file
from monitor.jobs.export_files import export
from monitor.recordings import FILE_ERRORS, OPEN_SUFFIX, connect, line
from monitor.rows import Batch, signal_text
from monitor.settings import rules_of
from monitor.verify import verify

NICENESS = 10
TELL_EVERY_S = 0.2
# Alerts that a trial of rules shows at most; all are counted.
MOST_LINES = 200
Job = dict[str, Any]


def main() -> None:
    job: Job = json.loads(sys.argv[1])
    os.nice(NICENESS)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    threading.Thread(target=_end_with_the_parent, name="parent", daemon=True).start()
    try:
        outcome = WORKS[job["work"]](Path(job["folder"]), job)
    except (ValueError, *FILE_ERRORS) as error:
        _tell(error=line(error))
        sys.exit(1)
    _tell(outcome=outcome)


def _verify(folder: Path, job: Job) -> Job:
    return verify(folder, job["recording"], _progress()).document


def _export(folder: Path, job: Job) -> Job:
    """Export into a folder that gets its name once all files are complete."""
    stamp = job["now"].translate(str.maketrans("", "", "-:"))[:15] + "Z"
    made = Path(job["workplace"]) / "files"
    target = Path(job["made"]) / f"{job['form']}-{stamp}"
    counts = export(folder, job["recording"], made, job["form"], _progress())
    size = sum(file.stat().st_size for file in made.iterdir())
    return {
        "path": str(_publish(made, target)),
        "rows": sum(counts.values()),
        "bytes": size,
        "unread": recordings.unread(folder, job["recording"]),
    }


def _clip(folder: Path, job: Job) -> Job:
    name = default_file(job["recording"], job["from_ns"]).name
    made = Path(job["workplace"]) / name
    made.parent.mkdir(parents=True)
    target = Path(job["made"]) / name
    done = clip(folder, job["recording"], job["from_ns"], job["to_ns"], made)
    path = _publish(made, target)
    return {
        "path": str(path),
        "rows": done.rows,
        "restated": done.restated,
        "digest": done.digest,
        "bytes": path.stat().st_size,
        "unread": recordings.unread(folder, job["recording"]),
    }


def _delete(folder: Path, job: Job) -> Job:
    """Move a recording out of the folder in one rename; the parent process deletes it."""
    path = folder / job["recording"]
    if path not in recordings.paths_of(folder):
        raise ValueError(f"expected a recording in {folder}, found no {job['recording']!r}")
    _expect_no_writer(path)
    workplace = Path(job["workplace"])
    workplace.mkdir(parents=True)
    freed = sum(file.stat().st_size for file in path.iterdir())
    path.rename(workplace / path.name)
    return {"bytes": freed}


def _try(folder: Path, job: Job) -> Job:
    """Run alert rules over a recording, as `monitor replay --rules` does."""
    hook = AlertRules(rules_of(job["rules"]), "recomputed")
    state, tell = hook.start(), _progress()
    done = count = 0
    lines: list[str] = []
    with recordings.open_recording(folder, job["recording"]) as opened:
        for batch in opened.batches():
            timed = {kind: rows for kind, rows in batch.kinds.items() if kind != "signal"}
            state, found = hook.step(state, Batch(timed))
            if found is not None:
                count += found.num_rows
                told = signal_text.documents(found.slice(0, MOST_LINES - len(lines)))
                lines += [signal_text.line(one) for one in told]
            done += batch.row_count
            tell(done, job["total"])
    unread = recordings.unread(folder, job["recording"])
    return {"rows": done, "signals": count, "lines": lines, "unread": unread}


def _expect_no_writer(path: Path) -> None:
    """Refuse a recording that another process is writing: `ingest` does not lock the folder."""
    for open_file in path.glob(f"*{OPEN_SUFFIX}"):
        try:
            connect(open_file).close()
        except FILE_ERRORS as error:
            # Only a lock forbids the deletion: a damaged recording may be deleted.
            if "lock" in str(error):
                raise ValueError(
                    f"expected {path.name} to have ended, found that it is being written"
                ) from None


def _publish(made: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise ValueError(f"expected no {target.name} in {target.parent}, found one")
    return made.rename(target).resolve()


def _progress() -> Callable[[int, int], None]:
    told_s = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal told_s
        if time.monotonic() - told_s >= TELL_EVERY_S:
            told_s = time.monotonic()
            _tell(done=done, total=total)

    return tell


def _tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def _end_with_the_parent() -> None:
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


WORKS: dict[str, Callable[[Path, Job], Job]] = {
    "verify": _verify,
    "export": _export,
    "clip": _clip,
    "delete": _delete,
    "try": _try,
}
