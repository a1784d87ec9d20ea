"""Processes on one machine: how they start, end, hold locks and talk to the collector."""

from monitor.processes.attached_pages import AttachError, Attachment, attach, attach_for_good
from monitor.processes.child_command import command_of
from monitor.processes.library_internals import is_usable
from monitor.processes.locks import Held

__all__ = [
    "AttachError",
    "Attachment",
    "Held",
    "attach",
    "attach_for_good",
    "collector_client",
    "command_of",
    "end_signals",
    "event_loop",
    "first_process",
    "is_usable",
    "locks",
    "standard_streams",
]
