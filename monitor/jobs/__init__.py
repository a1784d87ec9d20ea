"""Work on whole recordings: clip, export, import, and the jobs that the page starts."""

from monitor.jobs.clip_window import clip
from monitor.jobs.export_files import FORMATS, export
from monitor.jobs.page_jobs import LIST_EVERY_S, Archive, ArchiveError, Job

__all__ = [
    "FORMATS",
    "LIST_EVERY_S",
    "Archive",
    "ArchiveError",
    "Job",
    "clip",
    "export",
    "import_captured",
]
