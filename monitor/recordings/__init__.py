"""Recordings on disk: record, recover, compact, read, merge and replay."""

from monitor.recordings.merge import Merged, open_recordings
from monitor.recordings.overview import Overview, survey
from monitor.recordings.player import SPEEDS, STEP_NS, WINDOW_NS, Player
from monitor.recordings.reading import (
    STATUS_KEYS,
    Part,
    Recording,
    find,
    open_recording,
    parts_of,
    sealed_parts,
)
from monitor.recordings.recorder import OnStatus, Recorder
from monitor.recordings.recording_list import (
    catalogue,
    describe,
    left_open_in,
    log_left_out,
    paths_of,
    unread,
    unread_in,
)
from monitor.recordings.recording_names import new_id
from monitor.recordings.rows_before import Past
from monitor.recordings.segment_index import Entry, NoLocksError, connect
from monitor.recordings.segments import (
    FILE_ERRORS,
    OPEN_SUFFIX,
    About,
    NewerSchemaError,
    Segment,
    line,
)
from monitor.recordings.upkeep import Upkeep, removed
from monitor.recordings.whole_recording import whole

__all__ = [
    "FILE_ERRORS",
    "OPEN_SUFFIX",
    "SPEEDS",
    "STATUS_KEYS",
    "STEP_NS",
    "WINDOW_NS",
    "About",
    "Entry",
    "Merged",
    "NewerSchemaError",
    "NoLocksError",
    "OnStatus",
    "Overview",
    "Part",
    "Past",
    "Player",
    "Recorder",
    "Recording",
    "Segment",
    "Upkeep",
    "catalogue",
    "connect",
    "describe",
    "find",
    "left_open_in",
    "line",
    "log_left_out",
    "new_id",
    "open_recording",
    "open_recordings",
    "parts_of",
    "paths_of",
    "recovery",
    "removed",
    "sealed_parts",
    "survey",
    "unread",
    "unread_in",
    "whole",
]
