"""A recording written in one go: it is complete at the end, or it is removed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from monitor.recordings.recorder import Recorder
from monitor.rows import Batch

RECORDER_LAG_MS, RECORDER_WAIT_S = 500, 60.0


@contextmanager
def whole(recorder: Recorder) -> Iterator[Callable[[Batch], None]]:
    """Yield a sink that waits for the recorder; delete the recording if it is not completed."""

    def emit(batch: Batch) -> None:
        end_s = time.monotonic() + RECORDER_WAIT_S
        while recorder.lag_ms > RECORDER_LAG_MS and time.monotonic() < end_s:
            if recorder.state != "recording":
                break
            time.sleep(0.01)
        recorder(batch)

    try:
        yield emit
        recorder.close()
        if recorder.unrecorded_rows:
            raise OSError(
                f"expected all rows recorded, found {recorder.unrecorded_rows} that failed"
            )
    except BaseException:
        with suppress(OSError):
            recorder.close()
        shutil.rmtree(recorder.folder, ignore_errors=True)
        raise
